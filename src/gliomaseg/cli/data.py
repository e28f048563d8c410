"""The commands download, phantom, audit and split."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gliomaseg.choices import PhantomFormat
from gliomaseg.cli.options import Data, Grouping, Json, Labels, Layout, Overwrite, PatientPattern, Seed
from gliomaseg.cli.output import data_options, log, print_result
from gliomaseg.cli.paths import Output
from gliomaseg.errors import DataError, UsageError, counted

if TYPE_CHECKING:
    from gliomaseg.data.case_list import CaseList


def download(
    to: Annotated[
        Path | None, typer.Option("--to", help="Folder for the data (default: kagglehub's cache)."), Output.FOLDER
    ] = None,
    source: Annotated[Path | None, typer.Option("--from", help="A local zip or folder to import instead.")] = None,
    overwrite: Overwrite = False,
) -> None:
    """Download the LGG MRI data set, or import a local copy."""
    from gliomaseg.data.download import download as fetch

    root = fetch(to=to, source=source, overwrite=overwrite, progress=log)
    print_result(None, str(root), as_json=False)


def phantom(
    folder: Annotated[Path, typer.Argument(metavar="DIR"), Output.FOLDER],
    patients: Annotated[int, typer.Option("--patients")] = 12,
    seed: Seed = 0,
    size: Annotated[int, typer.Option("--size", min=64, max=1024, help="Side length of a slice in pixels.")] = 256,
    kind: Annotated[
        PhantomFormat, typer.Option("--as", help="tiff: the Kaggle layout; the others have voxel spacing.")
    ] = PhantomFormat.tiff,
    overwrite: Overwrite = False,
) -> None:
    """Write synthetic patients with exact masks."""
    from gliomaseg.phantoms import write_phantoms

    root = write_phantoms(
        folder, patients=patients, seed=seed, side_px=size, overwrite=overwrite, progress=log, kind=kind
    )
    print_result(None, str(root), as_json=False)


def audit(
    data: Data,
    as_json: Json = False,
    html: Annotated[
        Path | None, typer.Option("--html", help="Also write a page with an image of each case."), Output.FILE
    ] = None,
    manifest: Annotated[
        Path | None,
        typer.Option("--manifest", help="Also write the list of cases as CSV, TSV or JSON, to check and edit."),
        Output.FILE,
    ] = None,
    layout: Layout = None,
    labels: Labels = None,
    patient_pattern: PatientPattern = None,
    overwrite: Overwrite = False,
) -> None:
    """Summarise a data set and list its problems. The exit code is 3 if training on it is unsafe."""
    from gliomaseg.data.audit import audit as run_audit
    from gliomaseg.data.case_list import require_outside
    from gliomaseg.data.layouts import read_cases
    from gliomaseg.report.audit_page import AuditPage
    from gliomaseg.report.terminal import audit_text

    cases = read_cases(data, data_options(layout, labels, patient_pattern))
    for out in (html, manifest):
        if out is not None:
            require_outside(cases, out)
    page = AuditPage(html, overwrite=overwrite) if html else None
    if manifest:
        write_list(cases, manifest, overwrite=overwrite)
        log(f"manifest: {manifest}")
    findings = run_audit(cases, progress=log, on_case=page.add if page else None)
    if page:
        page.write(findings)
        log(f"page: {html}")
    print_result(asdict(findings), audit_text(findings), as_json=as_json)
    if not findings.safe:
        raise DataError(
            f"training is unsafe because of {counted(len(findings.problems), 'problem')}",
            where=data,
            cure="repair or remove the files",
        )


def write_list(cases: CaseList, out: Path, *, overwrite: bool) -> None:
    """Write the cases as a manifest.

    Raises:
        OutputExistsError: the file exists and `overwrite` is not set, or it is not ours or was changed since.
        DataError: the suffix is not one of a manifest.
    """
    from gliomaseg.data.layouts.manifest import write_manifest
    from gliomaseg.ownership import OutputFolder

    output = OutputFolder(out.parent, "audit", option="--manifest")
    output.require_replaceable(out, overwrite=overwrite)
    with output.new_file(out) as temporary:
        write_manifest(cases, temporary)


def split(
    data: Data,
    out: Annotated[Path, typer.Option("--out", help="The splits file to write."), Output.FILE],
    by: Annotated[
        Grouping, typer.Option("--by", help="site: each fold leaves one site out; slice: leaks patients to both sides.")
    ] = Grouping.patient,
    folds: Annotated[int | None, typer.Option("--folds", help="Number of folds; each patient validates once.")] = None,
    holdout: Annotated[
        float | None, typer.Option("--holdout", help="Validation share if --folds is not given (default: 0.2).")
    ] = None,
    seed: Seed = 0,
    layout: Layout = None,
    labels: Labels = None,
    patient_pattern: PatientPattern = None,
    overwrite: Overwrite = False,
) -> None:
    """Split a data set into training and validation. Only `--by slice` puts a patient on both sides."""
    from gliomaseg.config import Split, parse_settings
    from gliomaseg.data.layouts import read_cases
    from gliomaseg.data.split import split_data, write_splits
    from gliomaseg.ownership import OutputFolder
    from gliomaseg.report.terminal import splits_text

    if holdout is not None and (folds is not None or by is Grouping.site):
        raise UsageError("--holdout cannot be used with --folds or --by site", cure="omit it")
    share = {} if holdout is None else {"holdout": holdout}
    settings = parse_settings(Split, {"by": by, "folds": folds, "seed": seed, **share}, where="split")
    output = OutputFolder(out.parent, "split")
    output.require_replaceable(out, overwrite=overwrite)
    options = data_options(layout, labels, patient_pattern)
    splits = split_data(read_cases(data, options), settings).read_with(options)
    with output.new_file(out) as temporary:
        write_splits(splits, temporary)
    if splits.warning:
        log(f"warning: {splits.warning}")
    print_result(None, f"{splits_text(splits)}\n{out}", as_json=False)
