"""The cases of an archive as text: a worker on another machine makes the input of `predict` from it.

The text is JSON, not a pickle: it lies in the output folder, where another user may be able to write.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from gliomaseg.errors import GliomasegError
from gliomaseg.inputs.find_inputs import join_sequences, with_series
from gliomaseg.inputs.input import Input, Kind
from gliomaseg.inputs.input_json import input_document, input_from_document


@dataclass(frozen=True)
class BulkCase:
    """One case of an archive.

    Attributes:
        name: unique in the archive, as in the table or as `predict` names the results.
        result_name: the name of its files.
        text: JSON from `text_of_input` or `text_of_files`.
    """

    name: str
    result_name: str
    text: str


def text_of_input(entry: Input) -> str:
    """Return the JSON of an input that was found in a folder."""
    return json.dumps({"input": input_document(entry)})


def text_of_files(files: Mapping[str, Path], *, series: Mapping[str, str]) -> str:
    """Return the JSON of the sequences of one case; the files may be missing until a worker reads them.

    Args:
        files: of `flair`, and if there are of `t1` and `t1ce`.
        series: the UIDs of those that are DICOM series and not the only one in their folder.
    """
    return json.dumps({"files": {name: str(path) for name, path in files.items()}, "series": dict(series)})


def text_of_fault(path: Path, fault: GliomasegError) -> str:
    """Return the JSON of a case that cannot be read; its row gets the reason."""
    return text_of_input(Input(path, Kind.VOLUME, fault=fault))


def input_of(case: BulkCase) -> Input:
    """Return the input of a case. A missing file is its fault."""
    document = json.loads(case.text)
    if "input" in document:
        return replace(input_from_document(document["input"]), result_name=case.result_name)
    files = {name: Path(text) for name, text in document["files"].items()}
    try:
        entry = join_sequences(files["flair"], t1=files.get("t1"), t1ce=files.get("t1ce"))
    except GliomasegError as fault:
        entry = Input(files["flair"], Kind.VOLUME, fault=fault)
    series = document["series"]
    t1 = entry.t1 and with_series(entry.t1, series.get("t1"))
    t1ce = entry.t1ce and with_series(entry.t1ce, series.get("t1ce"))
    return replace(with_series(entry, series.get("flair")), result_name=case.result_name, t1=t1, t1ce=t1ce)


def path_of(case: BulkCase) -> str:
    """Return the path of a case's FLAIR; no file is opened."""
    document = json.loads(case.text)
    return str(document["input"]["path"] if "input" in document else document["files"]["flair"])
