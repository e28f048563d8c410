"""How good a model is on patients with a reference mask: every measure under its name, with its interval."""

from gliomaseg.evaluation.assembly import Evaluation, assemble, dumps
from gliomaseg.evaluation.patient import Grid
from gliomaseg.evaluation.summary import summarise
from gliomaseg.evaluation.verb import Order, Side, evaluate, evaluate_data, evaluate_into, learning_curve, measure_cases

__all__ = [
    "Evaluation",
    "Grid",
    "Order",
    "Side",
    "assemble",
    "dumps",
    "evaluate",
    "evaluate_data",
    "evaluate_into",
    "learning_curve",
    "measure_cases",
    "summarise",
]
