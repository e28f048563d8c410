"""Several models for one scan: the prediction of which the most is to be expected is taken."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from gliomaseg.engines import DEFAULT
from gliomaseg.model import Model, joint_digest, load_model
from gliomaseg.prediction.predictor import Prediction, Predictor, Predicts, predictor_of, running_digest
from gliomaseg.scan import Scan


class Choice:
    """Models of which each scan gets one; but for the last model's, an engine is opened when a scan asks for it."""

    def __init__(self, models: Sequence[Model], *, engine: str = DEFAULT) -> None:
        """Keep models, those of many sequences first, and open the last: what is wrong with an engine is told at once.

        Raises:
            ModelError: what the engine runs is not in the last model.
            UsageError: there is no such engine.
            MissingExtraError: the engine is not installed.
        """
        self.models = tuple(sorted(models, key=lambda model: -len(model.config.sequences)))
        self.engine = engine
        last = self.models[-1]
        self._open: dict[Path, Predictor] = {last.folder: predictor_of(last, engine=engine)}

    @property
    def digest(self) -> str:
        """The SHA-256 of the digests of what runs of each model, in their order."""
        return joint_digest(running_digest(model, self.engine) for model in self.models)

    def predict(self, scan: Scan) -> Prediction:
        """Return, of the models that look at nothing that a scan lacks, the prediction of the highest Dice to expect.

        One that is warned of is taken only where all are; all warnings are kept. Of equals it is that of the model that
        looks at most. Where a model was never fitted for a Dice to expect, only that one is asked; where every model
        looks at something that the scan lacks, the one that looks at least.

        Raises:
            ModelError: what the engine runs is not in a model.
        """
        best, *others = self._able(scan)
        found = self._predictor(best).predict(scan)
        warnings = list(found.warnings)
        for model in others:
            other = self._predictor(model).predict(scan)
            warnings += [warning for warning in other.warnings if warning not in warnings]
            found = max(found, other, key=_rank)  # the first of equals
        return replace(found, warnings=tuple(warnings))

    def _able(self, scan: Scan) -> list[Model]:
        held = scan.held
        able = [model for model in self.models if held.issuperset(model.config.sequences)] or [self.models[-1]]
        return able if all(model.config.quality for model in able) else able[:1]

    def _predictor(self, model: Model) -> Predictor:
        if model.folder not in self._open:
            self._open[model.folder] = predictor_of(model, engine=self.engine)
        return self._open[model.folder]


def _rank(prediction: Prediction) -> tuple[int, float]:
    return -len(prediction.warnings), prediction.predicted_dice or 0.0


def open_choice(models: Sequence[Path], *, engine: str = DEFAULT) -> Predicts:
    """Return what predicts with several models, or with one.

    Args:
        models: folders, runs or cross-validations; at least one.
        engine: its name.

    Raises:
        ModelError: one of them is no whole model.
        UsageError: there is no such engine.
        MissingExtraError: the engine is not installed.
    """
    loaded = [load_model(model) for model in models]
    return Choice(loaded, engine=engine) if len(loaded) > 1 else predictor_of(loaded[0], engine=engine)
