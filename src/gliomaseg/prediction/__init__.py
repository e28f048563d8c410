"""From a scan to a mask on its own grid: no torch, a few slices at a time."""

from gliomaseg.inputs import Input, InputList, SkippedFile, join_sequences, list_inputs
from gliomaseg.prediction.ensemble import WeightedEnsemble, open_models
from gliomaseg.prediction.predict import PredictOptions, PredictRow, failed_row, require_options
from gliomaseg.prediction.predictor import Predictor, ScanPredictor, engine_of, open_predictor

__all__ = [
    "Input",
    "InputList",
    "PredictOptions",
    "PredictRow",
    "Predictor",
    "ScanPredictor",
    "SkippedFile",
    "WeightedEnsemble",
    "engine_of",
    "failed_row",
    "join_sequences",
    "list_inputs",
    "open_models",
    "open_predictor",
    "require_options",
]
