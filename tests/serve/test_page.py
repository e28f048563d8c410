"""The page of `gliomaseg serve` in a browser, with the real server."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import nibabel as nib
import numpy as np
import pytest
from tests.serve.browser_page import (
    CHROMIUM,
    FLAGS,
    PATIENCE_MS,
    crosshair_mm,
    drag,
    open_files,
    outline_centre,
    outline_pixels,
    shown_ml,
    wait_for_frames,
    wait_for_result,
)

from gliomaseg.phantoms import phantom_patient

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

sync_api = pytest.importorskip("playwright.sync_api", reason="the browser is driven by playwright")
pytestmark = pytest.mark.skipif(not CHROMIUM.is_file(), reason=f"there is no {CHROMIUM}")
EMPTY_CORNER = (0.12, 0.93), (0.15, 0.93)  # outside of the head, on the axial slice


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_api.sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=str(CHROMIUM), args=FLAGS, headless=True)
        yield started
        started.close()


class Watch:
    """A page, and everything that it wrote on the console or asked another machine for."""

    def __init__(self, browser: Browser, address: str, width: int = 1280, height: int = 800) -> None:
        self.page = browser.new_page(viewport={"width": width, "height": height}, accept_downloads=True)
        self.faults: list[str] = []
        self.page.set_default_timeout(PATIENCE_MS)
        self.page.on("console", lambda message: self._note(message.text))
        self.page.on("pageerror", lambda fault: self._note(str(fault)))
        self.page.on("request", lambda request: self._ask(request.url, address))
        self.page.on("dialog", lambda dialog: dialog.accept())
        self.page.goto(address)

    def _note(self, text: str) -> None:
        if "GL Driver Message" not in text:  # that WebGL on a processor is slow
            self.faults.append(text)

    def _ask(self, url: str, address: str) -> None:
        if not url.startswith((f"{address}/", "data:", "blob:")):
            self.faults.append(f"request to {url}")

    def close(self) -> None:
        self.page.close()
        assert self.faults == []


@pytest.fixture
def fresh(browser: Browser, server_address: str) -> Iterator[Page]:
    """A page on which nothing is open yet."""
    watch = Watch(browser, server_address)
    yield watch.page
    watch.close()


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
    lengths = [
        float(length)
        for length in example.locator(".figure .value strong").nth(1).inner_text().split(" \N{MULTIPLICATION SIGN} ")
    ]
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


def test_keyboard_alone_opens_draws_and_undoes(fresh):
    for _ in range(12):
        fresh.keyboard.press("Tab")
        if fresh.evaluate("document.activeElement.id") == "example":
            break
    fresh.keyboard.press("Enter")
    wait_for_result(fresh)
    assert fresh.evaluate("document.activeElement.id") == "overlay"
    ml, place = shown_ml(fresh), crosshair_mm(fresh)
    fresh.keyboard.press("ArrowRight")
    fresh.keyboard.press("PageUp")
    moved = crosshair_mm(fresh)
    assert moved[0] < place[0], "the patient's left is on the right of the screen"
    assert moved[2] > place[2]
    fresh.keyboard.press("e")
    fresh.keyboard.press("Space")
    assert shown_ml(fresh) < ml
    fresh.keyboard.press("z")
    assert shown_ml(fresh) == ml
    fresh.keyboard.press("[")
    assert shown_ml(fresh) > ml
    fresh.keyboard.press("?")
    assert fresh.locator("#help").is_visible()
    fresh.keyboard.press("Escape")
    assert not fresh.locator("#help").is_visible()


def test_oblique_scan_is_corrected_where_the_person_sees_it(fresh, tmp_path):
    patient = phantom_patient(2, seed=0, side_px=96, slices=12)
    z_mm, y_mm, x_mm = patient.spacing_mm
    # Columns run to the patient's left, rows to the back; the file stores slices first, turned by ten degrees.
    turn = np.array([[np.cos(0.17), -np.sin(0.17), 0], [np.sin(0.17), np.cos(0.17), 0], [0, 0, 1]])
    affine = np.eye(4)
    affine[:3, :3] = (turn @ np.diag([-x_mm, -y_mm, z_mm]))[:, [2, 1, 0]]
    affine[:3, 3] = turn @ (48 * x_mm, 48 * y_mm, -6 * z_mm)
    nib.save(nib.Nifti1Image(patient.image[..., 1], affine), tmp_path / "flair.nii.gz")
    open_files(fresh, tmp_path / "flair.nii.gz")
    wait_for_result(fresh)
    fresh.click("[data-view=axial]")
    fresh.click("[data-tool=brush]")
    drag(fresh, (0.3, 0.3), (0.32, 0.3))
    place = crosshair_mm(fresh)
    with fresh.expect_download() as download:
        fresh.click("[data-file='mask.nii.gz']")
    download.value.save_as(tmp_path / "mask.nii.gz")
    mask = nib.load(tmp_path / "mask.nii.gz")
    np.testing.assert_allclose(mask.affine, affine, atol=1e-4)
    i, j, k = np.rint(np.linalg.inv(affine) @ (*place, 1))[:3].astype(int)
    assert np.asarray(mask.dataobj)[i, j, k] == 1


def test_scan_without_affine_shows_axial_slices_and_no_millilitres(fresh, tmp_path):
    tifffile = pytest.importorskip("tifffile")
    patient = phantom_patient(1, seed=0, side_px=96, slices=12)
    tifffile.imwrite(tmp_path / "flair.tif", patient.image[..., 1])
    open_files(fresh, tmp_path / "flair.tif")
    wait_for_result(fresh)
    assert fresh.locator("#stage-note").inner_text() == "orientation unknown"
    assert fresh.locator("[data-view=coronal]").is_disabled()
    assert fresh.locator("#readout").inner_text().startswith("voxel ")
    assert fresh.locator("#numbers .value").first.inner_text().endswith(" voxels")


def test_file_that_is_no_scan_is_an_error_in_words(fresh):
    hostile = {"name": "<img src=x onerror=alert(1)>.nii.gz", "mimeType": "application/gzip", "buffer": b"no scan"}
    open_files(fresh, hostile)
    fresh.wait_for_selector("#error:not([hidden])")
    assert "<img src=x" in fresh.locator("#jobs").inner_text()
    assert fresh.locator("#error-text").inner_text()
    assert fresh.evaluate("document.activeElement.id") == "error-title"
    fresh.click("#error-again")
    assert fresh.locator("#empty").is_visible()


def test_several_scans_are_a_list_with_pictures(fresh, tmp_path):
    for index in (1, 2):
        patient = phantom_patient(index, seed=0, side_px=96, slices=12)
        nib.save(
            nib.Nifti1Image(patient.image[..., 1].T, np.diag([-2.4, -2.4, 9.0, 1])), tmp_path / f"scan{index}.nii.gz"
        )
    open_files(fresh, tmp_path / "scan1.nii.gz", tmp_path / "scan2.nii.gz")
    fresh.wait_for_selector("#choose:not([hidden])")
    pictures = fresh.locator("#choices img")
    assert pictures.count() == 2
    pictures.nth(1).evaluate("(image) => image.decode()")
    fresh.locator("#choices button").nth(1).click()
    wait_for_result(fresh)


def test_deleted_scan_leaves_the_list(fresh, tmp_path):
    fresh.wait_for_selector("#empty")
    Path(tmp_path / "one.nii.gz").write_bytes(b"no scan")
    open_files(fresh, tmp_path / "one.nii.gz")
    fresh.wait_for_selector("#error:not([hidden])")
    row = fresh.locator("#job-list li", has_text="one.nii.gz")
    row.hover()
    row.locator(".bin").click()
    row.wait_for(state="detached")
    assert fresh.locator("#empty").is_visible()
