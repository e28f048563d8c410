"""What all commands share: where results and messages go, and what a model or an extra is."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gliomaseg.errors import GliomasegError, InputError, PartlyDoneError, UsageError, import_extra


def say(text: str) -> None:
    """Print a message to stderr, if it is open: `print` would fall back to stdout, where results belong."""
    if sys.stderr is not None:
        print(text, file=sys.stderr, flush=True)


def show(document: Any, text: str, *, as_json: bool) -> None:
    """Print a result to stdout, as JSON or for people."""
    print(json.dumps(document, indent=1) if as_json else text, flush=True)


def named(model: Path | None) -> Path:
    """Return the folder of the model that the user names, or of the default one.

    Raises:
        UsageError: none is named, and none ships.
        ModelError: it is none of them.
    """
    from gliomaseg.pretrained import find_model

    return find_model(model)


def opened(model: Path | None, *, engine: str) -> Any:
    """Return what predicts: the model that the user names, or those that ship, together.

    Raises:
        UsageError: none is named, and none ships, or there is no such engine.
        ModelError: there is no such model, or it is damaged.
        MissingExtraError: the engine is not installed.
    """
    from gliomaseg.prediction import open_models
    from gliomaseg.pretrained import find_models

    return open_models(find_models(model), engine=engine)


def bytes_of(text: str, *, where: str) -> int:
    """Return a size in bytes; K, M, G and T stand for powers of 1024.

    Raises:
        UsageError: it is no such size.
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([kmgt]?)(?:i?b)?", text.strip(), re.IGNORECASE)
    if found is None or float(found[1]) == 0:
        raise UsageError(f"{text!r} is no size", where=where, cure="write it as 2G, 800M or in bytes")
    return int(float(found[1]) * 1024 ** " kmgt".index(found[2].lower() or " "))


def with_training(module: str) -> Any:
    """Import a module that needs the extra `train`."""
    return import_extra(module, "train", purpose="training")


def tell_failures(errors: Sequence[str | None], kind: str) -> None:
    """Leave with the exit code of some or of all having failed; each is in its row.

    Raises:
        InputError: all failed.
        PartlyDoneError: some did.
    """
    failed = [error for error in errors if error]
    if failed and len(failed) == len(errors):
        raise InputError(failed[0] if len(failed) == 1 else f"all {len(failed)} {kind} failed", cure="see their rows")
    if failed:
        raise PartlyDoneError(f"{len(failed)} of {len(errors)} {kind} failed", cure="see their rows")


def tell_rows(faults: Sequence[GliomasegError | None], kind: str) -> None:
    """Leave with the exit code of rows: that of all faults where they share one.

    Raises:
        GliomasegError: the fault of the only row, or one with the code that all failed rows share.
        InputError: all failed, for several reasons.
        PartlyDoneError: some did.
    """
    failed = [fault for fault in faults if fault is not None]
    if len(failed) == len(faults) == 1:
        raise failed[0]
    if failed and len(failed) == len(faults) and len({fault.exit_code for fault in failed}) == 1:
        all_alike = GliomasegError(f"all {len(failed)} {kind} failed", cure="see their rows")
        all_alike.exit_code = failed[0].exit_code
        raise all_alike
    tell_failures([None if fault is None else fault.line() for fault in faults], kind)
