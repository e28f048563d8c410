"""Width, contrast and pure modules of the page of `gliomaseg serve`, in a browser."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from browser_page import open_files
from report.test_browser import PALE

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

SHOW_ALL = """() => { document.body.classList.add("has-jobs");
  for (const part of document.querySelectorAll("[hidden]")) {
    part.hidden = part.tagName === "svg" || part.id === "dropping";
  } }"""


@pytest.fixture(scope="module")
def page(browser: Browser, server_address: str) -> Iterator[Page]:
    opened = browser.new_page()
    opened.goto(server_address)
    open_files(opened, {"name": "broken.nii.gz", "mimeType": "application/gzip", "buffer": b"no scan"})
    opened.wait_for_selector("#error:not([hidden])")
    opened.evaluate(SHOW_ALL)
    yield opened
    opened.close()


@pytest.mark.parametrize("width", [360, 768, 1280])
def test_no_state_is_wider_than_the_screen(page, width):
    page.set_viewport_size({"width": width, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_each_text_stands_out_from_its_background(page, scheme):
    page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
    pale = page.evaluate(PALE)
    disabled = {"Undo", "Redo"}  # WCAG 2.2, 1.4.3: inactive controls are exempt
    assert [line for line in pale if line.split(" ", 1)[1] not in disabled] == []


def test_controls_have_names(page):
    nameless = page.evaluate(
        """() => [...document.querySelectorAll("button, a[href], input, select")].filter((one) =>
        !(one.textContent.trim() || one.getAttribute("aria-label") || one.labels?.length))
        .map((one) => one.outerHTML)"""
    )
    assert nameless == []


def run(page: Page, module: str, script: str) -> object:
    return page.evaluate(f"async () => {{ const m = await import('/page/{module}.js'); {script} }}")


def test_threshold_excludes_the_probability_itself(page):
    # 0.4 of 255 is 102.
    assert run(page, "measure", "return [...m.thresholdMask(Uint8Array.of(101, 102, 103), 0.4)]") == [0, 0, 1]


def test_volume_is_voxels_times_spacing(page):
    # 10 voxels of 1 x 2 x 5 mm are 100 mm3.
    assert run(page, "measure", "return m.volumeMl(10, [1, 2, 5])") == pytest.approx(0.1)


def test_small_components_are_removed(page):
    # Two voxels that touch by a corner stay, one alone goes.
    script = "return [...m.removeSmall(Uint8Array.of(1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 1), [4, 3, 1], 2)]"
    assert run(page, "measure", script) == [1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0]


def test_diameters_of_a_rectangle(page):
    # 5 x 1 pixels of 2 mm: 4 steps of 2 mm and one pixel; at right angles, one pixel. The slice with 5 is the second.
    script = """const mask = new Uint8Array(50); mask[0] = 1; for (let x = 0; x < 5; x += 1) mask[25 + 5 * 2 + x] = 1;
    const d = m.measureDiameters(mask, [5, 5, 2], [2, 2, 3]); return [d.longest.mm, d.perpendicular.mm, d.z];"""
    assert run(page, "measure", script) == [10, 2, 1]


def test_empty_mask_has_no_diameters(page):
    assert run(page, "measure", "return m.measureDiameters(new Uint8Array(8), [2, 2, 2], [1, 1, 1])") is None


def test_disc_and_ball_are_round_in_mm(page):
    # Radius 2 mm: in the plane, voxels 1 mm apart, 13 centres; slices are 2 mm apart, so the ball has 2 more.
    script = """const shape = [11, 11, 11];
    return [2, null].map((fixed) => m.ball([5, 5, 5], 2, shape, [1, 1, 2], fixed).length);"""
    assert run(page, "drawing", script) == [13, 15]


def test_line_has_no_gaps(page):
    assert run(page, "drawing", "return m.line([0, 0, 0], [4, 2, 0])") == [
        [0, 0, 0],
        [1, 1, 0],
        [2, 1, 0],
        [3, 2, 0],
        [4, 2, 0],
    ]


def test_enclosed_hole_is_not_open(page):
    # A ring of 3 x 3 in a slice of 5 x 5.
    script = """const mask = new Uint8Array(25); for (const i of [6, 7, 8, 11, 13, 16, 17, 18]) mask[i] = 1;
    const [hole, rest] = [[2, 2, 0], [0, 0, 0]].map((seed) => m.region(mask, [5, 5, 1], seed, 2));
    return [hole.indices, hole.open, rest.indices.length, rest.open];"""
    assert run(page, "drawing", script) == [[12], False, 16, True]


def test_history_goes_back_and_forth_and_forgets_the_oldest(page):
    script = """const layer = new Uint8Array(4), h = new m.History(layer, 12), seen = [];
    for (const i of [0, 1, 2]) { h.set(i, m.ADDED, m.EDIT); h.commit(); }
    seen.push([...layer]); h.undo(); seen.push([...layer]); h.redo(); seen.push([...layer]);
    h.undo(); h.undo(); seen.push(h.undo() === null, [...layer]);
    h.set(3, m.REMOVED, m.EDIT); h.commit(); seen.push(h.canRedo); return seen;"""
    # A change of one voxel has 6 bytes, so two are kept.
    assert run(page, "drawing", script) == [[1, 1, 1, 0], [1, 1, 0, 0], [1, 1, 1, 0], True, [1, 0, 0, 0], False]


def test_passes_over_words_count_as_those_over_bytes(page):
    # 7 x 3 x 5 = 105 voxels: slices do not begin at a word, and one voxel is left at the end.
    script = """const at = (seed) => Uint8Array.from({ length: 105 }, (_, i) => ((i * seed) % 11 < 4 ? 1 : 0));
    const sum = (values, one = (value) => value) => values.reduce((total, value, i) => total + one(value, i), 0);
    const [a, b] = [at(3), at(5)];
    const levels = Uint8Array.from({ length: 105 }, (_, i) => (i * 37) % 256);
    const seen = [];
    m.eachDifference(a, b, (i) => seen.push(i));
    const { both, onlyFirst, onlySecond } = m.overlap(a, b);
    const above = m.maskAbove(levels, 0.4, new Uint8Array(105));
    a.fill(0, 0, 21); a.fill(1, 42, 63); a.fill(0, 84);
    const { largest, first, last } = m.slicesOf(a, [7, 3, 5]);
    const later = at(3);
    return [
      m.countOnes(later) === sum(later), m.countOnes(later.subarray(21, 42)) === sum(later.slice(21, 42)),
      m.areEqual(later, at(3)), !m.areEqual(later, a), seen.length === onlyFirst + onlySecond,
      seen.every((i) => later[i] !== b[i]), both === sum(later, (one, i) => one & b[i]),
      onlyFirst === sum(later, (one, i) => one & ~b[i] & 1),
      levels.every((level, i) => (level > 102) === (above[i] === 1)),
      largest === 2 && first === 1 && last === 3,
    ];"""
    assert run(page, "voxels", script) == [True] * 10
