"""From a scan to a mask on its own grid: no torch, a few slices at a time."""

from gliomaseg.prediction.inputs import Input, list_inputs
from gliomaseg.prediction.predictor import Predictor, open_predictor
from gliomaseg.prediction.verb import Row, predict

__all__ = ["Input", "Predictor", "Row", "list_inputs", "open_predictor", "predict"]
