"""How good a model is on patients with a reference mask: every measure under its name, with its interval."""

from gliomaseg.evaluation.assemble import Evaluation, assemble, dumps
from gliomaseg.evaluation.case_scores import ScoreGrid
from gliomaseg.evaluation.evaluate import (
    CaseSelection,
    EvaluateOptions,
    evaluate_data,
    evaluate_into,
    learning_curve,
    measure_cases,
)
from gliomaseg.evaluation.summary import summarise

__all__ = [
    "CaseSelection",
    "EvaluateOptions",
    "Evaluation",
    "ScoreGrid",
    "assemble",
    "dumps",
    "evaluate_data",
    "evaluate_into",
    "learning_curve",
    "measure_cases",
    "summarise",
]
