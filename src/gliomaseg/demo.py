"""The whole road on phantoms: what a newcomer runs first, and what proves an installation."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from gliomaseg import evaluation
from gliomaseg.config import read_recipe
from gliomaseg.data.audit import audit
from gliomaseg.data.case_list import CaseList
from gliomaseg.data.layouts import read_cases
from gliomaseg.data.split import read_splits, select, split_data, write_splits
from gliomaseg.errors import DataError, GliomasegError
from gliomaseg.ownership import OutputFolder
from gliomaseg.phantoms import write_phantoms
from gliomaseg.prediction import PredictOptions, list_inputs, open_predictor
from gliomaseg.prediction.predict import predict
from gliomaseg.report.terminal import audit_text, splits_text, summary_text
from gliomaseg.training.run_folder import TrainOptions, run_output
from gliomaseg.training.train import train

PATIENTS = 12
_CACHE = ("*/images.npy", "*/manifest.json", "*/masks.npy")


def run_demo(out: Path, recipe: str, *, overwrite: bool, log: Callable[[str], None]) -> dict[str, str]:
    """Make phantoms, audit, split by patient, train, evaluate on the unseen ones, and predict one of them.

    Args:
        out: the demo's folder.
        recipe: a packaged recipe or a TOML file.
        overwrite: whether the files of an earlier demo are replaced; other files stay.
        log: called with one line for each step.

    Returns:
        Where the data, model, metrics and pictures are.

    Raises:
        OutputExistsError: the folder is not empty, or with `overwrite` contains other files.
    """
    start = time.monotonic()
    chosen = read_recipe(recipe).with_settings(["split.by=patient"])
    _require_free(out, overwrite=overwrite)
    index = _phantoms(out / "data", overwrite=overwrite, log=log)
    data = index.root
    log("[3/6] splitting them by patient")
    splits = split_data(index, chosen.split)
    with OutputFolder(out, "demo").new_file(out / "splits.json") as temporary:
        write_splits(splits, temporary)
    log(splits_text(splits))
    log(f"[4/6] training: {chosen.title}")
    order = TrainOptions(
        chosen, data, out / "run", splits=out / "splits.json", overwrite=overwrite, cache=out / "cache"
    )
    model = train(order, say=log)
    picked = _use(model, index, out, overwrite=overwrite, log=log)
    OutputFolder(out / "cache", "demo", growing=_CACHE).remove_own([out / "cache"])
    log(f"done in {time.monotonic() - start:.0f} s")
    return {
        "data": str(data),
        "model": str(model),
        "metrics": str(out / "evaluation" / "metrics.json"),
        "picture": str(out / "run" / "samples.png"),
        "curves": str(out / "run" / "curves.png"),
        "masks": str(out / "prediction" / picked),
    }


def _require_free(out: Path, *, overwrite: bool) -> None:
    """Raise if the folder has files that no demo wrote, or that were changed since."""
    parts = {
        "cache": OutputFolder(out / "cache", "demo", growing=_CACHE),
        "data": OutputFolder(out / "data", "phantom"),
        "evaluation": OutputFolder(out / "evaluation", "evaluate"),
        "prediction": OutputFolder(out / "prediction", "predict"),
        "run": run_output(out / "run"),
    }
    own = OutputFolder(out, "demo")
    own.require_replaceable(overwrite=overwrite)
    for entry in sorted(out.glob("*")):
        parts.get(entry.name, own).require_replaceable(entry, overwrite=overwrite)


def _phantoms(folder: Path, *, overwrite: bool, log: Callable[[str], None]) -> CaseList:
    """Make the patients and audit them."""
    log(f"[1/6] making {PATIENTS} phantom patients")
    data = write_phantoms(folder, patients=PATIENTS, overwrite=overwrite, progress=None)
    log("[2/6] auditing them")
    index = read_cases(data)
    findings = audit(index)
    log(audit_text(findings))
    if not findings.safe:
        raise DataError("the phantoms are not safe to train on", where=data)
    return index


def _use(model: Path, index: CaseList, out: Path, *, overwrite: bool, log: Callable[[str], None]) -> str:
    """Evaluate a model on the validation patients, predict one of them, and return that one's name."""
    log("[5/6] evaluating on the validation patients, without torch")
    predictor = open_predictor(model)
    side = evaluation.CaseSelection(out / "splits.json")
    scoring = evaluation.EvaluateOptions(index.root, out / "evaluation", side, overwrite=overwrite)
    metrics = evaluation.evaluate_into(scoring, predictor, progress=log)
    log(summary_text(metrics.summary))
    log("[6/6] predicting one of them")
    case = select(index, read_splits(side.splits).folds[0].validation)[0]
    found = predict(
        list_inputs([index.root / case.name])[0], out / "prediction", predictor, PredictOptions(overwrite=overwrite)
    )
    if found.error:
        raise GliomasegError(found.error)
    return case.name
