"""The options of `audit`: what it prints and writes, and its exit codes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from gliomaseg.cli.data import audit
from gliomaseg.errors import DataError, OutputExistsError, UsageError

KaggleTree = Callable[..., Path]
A, B = "TCGA_CS_0001_20000101", "TCGA_DU_0002_20010101"


@pytest.fixture
def tree(tmp_path: Path, kaggle_tree: KaggleTree) -> Path:
    return kaggle_tree(tmp_path / "data", {A: 2, B: 2})


def test_json_has_the_keys_of_the_contract(tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    audit(tree, as_json=True)
    document = json.loads(capsys.readouterr().out)
    keys = "layout patients cases slices tumour_slices sites missing_sequences spacings_mm labels problems"
    assert set(keys.split()) <= document.keys()
    assert (document["layout"], document["cases"], document["labels"]) == ("kaggle", 2, {"0": 896, "255": 128})


def test_manifest_lists_the_same_cases(tree: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    manifest = tmp_path / "cases.csv"
    audit(tree, as_json=True, manifest=manifest)
    first = json.loads(capsys.readouterr().out)
    audit(manifest, as_json=True)
    second = json.loads(capsys.readouterr().out)
    assert (first["layout"], second["layout"]) == ("kaggle", "manifest")
    same = first.keys() - {"root", "layout"}
    assert {name: first[name] for name in same} == {name: second[name] for name in same}


def test_outputs_are_written_although_the_data_are_unsafe(tree: Path, tmp_path: Path) -> None:
    (tree / A / f"{A}_1.tif").write_bytes(b"")
    with pytest.raises(DataError, match="training is unsafe because of 1 problem;"):
        audit(tree, html=tmp_path / "page.html", manifest=tmp_path / "cases.csv")
    assert "is empty" in (tmp_path / "page.html").read_text("utf-8")
    assert (tmp_path / "cases.csv").is_file()


def test_outputs_are_replaced_only_with_overwrite(tree: Path, tmp_path: Path) -> None:
    outputs = {"html": tmp_path / "page.html", "manifest": tmp_path / "cases.csv"}
    audit(tree, **outputs)
    for name, path in outputs.items():
        with pytest.raises(OutputExistsError, match="exists already"):
            audit(tree, **{name: path})
    audit(tree, **outputs, overwrite=True)


@pytest.mark.parametrize(("name", "file"), [("html", "page.html"), ("manifest", "cases.csv")])
def test_outputs_are_not_written_into_the_data_set(tree: Path, name: str, file: str) -> None:
    with pytest.raises(UsageError, match="lies inside the data set"):
        audit(tree, **{name: tree / file})


def test_manifest_of_an_unknown_format_is_refused(tree: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"suffix is \.xlsx"):
        audit(tree, manifest=tmp_path / "cases.xlsx")
    assert list(tmp_path.glob("*cases*")) == []


def test_options_of_the_data_set_are_used(tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    audit(tree, as_json=True, layout="kaggle", labels="7", patient_pattern="TCGA")
    document = json.loads(capsys.readouterr().out)
    assert (document["patients"], document["tumour_slices"]) == (1, 0)
    assert {"where": "--labels", "what": "no mask has the value 7"} in document["warnings"]
