"""The command predict."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from gliomaseg.cli.options import (
    T1,
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
    Probabilities,
    Series,
    T1ce,
)
from gliomaseg.cli.output import import_nibabel, log, open_predictor, parse_size, print_result, raise_for_rows
from gliomaseg.errors import ResourceError, UsageError

if TYPE_CHECKING:
    from gliomaseg.prediction import Input, PredictOptions, PredictRow, ScanPredictor


def predict(
    out: Out,
    inputs: Inputs = None,
    model: Model = None,
    flair: Flair = None,
    t1: T1 = None,
    t1ce: T1ce = None,
    series: Series = None,
    to: MaskFormats = None,
    engine: Engine = EngineName.onnxruntime,
    probabilities: Probabilities = False,
    deidentify: Deidentify = False,
    max_memory: MaxMemory = "4G",
    as_json: Json = False,
    overwrite: Overwrite = False,
) -> None:
    """Write a mask and an overlay for each scan, on its own grid."""
    from gliomaseg import prediction
    from gliomaseg.prediction.inputs import Kind
    from gliomaseg.report.terminal import rows_text

    options = prediction.PredictOptions(
        to=tuple(to or ()),
        probabilities=probabilities,
        overwrite=overwrite,
        max_bytes=parse_size(max_memory, where="--max-memory"),
        series=series,
        deidentify=deidentify,
    )
    entries = _list_inputs(inputs or [], flair=flair, t1=t1, t1ce=t1ce)
    prediction.require_options(entries, options)
    if any(entry.kind is Kind.VOLUME for entry in entries):
        import_nibabel()
    predictor = open_predictor(model, engine=engine)
    rows, stop = _predict_all(entries, out, predictor, options)
    print_result([row.document() for row in rows], rows_text(rows), as_json=as_json)
    if stop is not None:
        raise stop
    raise_for_rows([row.fault for row in rows], "inputs")


def _predict_all(
    entries: Sequence[Input], out: Path, predictor: ScanPredictor, options: PredictOptions
) -> tuple[list[PredictRow], BaseException | None]:
    """Return one row for each finished input, and the exception that stopped the work early, if any."""
    from gliomaseg.prediction import failed_row
    from gliomaseg.prediction import predict as predict_module

    rows: list[PredictRow] = []
    try:
        for entry in entries:
            rows.append(predict_module.predict(entry, out, predictor, options))
            for warning in rows[-1].warnings:
                log(f"warning: {rows[-1].input}: {warning}")
    except ResourceError as fault:
        return [*rows, failed_row(entries[len(rows)], fault)], fault
    except KeyboardInterrupt as fault:
        return rows, fault
    return rows, None


def _list_inputs(inputs: list[Path], *, flair: Path | None, t1: Path | None, t1ce: Path | None) -> list[Input]:
    from gliomaseg.prediction import join_sequences, list_inputs

    if flair is not None and not inputs:
        return [join_sequences(flair, t1=t1, t1ce=t1ce)]
    if flair is not None or t1 is not None or t1ce is not None:
        cure = "give --flair, and --t1 and --t1ce if available, without INPUT"
        raise UsageError("--flair, --t1 and --t1ce describe one case, which needs FLAIR", cure=cure)
    if not inputs:
        raise UsageError("nothing to predict", cure="name a scan, or --flair")
    return list_inputs(inputs)
