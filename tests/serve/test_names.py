"""Messages have the names that the client gave, in one line."""

from __future__ import annotations

from gliomaseg.serve.names import ClientNames

NAMES = ClientNames("/x/upload", {"f1/case1_flair.nii.gz": "Doe/brain.nii.gz", "f1/case2.dcm": "a\nb.dcm"})


def test_paths_of_the_server_become_names_of_the_client() -> None:
    assert NAMES.shown("/x/upload/f1/case1_flair.nii.gz: is damaged") == "brain.nii.gz: is damaged"
    assert NAMES.shown("case1_flair.nii.gz is T1 by its name") == "brain.nii.gz is T1 by its name"
    assert NAMES.shown("/x/upload: has no scan") == "the upload: has no scan"


def test_control_characters_of_a_name_are_escaped() -> None:
    assert NAMES.shown("f1/case2.dcm: is damaged") == r"a\nb.dcm: is damaged"


def test_all_texts_of_a_document_are_changed() -> None:
    found = {"warnings": ["f1/case2.dcm: x"], "voxels": 3, "text": "line\nline"}
    assert NAMES.shown_in(found) == {"warnings": [r"a\nb.dcm: x"], "voxels": 3, "text": "line\nline"}
