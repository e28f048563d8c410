"""The section "Compare with a reference" of the page, in a browser with the real server."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import nibabel as nib
import pytest

from browser_page import Watch, drag, open_files, wait_for_frames, wait_for_result
from gliomaseg.choices import PhantomFormat
from gliomaseg.phantoms import write_phantoms
from report.test_browser import PALE

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

# Number of the overlay's pixels with the colour of the reference, which the diameters do not have.
BLUE = """() => {
  const { width, height } = document.getElementById("overlay");
  const copy = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true });
  copy.drawImage(document.getElementById("overlay"), 0, 0);
  const { data } = copy.getImageData(0, 0, width, height);
  let count = 0;
  for (let i = 0; i < data.length; i += 4) {
    count += [86, 180, 233, 255].every((level, channel) => Math.abs(data[i + channel] - level) < 9);
  }
  return count;
}"""
DROP = """([selector, base64, name]) => {
  const bytes = Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
  const dataTransfer = new DataTransfer();
  dataTransfer.items.add(new File([bytes], name));
  const target = document.querySelector(selector);
  for (const type of ["dragenter", "dragover", "drop"]) {
    target.dispatchEvent(new DragEvent(type, { dataTransfer, bubbles: true, cancelable: true }));
  }
}"""


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_phantoms(tmp_path_factory.mktemp("page"), patients=1, side_px=96, kind=PhantomFormat.nifti)
    return next(folder.glob("*/*_flair.nii.gz")).parent


@pytest.fixture(scope="module")
def mask(case: Path) -> Path:
    return next(case.glob("*_seg.nii.gz"))


@pytest.fixture(scope="module")
def opened(browser: Browser, server_address: str, case: Path) -> Iterator[Page]:
    watch = Watch(browser, server_address)
    open_files(watch.page, next(case.glob("*_flair.nii.gz")))
    wait_for_result(watch.page)
    yield watch.page
    watch.faults = [fault for fault in watch.faults if "422" not in fault]  # of the refused mask
    watch.close()
    httpx.delete(f"{server_address}/v1/segmentations")


@pytest.fixture
def page(opened: Page, mask: Path) -> Page:
    """The page with the model's mask and the exact mask as reference."""
    if opened.locator("#clear").is_visible():
        opened.click("#clear")
    if opened.locator("#save").is_enabled():
        opened.click("#save")
        opened.wait_for_selector("#save:disabled")
    if not opened.locator("#reference-dice").count():
        opened.set_input_files("#reference-files", str(mask))
    opened.wait_for_selector("#reference-dice")
    opened.wait_for_selector("#reference-busy", state="detached")
    opened.click("[data-view=axial]")
    wait_for_frames(opened)
    return opened


def values_of(page: Page, address: str) -> dict[str, Any]:
    answer = httpx.get(f"{address}/v1/segmentations/{page.url.partition('#')[2]}/reference.json", timeout=60)
    return dict(answer.raise_for_status().json())


def shown(page: Page) -> list[str]:
    """Return Dice, distances, surface Dice and volumes as the page shows them."""
    wait_for_frames(page)
    return [page.locator("#reference-dice").inner_text(), *page.locator(".comparison dd").all_inner_texts()]


def test_dropped_mask_is_compared_and_not_opened(page, server_address, mask):

    jobs = len(httpx.get(f"{server_address}/v1/segmentations").json())
    page.click("#reference-remove")
    page.wait_for_selector(".reference.waits")
    page.evaluate(DROP, ["#dropping-reference", base64.b64encode(mask.read_bytes()).decode(), "expert.nii.gz"])
    page.wait_for_selector("#reference-dice")
    assert page.locator("#dropping").is_hidden()
    assert page.locator(".reference-name").inner_text() == "expert.nii.gz"
    values = values_of(page, server_address)
    assert shown(page) == [
        f"{values['dice_volume']:.3f}",
        f"{values['average_surface_distance_mm']:.1f} mm",
        f"{values['hausdorff_95_mm']:.1f} mm",
        f"{values['surface_dice']:.2f}",
        f"{values['predicted_ml']:.1f} ml",
        f"{values['reference_ml']:.1f} ml",
    ]
    assert len(httpx.get(f"{server_address}/v1/segmentations").json()) == jobs


def test_both_outlines_are_drawn_and_named(page):
    assert page.evaluate(BLUE) > 50
    assert page.locator("#outline-legend span").all_inner_texts()[:2] == ["Mask", "Reference"]
    page.uncheck("#reference-shown")
    wait_for_frames(page)
    assert page.evaluate(BLUE) == 0
    page.locator("#overlay").focus()
    page.keyboard.press("c")
    wait_for_frames(page)
    assert page.evaluate(BLUE) > 50
    assert page.locator("#reference-shown").is_checked()


def test_button_goes_to_the_slice_with_the_most_wrong_voxels(page, server_address):
    slices = values_of(page, server_address)["slices"]
    # Of false and missed voxels: the Dice is 2 shared / all, and all less two times the shared ones are wrong.
    worst = max(slices, key=lambda one: (1 - one["dice"]) * (one["reference_voxels"] + one["predicted_voxels"]))
    button = page.locator("#reference-worst button").first
    name, dice = button.inner_text().removeprefix("Slice ").split(": ")
    assert (int(name), dice) == (worst["slice"], f"{worst['dice']:.2f}")
    button.click()
    wait_for_frames(page)
    assert page.locator("#slice-out").inner_text().split()[0] == name
    assert page.locator("#outline-legend .here").inner_text() == f"Slice {name}: Dice {dice}"


def test_dice_follows_the_brush_and_distances_the_saved_mask(page, server_address):
    before = shown(page)
    page.locator("#go-largest").click()
    page.click("[data-tool=brush]")
    drag(page, (0.12, 0.93), (0.15, 0.93))  # outside of the head
    drawn = shown(page)
    assert float(drawn[0]) < float(before[0])
    assert drawn[1:4] == before[1:4]
    assert page.locator(".comparison .stale").count() == 3
    page.click("#reference-save")
    page.wait_for_selector("#reference-note", state="hidden")
    page.wait_for_selector("#reference-busy", state="detached")
    values = values_of(page, server_address)
    saved = shown(page)
    assert (saved[0], saved[2]) == (f"{values['dice_volume']:.3f}", f"{values['hausdorff_95_mm']:.1f} mm")
    assert saved[0] == drawn[0]
    assert saved[1] != before[1]
    page.reload()
    wait_for_result(page)
    page.wait_for_selector("#reference-dice")
    assert shown(page) == saved


def test_refused_mask_leaves_the_comparison(page, mask, tmp_path):
    before = shown(page)
    image = nib.load(mask)
    nib.save(image.slicer[:, :, 1:], tmp_path / "cut.nii.gz")
    page.set_input_files("#reference-files", str(tmp_path / "cut.nii.gz"))
    error = page.locator("#reference-error")
    error.wait_for()
    assert error.inner_text().startswith("cut.nii.gz: grid is ")
    assert error.get_attribute("role") == "alert"
    assert shown(page) == before


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_section_is_legible_and_fits_a_phone(page, scheme):
    page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
    page.set_viewport_size({"width": 360, "height": 740})
    page.locator(".slices-table").evaluate("(details) => { details.open = true; }")
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    pale = page.evaluate(PALE)
    assert [
        line for line in pale if line.split(" ", 1)[1] not in {"Undo", "Redo", "Save correction", "DICOM SEG"}
    ] == []
    page.set_viewport_size({"width": 1280, "height": 800})


def test_keyboard_reaches_the_buttons_and_removes_the_reference(page):
    page.locator("#reference-choose").focus()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "reference-remove"
    page.keyboard.press("Enter")
    page.wait_for_selector(".reference.waits")
    wait_for_frames(page)
    assert page.evaluate(BLUE) == 0
    assert page.locator("#outline-legend").is_hidden()
    assert page.evaluate("document.activeElement.id") == "reference-choose"


def test_masks_are_compared_slice_by_slice(page):
    # First slice: 1 voxel shared of 4 and 1; second slice: empty; third: none shared of 0 and 1. In all 2 x 1 / 6.
    script = """async () => { const m = await import("/page/agreement.js");
    const mask = Uint8Array.of(1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0);
    const reference = Uint8Array.of(1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1);
    const found = m.compareMasks(mask, reference, [4, 1, 3]);
    const empty = m.compareMasks(new Uint8Array(12), new Uint8Array(12), [4, 1, 3]);
    return [found.dice, found.slices, m.worstSlices(found.slices, 1)[0].z, empty.dice]; }"""
    dice, slices, worst, empty = page.evaluate(script)
    # Of four wrong voxels, three are in the first slice; the third has a lower Dice.
    assert (dice, worst, empty) == (pytest.approx(1 / 3), 0, None)
    assert slices == [
        {"z": 0, "dice": 0.4, "reference": 1, "mask": 4, "wrong": 3},
        {"z": 2, "dice": 0, "reference": 1, "mask": 0, "wrong": 1},
    ]
