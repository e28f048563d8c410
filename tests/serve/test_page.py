"""The page of `gliomaseg serve` in a browser, with the real server."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import httpx
import nibabel as nib
import numpy as np
import pytest

from browser_page import (
    Watch,
    crosshair_mm,
    drag,
    outline_centre,
    outline_pixels,
    shown_ml,
    wait_for_frames,
    wait_for_result,
)

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

EMPTY_CORNER = (0.12, 0.93), (0.15, 0.93)  # outside of the head, on the axial slice


@pytest.fixture(scope="module")
def opened(browser: Browser, server_address: str) -> Iterator[Page]:
    """A page with the example."""
    watch = Watch(browser, server_address)
    watch.page.click("#example")
    wait_for_result(watch.page)
    yield watch.page
    watch.close()
    httpx.delete(f"{server_address}/v1/segmentations")


@pytest.fixture
def example(opened: Page) -> Page:
    """The page with the example and the model's mask, saved, with the tool to look."""
    if opened.locator("#clear").is_visible():
        opened.click("#clear")
        wait_for_frames(opened)
    if opened.locator("#save").is_enabled():
        opened.click("#save")
        opened.wait_for_selector("#save:disabled")
    opened.click("[data-tool=look]")
    opened.click("[data-view=axial]")
    opened.locator("#go-largest").click()
    wait_for_frames(opened)
    return opened


def result_of(page: Page, address: str) -> dict[str, Any]:
    answer = httpx.get(f"{address}/v1/segmentations/{page.url.partition('#')[2]}/result.json")
    return dict(answer.raise_for_status().json())


def test_values_are_those_of_the_server(example, server_address):
    values = result_of(example, server_address)
    assert shown_ml(example) == pytest.approx(values["tumour_volume_ml"], abs=0.06)
    shown = example.locator(".figure .value strong").nth(1).inner_text()
    lengths = [float(length) for length in shown.split(" \N{MULTIPLICATION SIGN} ")]
    assert lengths == pytest.approx(values["diameters_mm"], abs=0.56)  # shown without decimals, sent with one
    assert example.locator(".figure .value strong").nth(2).inner_text() == f"{values['predicted_dice']:.2f}"
    assert values["warnings"] == example.locator(".warnings li").all_inner_texts()


def test_interval_encloses_the_volume(example):
    low, _, high, *_ = example.locator(".figure b").first.inner_text().split()
    assert float(low) < shown_ml(example) < float(high)


def test_outline_and_volume_follow_the_threshold(example):
    pixels, ml = outline_pixels(example), shown_ml(example)
    assert pixels > 100
    example.locator("#threshold").fill("0.9")
    assert shown_ml(example) < ml
    assert outline_pixels(example) != pixels
    example.locator("#threshold").fill("0.1")
    assert shown_ml(example) > ml
    example.click("#threshold-reset")
    assert (outline_pixels(example), shown_ml(example)) == (pixels, ml)


def test_button_goes_to_the_slice_that_differs_most_from_its_mirror_image(example, server_address):
    values = result_of(example, server_address)
    differing, (width_mm, height_mm, _) = values["mirror_disagreement_voxels"], values["spacing_mm"]
    button = example.locator(".unsure ol").nth(1).locator("button").first
    name, text = button.inner_text().splitlines()
    assert name == f"Slice {np.argmax(differing) + 1}"
    assert float(text.split(" cm")[0]) == pytest.approx(max(differing) * width_mm * height_mm / 100, abs=0.06)
    button.click()
    wait_for_frames(example)
    assert example.locator("#slice-out").inner_text().split()[0] == name.removeprefix("Slice ")


# The section for four slices of one row of two voxels. Two slices have one and two voxels of probability 0.3 to 0.7.
UNSURE = """async ([differing, spacingMm, probability]) => {
  const { buildPanel } = await import("/page/panel.js");
  const lists = { models: [], left_out: [], warnings: [], mirror_disagreement_voxels: differing };
  const result = { ...lists, input: "a", threshold: 0.5 };
  const session = { result, probability: Uint8Array.from(probability), shape: [2, 1, 4], spacingMm, threshold: 0.5 };
  buildPanel({ session }, []);
  return [...document.querySelectorAll(".unsure :is(h4, button)")].map((one) => one.textContent);
}"""
MIDDLE = [0, 0, 100, 0, 255, 255, 100, 150]


def test_unsure_slices_have_their_areas_by_both_rules(browser, server_address):
    watch = Watch(browser, server_address)
    by_probability, by_mirror = "Largest areas of probability 0.3 to 0.7", "Masks of slice and mirror image differ"
    # Voxels of 1 cm2. Slices of 2.5 mm: two listed ones are at least two slices apart.
    assert watch.page.evaluate(UNSURE, [[4, 7, 30, 1], [10, 10, 2.5], MIDDLE]) == [
        by_probability,
        "Slice 4 2.0 cm\u00b2 between 0.3 and 0.7",
        "Slice 2 1.0 cm\u00b2 between 0.3 and 0.7",
        by_mirror,
        "Slice 3 30.0 cm\u00b2 in only one of both",
        "Slice 1 4.0 cm\u00b2 in only one of both",
    ]
    without_flips = watch.page.evaluate(UNSURE, [None, None, MIDDLE])
    assert without_flips[:2] == [by_probability, "Slice 4 2 pixels between 0.3 and 0.7"]
    assert by_mirror not in without_flips
    assert watch.page.evaluate(UNSURE, [[0] * 4, None, [0] * 8]) == []
    watch.close()


def test_hidden_mask_leaves_no_outline(example):
    example.click("[data-mask=hidden]")
    assert outline_pixels(example) == 0
    example.click("[data-mask=outline]")
    assert outline_pixels(example) > 100


def test_probability_and_window_change_the_picture(example):
    def picture() -> bytes:
        wait_for_frames(example)
        return bytes(example.locator("#stage").screenshot())

    plain = picture()
    example.check("#heat")
    heat = picture()
    example.uncheck("#heat")
    example.fill("#window-width", "30")
    example.press("#window-width", "Enter")
    narrow = picture()
    example.click("#window-reset")
    assert len({plain, heat, narrow}) == 3
    assert picture() == plain


def test_brush_adds_undo_takes_back_redo_adds_again(example):
    ml = shown_ml(example)
    example.click("[data-tool=brush]")
    drag(example, *EMPTY_CORNER)
    larger = shown_ml(example)
    assert larger > ml
    assert "added" in example.locator("#changes").inner_text()
    example.click("#undo")
    assert shown_ml(example) == ml
    wait_for_frames(example)
    assert example.locator("#changes").inner_text() == "The mask is the model's."
    example.click("#redo")
    assert shown_ml(example) == larger


def test_ball_reaches_more_slices_than_the_brush_in_the_slice(example):
    ml = shown_ml(example)
    example.click("[data-tool=brush]")
    example.locator("#brush-size").fill("20")
    drag(example, *EMPTY_CORNER)
    flat = shown_ml(example) - ml
    example.click("#undo")
    example.click("[data-reach=ball]")
    drag(example, *EMPTY_CORNER)
    assert shown_ml(example) - ml > 1.5 * flat
    example.click("[data-reach=slice]")
    example.locator("#brush-size").fill("8")


def test_correction_outlives_a_change_of_the_threshold(example):
    example.click("[data-tool=brush]")
    drag(example, *EMPTY_CORNER)
    added = example.locator("#changes").inner_text().split(" ml")[0]
    example.locator("#threshold").fill("0.6")
    example.click("#threshold-reset")
    wait_for_frames(example)
    assert example.locator("#changes").inner_text().startswith(f"{added} ml added, 0.00 ml removed")


def test_stroke_takes_tumour_away(example):
    ml = shown_ml(example)
    x, y = outline_centre(example)
    example.click("[data-tool=other]")
    drag(example, (x - 0.02, y), (x + 0.02, y))
    example.wait_for_selector("#stage-wait", state="hidden")
    assert shown_ml(example) < ml
    example.click("#undo")
    assert shown_ml(example) == ml


def test_stroke_keeps_what_was_painted(example):
    """The corner is dark, so that the graph cut alone would not mark it."""
    example.click("[data-tool=brush]")
    drag(example, *EMPTY_CORNER)
    place = crosshair_mm(example)
    x, y = outline_centre(example)
    example.click("[data-tool=tumour]")
    drag(example, (x - 0.02, y), (x + 0.02, y))
    example.wait_for_selector("#stage-wait", state="hidden")
    with example.expect_download() as download:
        example.click("[data-file='mask.nii.gz']")
    mask = nib.Nifti1Image.from_bytes(gzip.decompress(download.value.path().read_bytes()))
    voxel = np.rint(np.linalg.inv(mask.affine) @ (*place, 1))[:3].astype(int)
    assert np.asarray(mask.dataobj)[tuple(voxel)] == 1


def test_saved_mask_lies_where_it_was_drawn(example, server_address, tmp_path):
    example.click("[data-tool=brush]")
    drag(example, *EMPTY_CORNER)
    place = crosshair_mm(example)
    with example.expect_download() as download:
        example.click("[data-file='mask.nii.gz']")
    download.value.save_as(tmp_path / "mask.nii.gz")
    mask = nib.load(tmp_path / "mask.nii.gz")
    x, y, z = np.rint(np.linalg.inv(mask.affine) @ (*place, 1))[:3].astype(int)
    voxels = np.asarray(mask.dataobj)
    assert voxels[x, y, z] == 1
    assert voxels.sum() * abs(np.linalg.det(mask.affine)) / 1000 == pytest.approx(shown_ml(example), abs=0.06)
    assert result_of(example, server_address)["corrected"] is True
    shown = shown_ml(example)
    example.reload()
    wait_for_result(example)
    assert shown_ml(example) == shown


def test_values_say_what_was_changed(example, server_address, tmp_path):
    example.click("[data-tool=brush]")
    drag(example, *EMPTY_CORNER)
    with example.expect_download() as download:
        example.click("[data-file='result.json']")
    download.value.save_as(tmp_path / "result.json")
    changes = json.loads((tmp_path / "result.json").read_text("utf-8"))["changes"]
    assert changes["added_voxels"] > 0
    assert changes["removed_voxels"] == 0
