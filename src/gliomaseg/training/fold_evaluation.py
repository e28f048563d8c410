"""Evaluation of a cross-validation: each case is predicted by the network of its fold, not trained on it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gliomaseg.config import Postprocessing
from gliomaseg.data.case import Case, read_case, with_sequences
from gliomaseg.errors import GliomasegError
from gliomaseg.evaluation import (
    CaseScores,
    Evaluation,
    EvaluationSetting,
    ScoreGrid,
    assemble,
    learning_curve,
    measure_cases,
    measure_copies,
)
from gliomaseg.evaluation.evaluate import count_training_patients
from gliomaseg.evaluation.postprocessing_search import Trial, choose_postprocessing, try_postprocessing
from gliomaseg.evaluation.results import LearningCurve
from gliomaseg.evaluation.scoring import ScoredCase
from gliomaseg.evaluation.subgroups import groups_of_copies
from gliomaseg.ownership import file_digest
from gliomaseg.prediction import open_predictor
from gliomaseg.prediction.predictor import used_sequences


@dataclass(frozen=True)
class TrainedFold:
    """A fold's run, and the cases that it was not trained on."""

    run: Path
    validation: tuple[Case, ...]


@dataclass(frozen=True, kw_only=True)
class FoldEvaluator:
    """Evaluates the cases of all folds.

    Attributes:
        with_copies: whether the changed copies of the cases are measured too.
        grid: how lengths are measured.
        folder: for an image of each case.
        start: when the work began, of `time.perf_counter`.
        say: called with lines of progress.
    """

    with_copies: bool
    grid: ScoreGrid
    folder: Path
    start: float
    say: Callable[[str], None]

    def evaluate(
        self, folds: Sequence[TrainedFold], setting: EvaluationSetting, *, chosen: ChosenPostprocessing | None
    ) -> Evaluation:
        """Return the evaluation of all cases, including the scores of their changed copies.

        Args:
            folds: in their order.
            setting: describes the data and the split; the fields on the models are added.
            chosen: the postprocessing of each fold; None for that of its recipe.
        """
        measured: list[ScoredCase] = []
        copies: list[CaseScores] = []
        learning, digests = [], []
        for number, fold in enumerate(folds):
            predictor = open_predictor(fold.run)
            if chosen:
                predictor = predictor.with_postprocessing(chosen.each[number])
            measured += measure_cases(
                fold.validation, predictor, grid=self.grid, fold=number, folder=self.folder, progress=self.say
            )
            if self.with_copies:
                copies += measure_copies(fold.validation, predictor, grid=self.grid, fold=number, progress=self.say)
            learning.append(LearningCurve(fold=number, lines=learning_curve(fold.run)))
            digests.append(file_digest(predictor.model.onnx))
        cases = [case for fold in folds for case in fold.validation]
        seen = count_training_patients(cases, measured)
        setting = setting.joined_with(EvaluationSetting(model_digests=digests, patients_seen=seen))
        evaluation = assemble(measured, setting=setting, grid=self.grid, seconds=time.perf_counter() - self.start)
        changes: dict[str, Any] = {"learning": learning}
        if copies:
            changes |= {"copies": copies, "subgroups": [*evaluation.subgroups, *groups_of_copies(copies)]}
        if chosen:
            changes |= {"postprocessing": chosen.whole, "postprocessing_by_fold": list(chosen.each)}
        return evaluation.model_copy(update=changes)


@dataclass(frozen=True)
class ChosenPostprocessing:
    """Chosen postprocessing: for the ensemble, on all patients; for each fold, on the patients of the other folds."""

    whole: Postprocessing
    each: tuple[Postprocessing, ...]


def choose_for_folds(
    folds: Sequence[TrainedFold], *, tta_flip: bool, in_ml: bool, say: Callable[[str], None]
) -> ChosenPostprocessing:
    """Choose the postprocessing from predictions of every patient by the model that was not trained on this patient.

    Args:
        folds: in their order.
        tta_flip: whether the models use flip TTA.
        in_ml: whether the size of components is in ml, not in voxels.
        say: called with lines of progress.
    """
    trials: list[list[Trial]] = []
    for number, fold in enumerate(folds):
        predictor = open_predictor(fold.run).with_postprocessing(Postprocessing(tta_flip=tta_flip))
        say(f"trying postprocessing settings on the patients of fold {number + 1} of {len(folds)}")
        trials.append([])
        for case in fold.validation:
            try:
                examination = read_case(with_sequences(case, used_sequences(predictor)))
                scan, reference = examination.scan, examination.reference
                voxel_ml = (scan.voxel_ml or 0.001) if in_ml else None  # without an affine: 1 mm
                trials[-1].append(try_postprocessing(predictor.probability(scan), reference, voxel_ml=voxel_ml))
            except GliomasegError as fault:  # the case's row of the evaluation has the reason
                say(f"{case.name} is not used for the choice: {fault.line()}")
    others = [
        [trial for k, some in enumerate(trials) if k != number for trial in some] for number in range(len(trials))
    ]
    each = tuple(choose_postprocessing(some, tta_flip=tta_flip) for some in others)
    whole = choose_postprocessing([trial for some in trials for trial in some], tta_flip=tta_flip)
    size = f"{whole.min_component_ml:g} ml" if in_ml else f"{whole.min_component_voxels} voxels"
    say(
        f"chosen on all folds: threshold {whole.threshold:g}, temperature {whole.temperature:g}, "
        f"minimum component size {size}; each fold gets the choice of the others"
    )
    return ChosenPostprocessing(whole, each)
