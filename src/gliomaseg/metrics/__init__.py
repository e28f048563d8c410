"""Measures: pure functions of masks, probabilities and counts, on NumPy and SciPy only."""
