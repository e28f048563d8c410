"""Correct a mask: computed again from a few strokes on a scan, and what a person changed."""

from gliomaseg.correction.changes import CorrectionSummary, correction_summary
from gliomaseg.correction.graph_cut import graph_cut

__all__ = ["CorrectionSummary", "correction_summary", "graph_cut"]
