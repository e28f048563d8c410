"""Measures: pure functions of masks and counts, NumPy only."""
