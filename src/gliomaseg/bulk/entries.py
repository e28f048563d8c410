"""The cases of an archive as text: a worker on another machine makes the input of `predict` from it.

The text is JSON, not a pickle: it lies in the output folder, where another user may be able to write.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path

from gliomaseg.errors import GliomasegError
from gliomaseg.inputs.find_inputs import join_sequences
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


def text_of_files(flair: Path, *, t1: Path | None = None, t1ce: Path | None = None, series: str | None = None) -> str:
    """Return the JSON of the sequences of one case; the files may be missing until a worker reads them."""
    named = {"flair": flair, "t1": t1, "t1ce": t1ce}
    files = {name: str(path) for name, path in named.items() if path is not None}
    return json.dumps({"files": files, "series": series})


def text_of_fault(path: Path, fault: GliomasegError) -> str:
    """Return the JSON of a case that cannot be read; its row gets the reason."""
    return text_of_input(Input(path, Kind.VOLUME, fault=fault))


def input_of(case: BulkCase) -> tuple[Input, str | None]:
    """Return the input of a case, and the UID of its DICOM series or None. A missing file is the input's fault."""
    document = json.loads(case.text)
    if "input" in document:
        return replace(input_from_document(document["input"]), result_name=case.result_name), None
    files = {name: Path(text) for name, text in document["files"].items()}
    try:
        entry = join_sequences(files["flair"], t1=files.get("t1"), t1ce=files.get("t1ce"))
    except GliomasegError as fault:
        entry = Input(files["flair"], Kind.VOLUME, fault=fault)
    return replace(entry, result_name=case.result_name), document["series"]


def path_of(case: BulkCase) -> str:
    """Return the path of a case's FLAIR; no file is opened."""
    document = json.loads(case.text)
    return str(document["input"]["path"] if "input" in document else document["files"]["flair"])
