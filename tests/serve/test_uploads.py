"""The names of uploaded files on disk are the server's own."""

from __future__ import annotations

import pytest

from gliomaseg.serve.uploads import server_names


def test_slices_keep_their_case_number_and_mask() -> None:
    names = ["TCGA_1/TCGA_1_2.tif", "TCGA_1/TCGA_1_10.tif", "TCGA_1/TCGA_1_10_mask.tif"]
    assert server_names(names) == ["f1/case1_2.tif", "f1/case1_10.tif", "f1/case1_10_mask.tif"]


def test_sequences_of_a_case_belong_together() -> None:
    names = ["Doe_flair.nii.gz", "Doe_t1.nii.gz", "Doe_t1ce.nii.gz", "Roe_flair.nii.gz"]
    expected = ["case1_flair.nii.gz", "case1_t1.nii.gz", "case1_t1ce.nii.gz", "case2_flair.nii.gz"]
    assert server_names(names) == [f"f1/{name}" for name in expected]


def test_files_of_one_folder_stay_together_whatever_the_length_of_their_paths() -> None:
    folder = "study/" * 40
    names = [f"{folder}1.2.{'3' * length}" for length in (30, 31)]
    assert {name.split("/")[0] for name in server_names(names)} == {"f1"}


def test_equal_names_get_different_files() -> None:
    assert server_names(["a.dcm", "a.dcm", "b/a.dcm"]) == ["f1/case1.dcm", "f1/case1.2.dcm", "f2/case2.dcm"]


@pytest.mark.parametrize(
    "name",
    [
        "../../etc/passwd",
        "/etc/cron.d/x",
        "..\\..\\x.nii",
        "a/../../b.nii",
        "\0.nii",
        "",
        ".",
        "..",
        "a" * 5000,
        "ü\n.nii",
    ],
)
def test_no_name_leads_out_of_the_upload(name: str) -> None:
    (made,) = server_names([name])
    folder, file = made.split("/")
    assert folder == "f1"
    assert file.startswith("case1")
    assert file.replace(".", "").replace("_", "").isalnum()
    assert file.isascii()
    assert len(file) < 100
