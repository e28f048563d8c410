"""The page of a comparison: its numbers, images and refusals."""

import base64
import io
import json
import math
import re

import numpy as np
import pytest
from PIL import Image

from gliomaseg.cli.evaluate import compare as compare_command
from gliomaseg.errors import OutputExistsError
from gliomaseg.evaluation.measures import measure_named
from gliomaseg.metrics.paired_tests import compare
from gliomaseg.report.comparison_page import MeasureRow, write_comparison

A, B = (0.5, 0.6, 0.7, 0.8), (0.9, 0.5, 0.7, 0.9)  # +0.4, -0.1, 0, +0.1: mean +0.1


@pytest.fixture
def write(tmp_path):
    """Return `write(name, dice)`: the folder of an evaluation with an image of each case."""

    def write(name, dice, **changes):
        folder = tmp_path / name
        (folder / "pictures").mkdir(parents=True)
        pixels = np.zeros((100, 100, 3), np.uint8)
        pixels[40:60, 30:70] = 200
        rows = []
        for k, value in enumerate(dice, start=1):
            Image.fromarray(pixels).save(folder / "pictures" / f"P{k}.png")
            rows.append({"patient": f"P{k}", "dice_volume": value, "picture_slice": 7, **changes})
        document = {
            "patients": rows,
            "definitions": {"dice_volume": "Dice."},
            "setting": {"model": name, "data": "lgg"},
        }
        (folder / "metrics.json").write_text(json.dumps(document))
        return folder

    return write


@pytest.fixture
def page(write, tmp_path):
    return lambda a, b: write_comparison(a, b, tmp_path / "page.html", overwrite=True).read_text("utf-8")


def text_of(source):
    """Return the text of a page without its style, script and tags."""
    body = re.sub(r"<(style|script|svg).*?</\1>", " ", source.partition("<body>")[2], flags=re.DOTALL)
    return " ".join(re.sub(r"<[^>]*>", " ", body).split())


def test_the_headline_is_the_difference_with_interval_wins_losses_and_ties(write, page):
    text = text_of(page(write("one", A), write("two", B)))
    assert "two against one A is one, B is two, both on 4 patients of lgg." in text
    assert "+0.100 mean difference of Dice, B \u2212 A" in text
    assert ": A 0.650, B 0.750, mean over 4 patients." in text
    assert "It includes 0: these patients do not show which one is better." in text
    assert "B better 2 equal 1 A better 1" in text
    assert "no p can be below 0.12" in text


def test_every_case_is_a_row_from_the_largest_difference_down(write, page):
    table = page(write("one", A), write("two", B)).partition("data-sortable")[2].partition("</table>")[0]
    assert re.findall(r'<th scope="row" data-value="(\w+)"', table) == ["P1", "P2", "P4", "P3"]
    assert re.findall(r'data-value="[^"]*">([+\u2212]?[\d.]+)</td></tr>', table) == [
        "+0.400", "\u22120.100", "+0.100", "0.000",
    ]  # fmt: skip


def test_cases_that_differ_have_both_images_cut_to_the_part_that_is_not_dark(write, page):
    source = page(write("one", A), write("two", B))
    assert re.findall(r"<h3><span>(\w+)</span>", source) == ["P1", "P2", "P4"]
    images = re.findall(r'<img src="data:image/png;base64,([^"]+)" width="(\d+)" height="(\d+)"', source)
    # The bright part is 40 x 20 pixels, with a margin of 12 on each side.
    assert [(width, height) for _, width, height in images] == [("64", "44")] * 6
    assert Image.open(io.BytesIO(base64.b64decode(images[0][0]))).size == (64, 44)


def test_an_image_that_is_not_there_has_a_reason(write, page):
    a, b = write("one", A), write("two", B)
    (b / "pictures" / "P1.png").unlink()
    source = page(a, b)
    assert source.count("The image is no longer in the evaluation.") == 1
    assert source.count('width="100" height="100"') == 1  # its partner is shown as it is


def test_equal_evaluations_have_no_disagreement(write, page):
    text = text_of(page(write("one", A), write("two", A)))
    assert "All values are equal." in text
    assert "equal 4" in text
    assert "No patient has a different Dice in the two evaluations." in text


def test_a_case_without_a_dice_is_counted_and_is_the_last_row(write, page):
    source = page(write("one", A), write("two", (None, *B[1:])))
    assert "undefined 1" in text_of(source)
    table = source.partition("data-sortable")[2]
    assert re.findall(r'<th scope="row" data-value="(\w+)"', table)[-1] == "P1"


def test_without_a_dice_the_page_says_so(write, page):
    text = text_of(page(write("one", (None, None)), write("two", (None, 0.5))))
    assert "No patient has a dice_volume in both evaluations." in text


def test_text_of_the_evaluations_is_escaped(write, page):
    hostile = '<img src=x onerror="alert(1)">'
    folders = [write(name, (0.5,), patient=hostile, site=hostile) for name in ("one", "two")]
    document = json.loads((folders[1] / "metrics.json").read_text())
    document["setting"] |= {"model": hostile, "data": hostile, "warning": hostile}
    (folders[1] / "metrics.json").write_text(json.dumps(document))
    source = page(*folders)
    assert "<img" not in source
    assert "onerror=&#34;alert" in source


def test_the_same_evaluations_give_the_same_bytes(write, page):
    a, b = write("one", A), write("two", B)
    assert page(a, b) == page(a, b)


def test_an_existing_file_and_the_evaluation_itself_are_kept(write, tmp_path):
    a, b = write("one", A), write("two", B)
    out = write_comparison(a, b, tmp_path / "page.html")
    with pytest.raises(OutputExistsError, match="exists"):
        write_comparison(a, b, out)
    for own in (b / "metrics.json", a / "pictures" / "P1.png"):
        with pytest.raises(OutputExistsError, match="part of an evaluation"):
            write_comparison(a, b, own, overwrite=True)


def test_the_command_prints_the_table_and_the_page(write, tmp_path, capsys):
    compare_command(write("one", A), write("two", B), out=tmp_path / "page.html")
    lines = capsys.readouterr().out.splitlines()
    assert lines[2].startswith("dice_volume")
    assert lines[-1] == str(tmp_path / "page.html")


@pytest.mark.parametrize(
    ("name", "candidate", "verdict"),
    [
        ("dice_volume", [0.6, 0.7], "better"),
        ("dice_volume", [0.4, 0.3], "worse"),
        ("dice_volume", [0.4, 0.6], "open"),
        ("dice_volume", [0.6, math.nan], "open"),
        ("brier_score", [0.6, 0.7], "worse"),
        ("volume_error", [0.4, 0.3], "better"),
    ],
)
def test_the_colour_of_a_measure_follows_its_direction_and_its_interval(name, candidate, verdict):
    measure = measure_named(name)
    paired = compare(
        baseline=np.array([0.5, 0.5]), candidate=np.array(candidate), higher_is_better=not measure.lower_is_better
    )
    assert MeasureRow(measure, paired, "").verdict == verdict
