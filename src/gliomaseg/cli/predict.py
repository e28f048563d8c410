"""The command predict."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from gliomaseg.cli.options import (
    T1,
    CsvFile,
    Deidentify,
    Engine,
    EngineName,
    Flair,
    Inputs,
    Json,
    MaskFormats,
    MaxMemory,
    Model,
    Out,
    Overwrite,
    Part,
    Probabilities,
    Series,
    SkipExisting,
    T1ce,
    T1ceSeries,
    T1Series,
)
from gliomaseg.cli.output import (
    import_nibabel,
    log,
    open_predictor,
    parse_part,
    parse_size,
    print_result,
    raise_for_rows,
)
from gliomaseg.errors import ResourceError, UsageError, counted

TABLE_SECONDS = 10

if TYPE_CHECKING:
    from gliomaseg.prediction import Input, InputList, PredictOptions, PredictRow, ScanPredictor


def predict(
    out: Out,
    inputs: Inputs = None,
    model: Model = None,
    flair: Flair = None,
    t1: T1 = None,
    t1ce: T1ce = None,
    series: Series = None,
    t1_series: T1Series = None,
    t1ce_series: T1ceSeries = None,
    to: MaskFormats = None,
    engine: Engine = EngineName.onnxruntime,
    probabilities: Probabilities = False,
    deidentify: Deidentify = False,
    max_memory: MaxMemory = "4G",
    csv: CsvFile = None,
    part: Part = None,
    skip_existing: SkipExisting = False,
    as_json: Json = False,
    overwrite: Overwrite = False,
) -> None:
    """Write a mask and an overlay for each scan, on its own grid."""
    from gliomaseg import prediction
    from gliomaseg.inputs.input import Kind
    from gliomaseg.report.prediction_csv import read_csv, require_table, write_csv
    from gliomaseg.report.terminal import dice_note

    options = prediction.PredictOptions(
        to=tuple(to or ()),
        probabilities=probabilities,
        overwrite=overwrite,
        max_bytes=parse_size(max_memory, where="--max-memory"),
        series=series,
        t1_series=t1_series,
        t1ce_series=t1ce_series,
        deidentify=deidentify,
        skip_existing=skip_existing,
    )
    share = None if part is None else parse_part(part)
    if csv is not None:
        require_table(csv, overwrite=overwrite or skip_existing)
    earlier = read_csv(csv) if csv is not None and skip_existing else {}
    entries = _list_inputs(inputs or [], out, flair=flair, t1=t1, t1ce=t1ce)
    prediction.require_options(entries, options)
    _log_skipped(entries, inputs or [])
    entries = entries if share is None else entries.part(*share)
    if any(entry.kind is Kind.VOLUME for entry in entries):
        import_nibabel()
    predictor = open_predictor(model, engine=engine)
    table = None if csv is None else partial(write_csv, csv, earlier=earlier)
    rows, stop = _predict_all(entries, out, predictor, options, as_json=as_json, table=table)
    if as_json:
        print_result([row.document() for row in rows], "", as_json=True)
    elif note := dice_note(rows):
        print_result(None, note, as_json=False)
    if table is not None:
        table(rows)
    if stop is not None:
        raise stop
    raise_for_rows([row.fault for row in rows], "inputs")


def _predict_all(
    entries: Sequence[Input],
    out: Path,
    predictor: ScanPredictor,
    options: PredictOptions,
    *,
    as_json: bool,
    table: Callable[[Sequence[PredictRow]], None] | None,
) -> tuple[list[PredictRow], BaseException | None]:
    """Return one row for each finished input, and the exception that stopped the work early, if any.

    The table is written during the work too, at most every ten seconds: a killed run then loses few rows.
    """
    from gliomaseg.cli.progress import ScanProgress
    from gliomaseg.prediction import failed_row
    from gliomaseg.prediction import predict as predict_module

    rows: list[PredictRow] = []
    next_table_s = 0.0
    progress = ScanProgress(len(entries), as_json=as_json)
    try:
        for entry in entries:
            progress.start(len(rows), entry)
            rows.append(predict_module.predict(entry, out, predictor, options))
            progress.finish(rows[-1])
            if table is not None and time.monotonic() > next_table_s:
                table(rows)
                next_table_s = time.monotonic() + TABLE_SECONDS
    except ResourceError as fault:
        rows.append(failed_row(entries[len(rows)], fault))
        progress.finish(rows[-1])
        return rows, fault
    except KeyboardInterrupt as fault:
        progress.clear()
        log(f"interrupted after {len(rows)} of {counted(len(entries), 'input')}; continue with --skip-existing")
        return rows, fault
    return rows, None


def _log_skipped(entries: InputList, roots: Sequence[Path]) -> None:
    """Print the files that are neither inputs nor belong to one; the rows name the others."""
    from gliomaseg.report.skipped_text import relative_name, skipped_lines

    for line in skipped_lines([(relative_name(file.path, roots), file.reason) for file in entries.left_out]):
        log(f"skipped: {line}")
    if entries.system_files:
        log(f"skipped: system files and hidden files: {entries.system_files}")


def _list_inputs(inputs: list[Path], out: Path, *, flair: Path | None, t1: Path | None, t1ce: Path | None) -> InputList:
    from gliomaseg.prediction import InputList, join_sequences, list_inputs

    if flair is not None and not inputs:
        entry = join_sequences(flair, t1=t1, t1ce=t1ce)
        return InputList((entry,), entry.skipped)
    if flair is not None or t1 is not None or t1ce is not None:
        cure = "give --flair, and --t1 and --t1ce if available, without INPUT"
        raise UsageError("--flair, --t1 and --t1ce describe one case, which needs FLAIR", cure=cure)
    if not inputs:
        raise UsageError("nothing to predict", cure="name a scan, or --flair")
    return list_inputs(inputs, without=out)
