"""A model on its engine: scans in, probabilities and masks out."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from gliomaseg.arrays import Mask, Probability
from gliomaseg.engines import DEFAULT, Engine, open_engine
from gliomaseg.model import Model, load_model
from gliomaseg.prediction.decision import decide, judge
from gliomaseg.preprocessing import level_counts, neighbour_places, normalise, prepare, restore, with_neighbours
from gliomaseg.scan import Scan

BATCH = 4


class Predictor:
    """A model and the engine it runs on, loaded once for many scans."""

    def __init__(self, model: Model, engine: Engine) -> None:
        self.model = model
        self._engine = engine

    def probability(self, scan: Scan) -> Probability:
        """Return how likely each voxel of a scan is tumour: float32 in [0, 1], shape (z, y, x)."""
        preparation = self.model.config.preparation
        prepared = prepare(scan, preparation)
        slices, count = prepared.slices, len(prepared.slices)
        counts = level_counts(slices)
        ends = np.array([0]), np.array([count - 1])
        places = neighbour_places(np.arange(count), *ends, neighbours=preparation.neighbours)
        bright = np.asarray(slices.any(axis=(1, 2, 3)))
        black = ~bright[places].any(axis=1)
        # Black slices of one scan are the same input, so they have the same answer: the first one's is all of theirs.
        worked = np.flatnonzero(~black | (np.cumsum(black) == 1))
        found = np.empty((count, *slices.shape[2:]), np.float32)
        for start in range(0, len(worked), BATCH):
            chosen = worked[start : start + BATCH]
            batch = normalise(with_neighbours(slices, places[chosen]), preparation, counts)
            found[chosen] = judge(batch, self._engine.probabilities, self.model.config.decision)
        if black.any():
            found[black] = found[black.argmax()]
        return restore(found, prepared)

    def mask(self, scan: Scan) -> Mask:
        """Return the tumour's mask on the scan's own grid: bool, shape (z, y, x)."""
        return self.decide(self.probability(scan))

    def decide(self, probability: Probability) -> Mask:
        """Return where the model's probabilities (z, y, x) of a scan mean tumour: bool, same shape."""
        return decide(probability, self.model.config.decision)


def open_predictor(model: Path, *, engine: str = DEFAULT) -> Predictor:
    """Return a predictor for a model folder or a run.

    Raises:
        ModelError: there is no whole model.
        UsageError: there is no such engine.
        MissingExtraError: the engine is not installed.
    """
    loaded = load_model(model)
    config = loaded.config
    opened = open_engine(
        engine, onnx=loaded.onnx, weights=loaded.weights, network=config.network, inputs=config.preparation.inputs
    )
    return Predictor(loaded, opened)
