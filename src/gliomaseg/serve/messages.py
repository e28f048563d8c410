"""Messages of the package for clients of the API, which have form fields in place of options."""

from __future__ import annotations

import re

from gliomaseg.errors import DataError, FormatError, GeometryError, GliomasegError, ResourceError

_REPLACEMENTS = (
    (r", or raise the memory limit \(--max-memory, in Python max_bytes\)", ""),
    (r"give it \(--t1, in Python t1\)", "send it too, in the field t1 or with t1 in its name"),
    (r"pass it with --t1, and FLAIR with --flair", "send it in the field t1, and FLAIR in the field flair"),
    (r"pass the FLAIR channel with --flair", "send the FLAIR channel in the field flair"),
    (r"choose one \(--series, in Python series\)", "send its number or its UID in the field series"),
    (r"choose another one \(--(t1|t1ce)-series, in Python \w+\)", r"send another one in the field \1_series"),
    (r"add --t1-series (\S+) to use it", r"send \1 in the field t1_series to use it"),
    (r"or pass another --(t1|t1ce)-series", r"or send another one in the field \1_series"),
    (r"or pass another --series", "or send another one in the field series"),
    (r"or pass --to nifti", "or take mask.nii.gz"),
    (r"or name the labels with --labels", "or send fewer labels"),
    (r"--to (nifti|tiff or png)", "take another format of the mask"),
)
_CURES = {
    FormatError: "export it again, or send it in another format",
    GeometryError: "send images on one grid",
    ResourceError: "crop the scan",
    DataError: "send one scan",
}
_OTHER_CURE = "send another file"


def for_client(text: str) -> str:
    """Return a message without options of the command line.

    >>> for_client("has no T1; give it (--t1, in Python t1)")
    'has no T1; send it too, in the field t1 or with t1 in its name'
    """
    for pattern, replacement in _REPLACEMENTS:
        text = re.sub(pattern, replacement, text)
    return text


def with_cure(fault: GliomasegError) -> str:
    """Return the line of an error; if it has no cure, with that of its class.

    >>> with_cure(FormatError("is damaged", where="a.nii"))
    'a.nii: is damaged; export it again, or send it in another format'
    """
    line = fault.line()
    if fault.cure:
        return line
    return f"{line}; {next((cure for kind, cure in _CURES.items() if isinstance(fault, kind)), _OTHER_CURE)}"
