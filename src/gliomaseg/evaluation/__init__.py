"""Measure a model or the masks of any tool: every measure of each case, with means and confidence intervals."""

from gliomaseg.evaluation.case_measurement import grid_for, measure_cases, measure_copies
from gliomaseg.evaluation.documents import dumps, learning_curve, read_evaluation
from gliomaseg.evaluation.evaluate import CaseSelection, EvaluateOptions, MaskSource, evaluate_data, evaluate_into
from gliomaseg.evaluation.results import CaseScores, Evaluation, EvaluationSetting, MeasureSummary, Summary
from gliomaseg.evaluation.scoring import ScoreGrid, assemble
from gliomaseg.evaluation.summaries import summarise

__all__ = [
    "CaseScores",
    "CaseSelection",
    "EvaluateOptions",
    "Evaluation",
    "EvaluationSetting",
    "MaskSource",
    "MeasureSummary",
    "ScoreGrid",
    "Summary",
    "assemble",
    "dumps",
    "evaluate_data",
    "evaluate_into",
    "grid_for",
    "learning_curve",
    "measure_cases",
    "measure_copies",
    "read_evaluation",
    "summarise",
]
