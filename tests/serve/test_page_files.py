"""The page of `gliomaseg serve` in a browser: opening files, and the keyboard."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nibabel as nib
import numpy as np
import pytest

from browser_page import Watch, crosshair_mm, drag, open_files, shown_ml, wait_for_result
from gliomaseg.phantoms import phantom_patient

if TYPE_CHECKING:
    from playwright.sync_api import APIResponse, Browser, Page, Route


# A click that does not wait: the page may be waiting for an answer.
CLICK_BIN = "name => document.querySelector(`#job-list [aria-label='Delete ${name}']`).click()"


@pytest.fixture
def fresh(browser: Browser, server_address: str) -> Iterator[Page]:
    """A page on which nothing is open yet."""
    watch = Watch(browser, server_address)
    yield watch.page
    watch.close()


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


def write_scans(folder: Path, *names: str) -> list[Path]:
    """Write one phantom for each name."""
    for index, name in enumerate(names, start=1):
        patient = phantom_patient(index, seed=0, side_px=96, slices=12)
        nib.save(nib.Nifti1Image(patient.image[..., 1].T, np.diag([-2.4, -2.4, 9.0, 1])), folder / name)
    return [folder / name for name in names]


def test_several_scans_are_a_list_with_pictures(fresh, tmp_path):
    open_files(fresh, *write_scans(tmp_path, "scan1.nii.gz", "scan2.nii.gz"))
    fresh.wait_for_selector("#choose:not([hidden])")
    pictures = fresh.locator("#choices img")
    assert pictures.count() == 2
    pictures.nth(1).evaluate("(image) => image.decode()")
    fresh.locator("#choices button").nth(1).click()
    wait_for_result(fresh)


def test_flair_and_t1_of_a_study_are_chosen_by_keyboard(fresh, study_zip):
    open_files(fresh, {"name": "study.zip", "mimeType": "application/zip", "buffer": study_zip})
    fresh.wait_for_selector("#choose:not([hidden])")
    fresh.set_viewport_size({"width": 360, "height": 800})
    assert fresh.evaluate("document.documentElement.scrollWidth") <= 360
    summary = fresh.locator("#choose-summary")
    assert summary.inner_text() == "FLAIR: FLAIR phantom, 8 slices; T1: none"
    assert fresh.evaluate("document.activeElement.textContent") == "FLAIR"
    fresh.keyboard.press("Space")  # not FLAIR
    assert fresh.locator("#choose-done").is_disabled()
    for key in ("Tab", "Space", "Shift+Tab", "Space"):  # T1, then FLAIR again: a series has one sequence
        fresh.keyboard.press(key)
    assert summary.inner_text() == "FLAIR: FLAIR phantom, 8 slices; T1: none"
    second = fresh.get_by_role("group", name="T1 phantom, 8 slices is", exact=True)
    second.get_by_role("button", name="T1", exact=True).press("Enter")
    assert second.get_by_role("button", pressed=True).inner_text() == "T1"
    with fresh.expect_request("**/choice") as sent:
        fresh.locator("#choose-done").press("Enter")
    assert sent.value.post_data_json == {"choice": 1, "t1": 2}
    fresh.wait_for_selector("#busy:not([hidden])")
    fresh.click("#cancel")
    fresh.wait_for_selector("#empty:not([hidden])")


def test_t1_of_one_of_two_studies_is_named_after_the_study(fresh, study_zip):
    zips = [{"name": name, "mimeType": "application/zip", "buffer": study_zip} for name in ("a.zip", "b.zip")]
    open_files(fresh, *zips)
    with fresh.expect_request("**/choice") as scan:
        fresh.locator("#choices .choice", has_text="b.zip").click()
    group = fresh.get_by_role("group", name="T1 phantom, 8 slices is", exact=True)
    group.get_by_role("button", name="T1", exact=True).click()
    assert fresh.locator("#choices img[src*='of=1.']").count() == 3, "not the pictures of the list before"
    with fresh.expect_request("**/choice") as series:
        fresh.click("#choose-done")
    assert [scan.value.post_data_json, series.value.post_data_json] == [{"choice": 2}, {"choice": 1, "t1": 2}]
    fresh.click("#cancel")
    fresh.wait_for_selector("#empty:not([hidden])")


SEND_AGAIN = """async () => {
  const { Uploads } = await import("/page/reopen.js");
  const [uploads, form] = [new Uploads(), new FormData()];
  form.append("files", new File(["1"], "a.zip"));
  form.append("ask", "series");
  uploads.keep("upload", form);
  uploads.copied("upload", 3, "copy");
  uploads.chosen("upload", { flair: 2 });
  uploads.chosen("upload", { flair: 1, t1: 2 });
  const asks = ["upload", "copy"].map((id) => uploads.sent.get(id).form.has("ask"));
  return [asks, (await uploads.sendAgain("upload")).state, (await uploads.sendAgain("copy")).state];
}"""


def test_choices_are_made_again_in_their_order_if_the_server_has_lost_the_job(fresh):
    sent: list[Any] = []
    states = iter(["choose", "choose", "done", "choose", "done"])

    def answer(route: Route) -> None:
        if route.request.method != "POST":
            return route.continue_()
        sent.append(route.request.post_data_json if route.request.url.endswith("/choice") else "upload")
        return route.fulfill(status=202, json={"id": "new", "state": next(states)})

    fresh.route("**/v1/segmentations", answer)
    fresh.route("**/v1/segmentations/*/choice", answer)
    assert fresh.evaluate(SEND_AGAIN) == [[True, False], "done", "done"]
    assert sent == ["upload", {"choice": 2}, {"choice": 1, "t1": 2}, "upload", {"choice": 3}]


def test_all_scans_of_an_upload_are_opened_when_the_queue_has_room(browser, server_address, tmp_path):
    watch = Watch(browser, server_address)
    page, answers = watch.page, [202, 503, 202]

    def answer(route: Route) -> None:
        if answers.pop(0) == 202:
            route.continue_()
        else:
            route.fulfill(status=503, headers={"Retry-After": "1"}, body='{"error": "too many scans wait"}')

    page.route("**/copies", answer)
    open_files(page, *write_scans(tmp_path, "all1.nii.gz", "all2.nii.gz"))
    page.click("#choose-all:text-is('Open all 2')")
    page.wait_for_selector("#jobs-note:has-text('1 more scan waits')")
    wait_for_result(page)
    assert page.locator("#panel h2").inner_text() == "all1.nii.gz"
    page.wait_for_selector("#job-list li:has-text('all2.nii.gz'):has-text('predicted Dice')")
    upload = page.locator("#job-list li", has_text="choose a scan")
    upload.wait_for(state="detached")
    assert page.locator("#job-list li", has_text="all1.nii.gz").count() == 1
    page.locator("#job-list .job", has_text="all2.nii.gz").click()
    page.wait_for_selector("#panel h2:text-is('all2.nii.gz')")
    wait_for_result(page)
    watch.faults[:] = [fault for fault in watch.faults if "503" not in fault]
    watch.close()


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


def test_late_answer_does_not_bring_a_deleted_scan_back(fresh, tmp_path):
    for name in ("first.nii.gz", "second.nii.gz"):
        Path(tmp_path / name).write_bytes(b"no scan")
        open_files(fresh, tmp_path / name)
        fresh.locator("#job-list li", has_text=name).filter(has_text="failed").wait_for()
    late: list[tuple[Route, APIResponse]] = []

    def answer(route: Route) -> None:
        if route.request.method != "GET" or late:
            route.continue_()
        else:
            late.append((route, route.fetch()))

    fresh.route("**/v1/segmentations", answer)
    fresh.evaluate(CLICK_BIN, "first.nii.gz")
    while not late:
        fresh.wait_for_timeout(50)
    fresh.evaluate(CLICK_BIN, "second.nii.gz")
    row = fresh.locator("#job-list li", has_text="second.nii.gz")
    row.wait_for(state="detached")
    route, response = late[0]
    assert "second.nii.gz" in response.text()
    with fresh.expect_response("**/v1/segmentations"):
        route.fulfill(response=response)
    fresh.wait_for_timeout(300)
    assert row.count() == 0
