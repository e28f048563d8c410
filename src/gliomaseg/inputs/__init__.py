"""From the paths that a user names to scans in memory: find the inputs, choose sequences, name results, and load."""

from gliomaseg.inputs.find_inputs import join_sequences, list_inputs, with_series
from gliomaseg.inputs.input import Input, InputList, Kind, SkippedFile, mask_formats
from gliomaseg.inputs.load import LoadedScan, load_input

__all__ = [
    "Input",
    "InputList",
    "Kind",
    "LoadedScan",
    "SkippedFile",
    "join_sequences",
    "list_inputs",
    "load_input",
    "mask_formats",
    "with_series",
]
