"""The command predict: rows as they are finished, tables, and results that exist."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from gliomaseg.cli.examples import epilog_of
from gliomaseg.cli.predict import predict
from gliomaseg.errors import OutputExistsError, PartlyDoneError, UsageError
from gliomaseg.formats import write_picture
from gliomaseg.model import write_digests
from gliomaseg.prediction import PredictRow
from gliomaseg.report.terminal import dice_note, row_text


@pytest.fixture
def images(tmp_path: Path) -> Path:
    folder = tmp_path / "in"
    folder.mkdir()
    for name in ("a", "b"):
        write_picture(folder / f"{name}.png", np.full((32, 32), 90, np.uint8))
    (folder / "notes.txt").touch()
    (folder / "b_mask.png").touch()
    (folder / ".DS_Store").touch()
    return folder


def test_rows_are_printed_to_stdout_and_everything_else_to_stderr(
    images: Path, bright: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    predict(tmp_path / "out", [images], model=bright)
    printed = capsys.readouterr()
    assert [line.split(": ")[0] for line in printed.out.splitlines()] == [f"{images}/a.png", f"{images}/b.png"]
    assert "scan 1 of 2" in printed.err
    assert "skipped: notes.txt is not an image, a volume or DICOM" in printed.err
    assert f"skipped beside {images}/b.png: b_mask.png is a mask by its name" in printed.err
    assert "skipped: system files and hidden files: 1" in printed.err


def test_under_json_stdout_is_one_document_and_the_rows_are_on_stderr(
    images: Path, bright: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    predict(tmp_path / "out", [images], model=bright, as_json=True)
    printed = capsys.readouterr()
    assert [row["skipped"] for row in json.loads(printed.out)] == [[], ["b_mask.png: is a mask by its name"]]
    assert f"{images}/b.png: 0 tumour voxels" in printed.err


def test_scans_whose_results_exist_are_not_predicted_again(images: Path, bright: Path, tmp_path: Path) -> None:
    predict(tmp_path / "out", [images / "a.png"], model=bright)
    before = (tmp_path / "out" / "a_mask.png").stat().st_mtime_ns
    predict(tmp_path / "out", [images], model=bright, skip_existing=True, csv=tmp_path / "rows.csv")
    assert (tmp_path / "out" / "a_mask.png").stat().st_mtime_ns == before
    with (tmp_path / "rows.csv").open(encoding="utf-8", newline="") as text:
        first, second = csv.DictReader(text)
    assert (first["tumour_voxels"], second["tumour_voxels"]) == ("", "0")
    assert first["skipped"] == "a_mask.png: exists, so the scan was not predicted again"
    assert (tmp_path / "out" / "b_mask.png").is_file()


@pytest.mark.parametrize(("content", "what"), [("", "was changed"), ("mine", "was changed"), (None, "is not ours")])
def test_a_foreign_or_changed_result_is_kept_and_not_counted_as_done(
    images: Path, bright: Path, tmp_path: Path, content: str | None, what: str
) -> None:
    file = tmp_path / "out" / "a_mask.png"
    if content is None:
        file.parent.mkdir()
        (tmp_path / "out" / "a_overlay.png").write_text("x")
        file.write_text("mine")
    else:
        predict(tmp_path / "out", [images / "a.png"], model=bright)
        file.write_text(content)
    with pytest.raises(OutputExistsError, match=f"a_mask.png: {what}"):
        predict(tmp_path / "out", [images / "a.png"], model=bright, skip_existing=True)
    assert file.read_text() == (content if content is not None else "mine")


def test_the_result_of_another_scan_with_the_same_name_is_not_taken_as_done(
    images: Path, bright: Path, tmp_path: Path
) -> None:
    for name, source in (("one", "a.png"), ("copy", "a.png"), ("two", "b.png")):
        (tmp_path / name).mkdir()
        shutil.copy(images / source, tmp_path / name / "scan.png")
    write_picture(tmp_path / "two" / "scan.png", np.full((32, 32), 91, np.uint8))
    predict(tmp_path / "out", [tmp_path / "one" / "scan.png"], model=bright)
    before = (tmp_path / "out" / "scan_mask.png").read_bytes()
    predict(tmp_path / "out", [tmp_path / "copy" / "scan.png"], model=bright, skip_existing=True)
    with pytest.raises(OutputExistsError, match=r"scan_mask\.png: was made from another scan, by another model or"):
        predict(tmp_path / "out", [tmp_path / "two" / "scan.png"], model=bright, skip_existing=True)
    assert (tmp_path / "out" / "scan_mask.png").read_bytes() == before


def test_a_result_with_other_settings_of_the_model_is_not_taken_as_done(
    images: Path, bright: Path, tmp_path: Path
) -> None:
    model = tmp_path / "model"
    shutil.copytree(bright, model)
    predict(tmp_path / "out", [images], model=model)
    settings = json.loads((model / "config.json").read_text())
    settings["postprocessing"]["threshold"] = 0.9
    (model / "config.json").write_text(json.dumps(settings))
    write_digests(model)
    with pytest.raises((OutputExistsError, PartlyDoneError), match="or with other settings"):
        predict(tmp_path / "out", [images / "a.png"], model=model, skip_existing=True)


def test_existing_results_are_either_kept_or_replaced(images: Path, bright: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--overwrite"):
        predict(tmp_path / "out", [images], model=bright, skip_existing=True, overwrite=True)


def test_an_existing_table_is_not_replaced_and_stops_the_work_before_it_begins(
    images: Path, bright: Path, tmp_path: Path
) -> None:
    (tmp_path / "rows.csv").write_text("mine")
    with pytest.raises(OutputExistsError):
        predict(tmp_path / "out", [images], model=bright, csv=tmp_path / "rows.csv")
    assert not (tmp_path / "out").exists()


def test_a_failed_scan_is_a_row_of_the_table(images: Path, bright: Path, tmp_path: Path) -> None:
    (images / "b.png").unlink()
    (images / "b.png").symlink_to("away.png")
    with pytest.raises(PartlyDoneError, match="1 of 2"):
        predict(tmp_path / "out", [images], model=bright, csv=tmp_path / "rows.csv")
    with (tmp_path / "rows.csv").open(encoding="utf-8", newline="") as text:
        assert ["link target" in row["error"] for row in csv.DictReader(text)] == [False, True]


def test_the_predicted_dice_is_printed_with_the_data_it_was_fitted_on() -> None:
    bundled = PredictRow("a", tumour_voxels=1, predicted_dice=0.8, model="glioma-flair + glioma-t1-flair")
    assert "lower-grade gliomas of the LGG data set" in dice_note([bundled])
    assert "the model's data set" in dice_note([PredictRow("a", predicted_dice=0.8, model="mine")])
    assert dice_note([PredictRow("a", model="glioma-flair")]) == ""


def test_a_line_of_an_error_names_the_input_once() -> None:
    assert row_text(PredictRow("a", error="a: is damaged")) == "a: is damaged"
    assert row_text(PredictRow("a", error="DICOM needs pydicom")) == "a: DICOM needs pydicom"


def test_each_command_has_examples() -> None:
    from gliomaseg.cli import app

    names = [command.callback.__name__ for command in app.registered_commands if command.callback]
    assert [name for name in names if epilog_of(name) is None] == []


def test_parts_never_overlap_and_together_are_all_with_the_names_of_the_whole_list(
    bright: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "in"
    for case in ("2", "1", "3"):  # equal file names: only the whole list shows that results need the folder's name
        (folder / case).mkdir(parents=True)
        write_picture(folder / case / "flair.png", np.full((32, 32), 90, np.uint8))
    for number in (1, 2, 3, 4):
        predict(tmp_path / f"part{number}", [folder], model=bright, part=f"{number}/4")
    found = [sorted(file.name for file in (tmp_path / f"part{n}").glob("*_mask.png")) for n in (1, 2, 3, 4)]
    assert found == [["1_flair_mask.png"], ["2_flair_mask.png"], ["3_flair_mask.png"], []]


def test_the_parts_are_those_of_the_sorted_list_in_whatever_sequence_the_inputs_are_named(
    images: Path, bright: Path, tmp_path: Path
) -> None:
    predict(tmp_path / "out", [images / "b.png", images / "a.png"], model=bright, part="1/2")
    assert [file.name for file in (tmp_path / "out").glob("*_mask.png")] == ["a_mask.png"]


def test_a_part_with_skip_existing_keeps_the_results_of_another_number_of_parts(
    images: Path, bright: Path, tmp_path: Path
) -> None:
    predict(tmp_path / "out", [images], model=bright)
    before = {file.name: file.stat().st_mtime_ns for file in (tmp_path / "out").glob("*.png")}
    for number in (1, 2):
        predict(tmp_path / "out", [images], model=bright, part=f"{number}/2", skip_existing=True)
    assert {file.name: file.stat().st_mtime_ns for file in (tmp_path / "out").glob("*.png")} == before


@pytest.mark.parametrize("part", ["0/3", "4/3", "1", "1/0", "a/b", "-1/3", "1/3/4"])
def test_a_wrong_part_is_refused_before_anything_is_read(part: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"--part: part is .*, expected I/N with I from 1 to N; write 1/20"):
        predict(tmp_path / "out", [tmp_path / "absent"], part=part)
