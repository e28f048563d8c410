"""From a scan to a mask on its own grid: no torch, a few slices at a time."""

from gliomaseg.prediction.ensemble import WeightedEnsemble, open_models
from gliomaseg.prediction.inputs import Input, join_sequences, list_inputs
from gliomaseg.prediction.predictor import Predictor, Predicts, engine_of, open_predictor
from gliomaseg.prediction.verb import Row, Wish, failed_row, predict, require_sense

__all__ = [
    "Input",
    "Predictor",
    "Predicts",
    "Row",
    "WeightedEnsemble",
    "Wish",
    "engine_of",
    "failed_row",
    "join_sequences",
    "list_inputs",
    "open_models",
    "open_predictor",
    "predict",
    "require_sense",
]
