"""Several models, for scans that hold more or less: each scan gets the one that looks at most of it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from gliomaseg.engines import DEFAULT
from gliomaseg.model import Model, load_model
from gliomaseg.prediction.predictor import Predictor, Predicts, predictor_of, running_digest
from gliomaseg.scan import Scan


class Choice:
    """Models of which each scan gets one; but for the last model's, an engine is opened when a scan wants it."""

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
        digests = " ".join(running_digest(model, self.engine) for model in self.models)
        return hashlib.sha256(digests.encode("ascii")).hexdigest()

    def suited(self, scan: Scan) -> Predictor:
        """Return the predictor of the model that looks at most of what a scan holds, and at nothing that it lacks.

        Where there is none, it is the model that looks at least.

        Raises:
            ModelError: what the engine runs is not in the model.
        """
        held = scan.held
        model = next((model for model in self.models if held.issuperset(model.config.sequences)), self.models[-1])
        if model.folder not in self._open:
            self._open[model.folder] = predictor_of(model, engine=self.engine)
        return self._open[model.folder]


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
