"""Evaluate the weighted mean of two models: combine two cross-validations with the same folds.

    python studies/ensemble.py crossed crossed-t1 --data lgg --out both
    gliomaseg compare crossed both

Both cross-validations need `--tune` and the same folds. Each patient is predicted as by the bundled models, with the
two networks that were not trained on it. Their postprocessing and Dice estimators were fitted on the other folds.
`both/metrics.json` is an evaluation for `studies/card_tables.py`, `gliomaseg compare` and `gliomaseg report`. The
output also has the agreement of the predicted with the true Dice.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Collection, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from gliomaseg.atomic import write_text
from gliomaseg.data.case import Case, LoadedCase, read_case
from gliomaseg.data.layouts import read_cases
from gliomaseg.data.split import read_splits, select
from gliomaseg.errors import GliomasegError, UsageError
from gliomaseg.evaluation import ScoreGrid, assemble, dumps, measure_cases
from gliomaseg.evaluation.dice_estimation import fit_dice_estimator, measure_quality
from gliomaseg.evaluation.documents import read_evaluation
from gliomaseg.evaluation.results import METRICS, CaseScores, Evaluation, EvaluationSetting
from gliomaseg.evaluation.scoring import ScoredCase
from gliomaseg.model import SPLITS, Model, load_model
from gliomaseg.prediction import WeightedEnsemble
from gliomaseg.prediction.prediction import AND

Row = dict[str, Any]


def say(text: str) -> None:
    """Print a line of progress to stderr."""
    sys.stderr.write(f"{text}\n")


@dataclass(frozen=True)
class Crossed:
    """A tuned cross-validation: its folder and its evaluation."""

    folder: Path
    document: Evaluation

    def model(self, fold: int) -> Model:
        """Return the model of a fold; its postprocessing and Dice estimator are fitted on the other folds.

        Raises:
            ModelError: it is missing or damaged.
        """
        model = load_model(self.folder / f"fold-{fold}")
        others = [row for row in self.document.patients if row.fold != fold]
        learned = {
            "name": self.folder.resolve().name,
            "postprocessing": self.document.postprocessing_by_fold[fold],
            "dice_estimator": fit_dice_estimator(others).dice_estimator,
        }
        return replace(model, config=model.config.model_copy(update=learned))


def read_tuned(folder: Path) -> Crossed:
    """Return a cross-validation with the postprocessing of each fold.

    Raises:
        DataError: there is no evaluation in the folder.
        FormatError: it cannot be read as one.
        UsageError: it is not of a tuned cross-validation.
    """
    document = read_evaluation(folder)
    folds = range(len(document.postprocessing_by_fold))
    if not folds or not all(row.fold in folds for row in document.patients):
        raise UsageError("is not of `gliomaseg crossvalidate --tune`", where=folder)
    return Crossed(folder, document)


def fold_ensembles(crossed: Sequence[Crossed], data: Path) -> Iterator[tuple[int, Sequence[Case], WeightedEnsemble]]:
    """Yield the number of each fold, its patients, and the networks that were not trained on them.

    Args:
        crossed: with the same folds.
        data: what they were measured on.

    Raises:
        GliomasegError: a fold, or something of the data, is missing or damaged, or the folds differ.
    """
    index, splits = read_cases(data), read_splits(crossed[0].folder / SPLITS)
    many = {len(one.document.postprocessing_by_fold) for one in crossed} != {len(splits.folds)}
    if many or any(read_splits(one.folder / SPLITS) != splits for one in crossed):
        raise UsageError("have other folds", where=" and ".join(str(one.folder) for one in crossed))
    for number, fold in enumerate(splits.folds):
        yield number, select(index, fold.validation), WeightedEnsemble([one.model(number) for one in crossed])


def patients_with_tumour(
    crossed: Sequence[Path], data: Path, folds: Collection[int] = ()
) -> Iterator[tuple[LoadedCase, WeightedEnsemble]]:
    """Yield each patient with tumour, and the networks that were not trained on this patient.

    Args:
        crossed: tuned cross-validations with the same folds.
        data: what they were measured on.
        folds: which folds; all if it is empty.

    Raises:
        GliomasegError: as of `read_tuned` and `fold_ensembles`.
    """
    for number, cases, ensemble in fold_ensembles([read_tuned(folder) for folder in crossed], data):
        if folds and number not in folds:
            continue
        say(f"fold {number}: {len(cases)} patients")
        for examination in map(read_case, cases):
            if examination.reference.any():
                yield examination, ensemble


def trust_of(rows: Sequence[CaseScores]) -> dict[str, Any]:
    """Return how well predicted Dice ranks the patients; the predicted Dice of an empty mask counts as 0."""
    scored = [row for row in rows if row.dice_volume is not None]
    dice = np.array([row.dice_volume for row in scored])
    guess = np.array([row.predicted_dice or 0.0 for row in scored])
    return asdict(measure_quality(guess, dice))


def measure_together(crossed: Sequence[Crossed], data: Path) -> Evaluation:
    """Return the evaluation of all patients, each predicted by the two networks that were not trained on it.

    Raises:
        GliomasegError: as of `fold_ensembles`.
    """
    start = time.perf_counter()
    measured: list[ScoredCase] = []
    for number, cases, ensemble in fold_ensembles(crossed, data):
        measured += measure_cases(cases, ensemble, grid=ScoreGrid(), fold=number, progress=say)
    names = AND.join(one.folder.resolve().name for one in crossed)
    first = EvaluationSetting.model_validate(crossed[0].document.setting.model_dump())  # with all fields
    setting = first.joined_with(EvaluationSetting(model=names, model_digests=None, threshold=None))
    return assemble(measured, setting=setting, grid=ScoreGrid(), seconds=time.perf_counter() - start)


def main() -> None:
    """Predict all patients, write the evaluation, and print the scores."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("first", type=Path, help="cross-validation of the FLAIR model")
    parser.add_argument("second", type=Path, help="cross-validation of the T1 and FLAIR model")
    for name in ("--data", "--out"):
        parser.add_argument(name, type=Path, required=True)
    arguments = parser.parse_args()
    if arguments.out.exists():
        parser.error(f"{arguments.out} exists: name another folder")
    try:
        crossed = [read_tuned(folder) for folder in (arguments.first, arguments.second)]
        both = measure_together(crossed, arguments.data)
        arguments.out.mkdir(parents=True)
        write_text(arguments.out / METRICS, dumps(both))
    except GliomasegError as fault:
        parser.exit(fault.exit_code, f"{fault.line()}\n")
    report = {
        "first": crossed[0].document.summary["dice_volume"].model_dump(),
        "second": crossed[1].document.summary["dice_volume"].model_dump(),
        "both": both.summary["dice_volume"].model_dump(),
        "predicted Dice": trust_of(both.patients),
    }
    sys.stdout.write(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
