"""Functions that all commands share: print results and messages, parse options, find models, choose the exit code."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gliomaseg.errors import GliomasegError, InputError, PartlyDoneError, UsageError, import_extra

if TYPE_CHECKING:
    from gliomaseg.data.case_list import DataOptions
    from gliomaseg.prediction import ScanPredictor


def log(text: str) -> None:
    """Print a message to stderr. If stderr is closed, drop it: `print` would write to stdout, which has the results."""
    if sys.stderr is not None:
        print(text, file=sys.stderr, flush=True)


def print_result(document: Any, text: str, *, as_json: bool) -> None:
    """Print a result to stdout: `document` as JSON, or `text` for people."""
    print(json.dumps(document, indent=1) if as_json else text, flush=True)


def model_folder(model: Path | None) -> Path:
    """Return the folder of the model that the user names, or of the default bundled model.

    Raises:
        UsageError: no model is named, and no model is bundled.
        ModelError: no model has this name or path.
    """
    from gliomaseg.pretrained import find_model

    return find_model(model)


def open_predictor(model: Path | None, *, engine: str) -> ScanPredictor:
    """Open the model that the user names, or all bundled models as one ensemble.

    Raises:
        UsageError: no model is named, and no model is bundled; or the engine does not exist.
        ModelError: the model does not exist or is damaged.
        MissingExtraError: the engine is not installed.
    """
    from gliomaseg.prediction import open_models
    from gliomaseg.pretrained import find_models

    return open_models(find_models(model), engine=engine)


def parse_size(text: str, *, where: str) -> int:
    """Return a size in bytes; K, M, G and T are powers of 1024.

    Raises:
        UsageError: the text is not a positive size.
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([kmgt]?)(?:i?b)?", text.strip(), re.IGNORECASE)
    if match is None or float(match[1]) == 0:
        raise UsageError(f"size is {text!r}, expected a positive number of bytes", where=where, cure="write 2G or 800M")
    return int(float(match[1]) * 1024 ** " kmgt".index(match[2].lower() or " "))


def data_options(layout: str | None, labels: str | None, patient_pattern: str | None) -> DataOptions:
    """Return the options --layout, --labels and --patient-pattern as `read_cases` takes them.

    >>> sorted(data_options(None, "1, 2,4", None).labels.tumour)
    [1, 2, 4]

    Raises:
        UsageError: a label is not a whole number above 0, or the pattern is not a regular expression.
    """
    from gliomaseg.data.case_list import DataOptions
    from gliomaseg.data.masks import MaskLabels, parse_labels

    tumour = None if labels is None else parse_labels(labels, where="--labels")
    if patient_pattern is not None:
        try:
            re.compile(patient_pattern)
        except re.error as fault:
            what = f"pattern is {patient_pattern!r}, expected a regular expression ({fault})"
            raise UsageError(what, where="--patient-pattern", cure=r"write for example '^(P\d+)_'") from fault
    return DataOptions(layout, MaskLabels(tumour), patient_pattern)


def parse_devices(text: str | None) -> tuple[int, ...]:
    """Return the numbers of GPUs in the option --devices; none without the option.

    >>> parse_devices("0, 2")
    (0, 2)

    Raises:
        UsageError: an entry is not a number.
    """
    parts = [] if text is None else [part.strip() for part in text.split(",")]
    if not all(re.fullmatch(r"[0-9]{1,9}", part) for part in parts):
        raise UsageError(f"devices are {text!r}, expected numbers of GPUs", where="--devices", cure="write 0,1")
    return tuple(int(part) for part in parts)


def parse_part(text: str) -> tuple[int, int]:
    """Return number and count of the option --part.

    >>> parse_part("3/20")
    (3, 20)

    Raises:
        UsageError: the text is not I/N with I from 1 to N.
    """
    match = re.fullmatch(r"([0-9]{1,9})/([0-9]{1,9})", text.strip())
    if match is None or not 1 <= int(match[1]) <= int(match[2]):
        raise UsageError(f"part is {text!r}, expected I/N with I from 1 to N", where="--part", cure="write 1/20")
    return int(match[1]), int(match[2])


def import_training(module: str) -> Any:
    """Import a module that needs the extra `train`."""
    return import_extra(module, "train", purpose="training")


def import_nibabel() -> None:
    """Import nibabel without pydicom, which saves about 0.15 s of a cold start.

    nibabel imports pydicom for a kind of header extension that gliomaseg does not read. The import has a side effect:
    all other code in this process gets such extensions as bytes. Therefore only the command line calls this function.
    If nibabel or pydicom is imported already, the function does not change anything.
    """
    if {"nibabel", "pydicom"} & sys.modules.keys():
        return
    sys.modules["pydicom"] = None  # type: ignore[assignment]
    try:
        import nibabel.nifti1  # noqa: F401
    finally:
        del sys.modules["pydicom"]


def raise_for_failures(errors: Sequence[str | None], kind: str) -> None:
    """Raise an error if some or all cases failed; each failure is also in its row.

    Raises:
        InputError: all cases failed.
        PartlyDoneError: some cases failed.
    """
    failed = [error for error in errors if error]
    if failed and len(failed) == len(errors):
        what = failed[0] if len(failed) == 1 else f"all {len(failed)} {kind} failed"
        raise InputError(what, cure="see their rows")
    if failed:
        raise PartlyDoneError(f"{len(failed)} of {len(errors)} {kind} failed", cure="see their rows")


def raise_for_rows(faults: Sequence[GliomasegError | None], kind: str) -> None:
    """Raise an error if some or all rows failed. If all faults have one exit code, the error has it too.

    Raises:
        GliomasegError: the fault of the only row, or an error with the exit code that all rows share.
        InputError: all rows failed, with different exit codes.
        PartlyDoneError: some rows failed, or lack an output.
    """
    failed = [fault for fault in faults if fault is not None]
    if len(failed) == len(faults) == 1:
        raise failed[0]
    if any(isinstance(fault, PartlyDoneError) for fault in failed):
        what = f"{len(failed)} of {len(faults)} {kind} failed or lack an output"
        raise PartlyDoneError(what, cure="see their rows")
    if failed and len(failed) == len(faults) and len({fault.exit_code for fault in failed}) == 1:
        error = GliomasegError(f"all {len(failed)} {kind} failed", cure="see their rows")
        error.exit_code = failed[0].exit_code
        raise error
    raise_for_failures([None if fault is None else fault.line() for fault in faults], kind)
