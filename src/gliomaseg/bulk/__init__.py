"""Archives of scans on Ray Data: predict each case once, on this machine or on a cluster, and continue after a kill."""

from gliomaseg.bulk.run import BulkOptions, BulkSummary, predict_archive

__all__ = ["BulkOptions", "BulkSummary", "predict_archive"]
