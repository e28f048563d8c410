"""Messages have the names that the client gave, in one line."""

from __future__ import annotations

from gliomaseg.serve.names import ClientNames
from gliomaseg.serve.uploads import server_names

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


def test_files_with_one_name_in_two_folders_are_told_apart() -> None:
    given = ["Doe/2024/flair.nii.gz", "Doe/2025/flair.nii.gz", "Roe/t1.nii.gz"]
    names = ClientNames("/x/upload", dict(zip(server_names(given), given, strict=True)))
    shown = names.shown_in([f"/x/upload/{own}" for own in names.names])
    assert shown == ["2024/flair.nii.gz", "2025/flair.nii.gz", "t1.nii.gz"]
    # Messages name a file without its folder too.
    own = [path.split("/")[1] for path in names.names]
    assert names.shown_in(own) == shown


def test_folders_and_named_sequences_have_the_names_of_the_client() -> None:
    given = {"f1/case1.dcm": "Doe/1/a.dcm", "f2/case2.dcm": "Roe/1/a.dcm", "flair/flair.nii": "brain.nii"}
    names = ClientNames("/x/upload", given)
    assert names.shown_in(["/x/upload/f1", "/x/upload/f2: is odd"]) == ["Doe/1", "Roe/1: is odd"]
    assert names.shown("/x/upload/flair/flair.nii: is damaged") == "brain.nii: is damaged"
