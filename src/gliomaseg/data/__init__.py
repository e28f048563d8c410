"""Data sets: fetched, made, listed, checked, split, and prepared once."""
