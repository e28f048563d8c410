"""The work list of `serve`: a folder of cases to correct, and the folder of corrected masks."""
