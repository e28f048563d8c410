"""Correct a mask: from a few strokes on a scan, and what a person changed."""

from gliomaseg.correction.changes import CorrectionSummary, correction_summary
from gliomaseg.correction.graph_cut import Strokes, graph_cut

__all__ = ["CorrectionSummary", "Strokes", "correction_summary", "graph_cut"]
