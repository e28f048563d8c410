"""The work list on the page: two cases are corrected with the keyboard; the time of work."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from browser_page import wait_for_result
from gliomaseg.data.tables import read_rows
from report.test_browser import PALE
from serve.work_server import WorkServer

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page


@pytest.fixture(scope="module")
def server(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[WorkServer]:
    yield from WorkServer.segmented_phantoms(tmp_path_factory.mktemp("page"))


@pytest.fixture
def page(browser: Browser, server: WorkServer) -> Iterator[Page]:
    for watch in server.open_list(browser):
        yield watch.page


def wait_until_open(page: Page, case: str) -> None:
    page.wait_for_selector(f"#work-name:text-is('{case}')")
    wait_for_result(page)


def test_cases_are_corrected_with_the_keyboard_alone(page: Page, server: WorkServer) -> None:
    first, second, third = (case["case"] for case in server.cases())
    page.keyboard.press("Enter")
    wait_until_open(page, first)
    page.keyboard.press("e")
    page.keyboard.press("Space")
    page.keyboard.press("a")
    wait_until_open(page, second)
    page.keyboard.press("n")
    wait_until_open(page, third)
    assert page.locator("#work-place").inner_text().startswith("1 of 3 done")
    page.keyboard.press("a")
    page.wait_for_selector("#worklist:not([hidden])")
    assert page.locator("#work-count").inner_text() == "2 of 3 done"
    rows = {entry.row["case"]: entry.row for entry in read_rows(server.out / "manifest.csv")}
    assert set(rows) == {first, third}
    assert int(rows[first]["changed_voxels"]) > 0
    assert (rows[third]["changed_voxels"], rows[third]["reader"]) == ("0", "anna")
    assert 0 < float(rows[first]["seconds"]) < 60
    assert page.evaluate("document.activeElement.id") == "work-start"
    page.keyboard.press("Enter")
    wait_until_open(page, second)
    page.keyboard.press("?")
    assert "Save and next" in page.locator("#key-list").inner_text()


def test_the_name_of_the_reader_is_that_of_the_page(page: Page, server: WorkServer) -> None:
    page.fill("#reader", "bo")
    page.keyboard.press("Enter")
    page.click("#work-cases tbody tr:last-child button")
    wait_for_result(page)
    page.click("#work-store")
    until = time.monotonic() + 30
    while "bo" not in {case["reader"] for case in server.cases()}:
        assert time.monotonic() < until
        time.sleep(0.1)


@pytest.mark.parametrize("width", [360, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_list_fits_and_is_legible(page: Page, width: int, scheme: str) -> None:
    page.set_viewport_size({"width": width, "height": 740})
    page.emulate_media(color_scheme=scheme, reduced_motion="reduce")  # type: ignore[arg-type]
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate(PALE) == []


def test_time_counts_until_a_minute_after_the_last_input(page: Page) -> None:
    # 10 s of earlier work; 30 s and an input; 100 s without one, of which 60 count; 5 s after the next input.
    script = """async () => {
      const { WorkTime } = await import("/page/worktime.js");
      let now = 0;
      const time = new WorkTime(() => now);
      time.start(10000);
      now = 30000; time.input();
      now = 130000;
      const paused = !time.counts;
      time.input();
      now = 135000;
      return [paused, time.counts, time.stop()];
    }"""
    assert page.evaluate(script) == [True, True, 105_000]


def test_time_stands_still_while_the_page_is_hidden(page: Page) -> None:
    script = """async () => {
      const { WorkTime } = await import("/page/worktime.js");
      let [now, state] = [0, "visible"];
      Object.defineProperty(document, "visibilityState", { get: () => state, configurable: true });
      const turn = (to) => { state = to; document.dispatchEvent(new Event("visibilitychange")); };
      const time = new WorkTime(() => now);
      time.start(0);
      now = 7000; turn("hidden");
      now = 20000; turn("visible");
      now = 21000;
      const total = time.stop();
      delete document.visibilityState;
      return total;
    }"""
    assert page.evaluate(script) == 8_000
