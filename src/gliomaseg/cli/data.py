"""Commands about data: fetch or make them, look at them, split them."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from gliomaseg.choices import PhantomFormat
from gliomaseg.cli.options import Data, Grouping, Json, Overwrite, Seed
from gliomaseg.cli.output import say, show
from gliomaseg.errors import DataError, UsageError


def download(
    to: Annotated[Path | None, typer.Option("--to", help="Where the data go (default: kagglehub's cache).")] = None,
    source: Annotated[Path | None, typer.Option("--from", help="A zip or a folder that you have already.")] = None,
    overwrite: Overwrite = False,
) -> None:
    """Fetch the LGG MRI data set through kagglehub, or take it from a local copy."""
    from gliomaseg.data.download import download as fetch

    root = fetch(to=to, source=source, overwrite=overwrite, progress=say)
    show(None, str(root), as_json=False)


def phantom(
    folder: Annotated[Path, typer.Argument(metavar="DIR")],
    patients: Annotated[int, typer.Option("--patients")] = 12,
    seed: Seed = 0,
    size: Annotated[int, typer.Option("--size", min=64, max=1024, help="Side of a slice in pixels.")] = 256,
    kind: Annotated[
        PhantomFormat, typer.Option("--as", help="tiff: the Kaggle layout; nifti, dicom: with their spacing.")
    ] = PhantomFormat.tiff,
    overwrite: Overwrite = False,
) -> None:
    """Make phantom patients that look like the data set, with exact masks."""
    from gliomaseg.phantoms import write_phantoms

    root = write_phantoms(
        folder, patients=patients, seed=seed, side_px=size, overwrite=overwrite, progress=say, kind=kind
    )
    show(None, str(root), as_json=False)


def audit(data: Data, as_json: Json = False) -> None:
    """Say what a data set holds and what is wrong with it; exit 3 where training would be unsafe."""
    from gliomaseg.data.audit import audit as find
    from gliomaseg.data.index import read_index
    from gliomaseg.report.terminal import audit_text

    findings = find(read_index(data), progress=say)
    show(asdict(findings), audit_text(findings), as_json=as_json)
    if not findings.safe:
        raise DataError(
            f"{len(findings.problems)} problem(s) make training unsafe", where=data, cure="mend or move them"
        )


def split(
    data: Data,
    out: Annotated[Path, typer.Option("--out", help="The splits file to write.")],
    by: Annotated[
        Grouping, typer.Option("--by", help="site leaves one site out a fold; slice leaks, as the notebook does.")
    ] = Grouping.patient,
    folds: Annotated[int | None, typer.Option("--folds", help="As many folds, each patient validating once.")] = None,
    holdout: Annotated[
        float | None, typer.Option("--holdout", help="The share that validates, without --folds (default: 0.2).")
    ] = None,
    seed: Seed = 0,
    overwrite: Overwrite = False,
) -> None:
    """Draw who trains and who validates; a patient is never on two sides unless --by slice says so."""
    from gliomaseg.atomic import require_free
    from gliomaseg.config import Split, parse_settings
    from gliomaseg.data.index import read_index
    from gliomaseg.data.split import split_data, write_splits
    from gliomaseg.report.terminal import splits_text

    if holdout is not None and (folds is not None or by is Grouping.site):
        raise UsageError("means nothing with --folds or --by site", where="--holdout", cure="leave it out")
    share = {} if holdout is None else {"holdout": holdout}
    settings = parse_settings(Split, {"by": by, "folds": folds, "seed": seed, **share}, where="split")
    require_free(out, overwrite=overwrite)
    splits = split_data(read_index(data), settings)
    write_splits(splits, out)
    if splits.warning:
        say(f"warning: {splits.warning}")
    show(None, f"{splits_text(splits)}\n{out}", as_json=False)
