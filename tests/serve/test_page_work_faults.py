"""The page with a work list, when keys are held, scans load late, the server starts again or a name is refused."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from browser_page import Watch, open_files, shown_ml, wait_for_result
from serve.work_server import WorkServer, lose_job, names, open_case

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page


@pytest.fixture(scope="module")
def server(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[WorkServer]:
    yield from WorkServer.segmented_phantoms(tmp_path_factory.mktemp("faults"))


@pytest.fixture
def watch(browser: Browser, server: WorkServer) -> Iterator[Watch]:
    """A page with the list of cases."""
    yield from server.open_list(browser)


@pytest.fixture
def page(watch: Watch) -> Page:
    return watch.page


def test_held_key_stores_one_case(page: Page, server: WorkServer) -> None:
    first, second, _ = names(server)
    open_case(page, first)
    for _ in range(3):
        page.keyboard.down("a")
    page.wait_for_selector(f"#work-name:text-is('{second}')")
    wait_for_result(page)
    for _ in range(5):
        page.keyboard.down("a")
    page.keyboard.up("a")
    page.wait_for_timeout(200)
    assert page.locator("#work-name").inner_text() == second
    assert [case["state"] for case in server.cases()].count("corrected") == 1
    page.click("#work-open")


# The next scan is read, but comes only when `release` is called.
HOLD = """async () => {
  const { NVImage } = await import("/page/vendor/niivue-0.69.0.min.js");
  const read = NVImage.loadFromUrl;
  window.held = new Promise((hold) => {
    NVImage.loadFromUrl = async (options) => {
      NVImage.loadFromUrl = read;
      const image = await read.call(NVImage, options);
      await new Promise((resolve) => { window.release = resolve; hold(); });
      return image;
    };
  });
}"""


def hold_case(page: Page, case: str) -> None:
    """Open a case whose scan loads late, and go back to the list."""
    page.evaluate(HOLD)
    page.locator("#work-cases button", has_text=case).click()
    page.evaluate("() => window.held")
    page.click("#work-open")
    page.wait_for_selector("#worklist:not([hidden])")


def release(page: Page) -> None:
    page.evaluate("() => window.release()")
    page.wait_for_timeout(300)


def test_scan_that_loads_late_takes_over_neither_the_list_nor_another_scan(page: Page, server: WorkServer) -> None:
    first, second, _ = names(server)
    hold_case(page, first)
    release(page)
    assert page.locator("#worklist").is_visible()
    assert not page.locator("#work-bar").is_visible()
    hold_case(page, first)
    open_case(page, second)
    release(page)
    assert page.locator("#work-name").inner_text() == second
    assert page.locator("#panel h2").inner_text().startswith(second)
    page.click("#work-open")


# Answer questions with "Cancel", and note them.
STAY = "() => { window.asked = []; window.confirm = (text) => { window.asked.push(text); return false; }; }"
ASKS_ON_RELOAD = "() => !window.dispatchEvent(new Event('beforeunload', { cancelable: true }))"


def test_moved_threshold_and_undone_strokes_are_left_only_after_a_question(page: Page, server: WorkServer) -> None:
    first, *_ = names(server)
    open_case(page, first)
    assert not page.evaluate(ASKS_ON_RELOAD)
    page.evaluate(STAY)
    page.locator("#threshold").fill("0.9")
    assert page.evaluate(ASKS_ON_RELOAD)
    page.locator("#overlay").press("n")
    page.click("#work-open")
    assert page.evaluate("() => window.asked") == ["The correction is not saved. Leave it?"] * 2
    assert page.locator("#work-name").inner_text() == first
    page.click("#threshold-reset")
    assert not page.evaluate(ASKS_ON_RELOAD)
    for key in ("e", "Space", "z"):
        page.locator("#overlay").press(key)
    assert page.evaluate(ASKS_ON_RELOAD)
    page.click("#work-open")
    assert "undone" in page.evaluate("() => window.asked.at(-1)")
    page.locator("#overlay").press("y")
    with page.expect_response("**/mask?*"):
        page.locator("#overlay").press("k")
    page.wait_for_selector("#save:disabled", state="attached")
    assert not page.evaluate(ASKS_ON_RELOAD)
    page.click("#work-open")
    page.wait_for_selector("#worklist:not([hidden])")


def test_correction_is_stored_after_the_server_has_lost_the_case(watch: Watch, server: WorkServer) -> None:
    page = watch.page
    first, *_ = names(server)
    before = server.case(first)["changed_voxels"]
    open_case(page, first)
    page.click("[data-tool=eraser]")
    page.locator("#overlay").press("Space")
    lose_job(page, server)
    page.click("#work-store")
    page.wait_for_selector(f"#work-name:not(:text-is('{first}'))", state="attached")
    wait_for_result(page)
    after = server.case(first)
    assert (before or 0) < after["changed_voxels"]
    assert after["state"] == "corrected"
    watch.faults[:] = [fault for fault in watch.faults if "404" not in fault]
    page.click("#work-open")


def move_threshold(page: Page, threshold: str) -> float:
    """Change the mask of the page, and return its volume."""
    page.locator("#threshold").fill(threshold)
    return shown_ml(page)


def store(page: Page, answer: str | None = None) -> None:
    """Store the open case with the key, and answer the question about another reader."""
    with page.expect_response(lambda response: "/worklist/" in response.url and response.status == 200):
        page.locator("#overlay").press("a")
        if answer:
            page.click(answer)


def forget_conflicts(*watches: Watch) -> None:
    for watch in watches:
        watch.faults[:] = [fault for fault in watch.faults if "409" not in fault]


def test_two_readers_of_a_case_lose_no_mask(watch: Watch, browser: Browser, server: WorkServer) -> None:
    anna, first = watch.page, names(server)[0]
    for other in server.open_list(browser):
        bo = other.page
        bo.fill("#reader", "bo")
        bo.keyboard.press("Tab")
        for page in (anna, bo):
            open_case(page, first)
        of_anna, of_bo = move_threshold(anna, "0.9"), move_threshold(bo, "0.2")
        store(anna)
        bo.locator("#overlay").press("a")
        bo.wait_for_selector("#conflict-title:text-is('anna has stored this case')")
        bo.keyboard.press("Escape")
        assert (shown_ml(bo), server.case(first)["reader"]) == (of_bo, "anna")
        bo.locator("#overlay").press("a")
        bo.click("#conflict-theirs")
        assert shown_ml(bo) == of_anna
        assert bo.evaluate(ASKS_ON_RELOAD)
        bo.locator("#overlay").press("z")
        assert shown_ml(bo) == of_bo
        store(bo)
        assert server.case(first)["reader"] == "bo"
        forget_conflicts(watch, other)


def test_accepted_mask_replaces_another_only_after_a_choice(watch: Watch, server: WorkServer) -> None:
    case = server.cases()[1]
    open_case(watch.page, case["case"])
    accepted = case["changed_voxels"] or 0
    server.draw(server.open(case), (5, 3, 2))
    server.store(case, reader="anna").raise_for_status()
    assert server.case(case["case"])["changed_voxels"] != accepted
    store(watch.page, "#conflict-mine")
    assert server.case(case["case"])["changed_voxels"] == accepted
    forget_conflicts(watch)


def test_mask_that_was_changed_elsewhere_is_not_taken_away_unseen(watch: Watch, server: WorkServer) -> None:
    case, page = server.cases()[1], watch.page
    open_case(page, case["case"])
    of_page = shown_ml(page)
    server.draw(server.open(case), (6, 5, 2))
    page.click("[data-file='mask.nii.gz']")
    page.wait_for_selector("#conflict-title:text-is('The mask was changed elsewhere')")
    page.click("#conflict-theirs")
    assert shown_ml(page) != of_page
    with page.expect_download():
        page.click("[data-file='mask.nii.gz']")
    forget_conflicts(watch)


def wait_until_reopened(page: Page, job: str) -> None:
    page.wait_for_function("(job) => location.hash.slice(1) !== job", arg=job)
    page.wait_for_selector(".toast:has-text('Your corrections are kept')")
    page.wait_for_selector("#stage-wait", state="hidden")


def test_strokes_and_brush_reopen_an_upload_that_the_server_has_lost(watch: Watch, server: WorkServer) -> None:
    page = watch.page
    page.click("#open-more")
    open_files(page, next(server.data.rglob("*flair*")))
    wait_for_result(page)
    first, model_ml = page.url.partition("#")[2], shown_ml(page)
    page.locator("#overlay").press("e")
    page.locator("#overlay").press("Space")
    erased_ml = shown_ml(page)
    lose_job(page, server)
    page.locator("#overlay").press("d")
    page.locator("#overlay").press("Space")  # a stroke: the server is asked at once
    wait_until_reopened(page, first)
    second = page.url.partition("#")[2]
    assert shown_ml(page) <= erased_ml < model_ml
    lose_job(page, server)
    page.evaluate("() => { const now = Date.now; Date.now = () => now() + 61000; }")
    page.locator("#overlay").press("e")
    page.locator("#overlay").press("+")
    page.locator("#overlay").press("Space")  # the brush asks after a minute
    wait_until_reopened(page, second)
    ml = shown_ml(page)
    assert ml < erased_ml
    page.click("#save")
    page.wait_for_selector("#save:disabled")
    assert server.client.get(f"/segmentations/{page.url.partition('#')[2]}").json()["result"]["corrected"]
    assert shown_ml(page) == ml
    watch.faults[:] = [fault for fault in watch.faults if "404" not in fault]


def test_correction_of_an_upload_that_expired_stays_on_the_page(watch: Watch, server: WorkServer) -> None:
    page = watch.page
    page.click("#open-more")
    open_files(page, next(server.data.rglob("*flair*")))
    wait_for_result(page)
    page.reload()  # so that the page does not have the files
    wait_for_result(page)
    page.click("[data-tool=eraser]")
    page.locator("#overlay").press("Space")
    lose_job(page, server)
    page.click("#save")
    page.wait_for_selector(".toast.bad:has-text('keep it open')")
    page.wait_for_selector("#changes:has-text('Keep this page open')")
    assert page.evaluate(ASKS_ON_RELOAD)
    watch.faults[:] = [fault for fault in watch.faults if "404" not in fault]


def test_delete_all_leaves_the_open_case_and_asks_about_a_correction(page: Page, server: WorkServer) -> None:
    page.click("#open-more")
    open_files(page, next(server.data.rglob("*flair*")))
    wait_for_result(page)
    upload = page.url.partition("#")[2]
    page.evaluate(STAY)
    page.locator("#threshold").fill("0.9")
    page.click("#delete-all")
    page.wait_for_timeout(200)
    assert page.evaluate("() => window.asked.at(-1)").endswith("is not saved.")
    page.click("#threshold-reset")
    page.click("#work-open")
    open_case(page, names(server)[0])
    case = page.url.partition("#")[2]
    page.evaluate("() => { window.confirm = () => true; }")
    page.click("#delete-all")
    page.wait_for_selector("#jobs", state="hidden")
    jobs = [job["id"] for job in server.client.get("/segmentations").json()]
    assert case in jobs
    assert upload not in jobs
    assert page.locator("#work-bar").is_visible()


def test_time_of_work_outlives_a_reload(page: Page, server: WorkServer) -> None:
    first, *_ = names(server)
    page.evaluate("(name) => sessionStorage.setItem('gliomaseg-times', JSON.stringify({ [name]: 72000 }))", first)
    page.reload()
    open_case(page, first)
    minutes, seconds = page.locator("#work-place").inner_text().split(" · ")[1].split(",")[0].split(":")
    assert 72 <= 60 * int(minutes) + int(seconds) < 120
    page.reload()  # the time is kept before the page is left
    kept = page.evaluate("(name) => JSON.parse(sessionStorage.getItem('gliomaseg-times'))[name]", first)
    assert 72_000 < kept < 120_000


def test_reader_that_the_server_refuses_is_marked_at_once(page: Page) -> None:
    for name in ("", "a" * 101, "a\tb", "a\\b", "=a", "+a", "-a", "@a"):
        page.fill("#reader", name)
        assert page.locator("#reader").get_attribute("aria-invalid") == "true", name
        assert "“anna”" in page.locator("#reader-fault").inner_text()
    page.fill("#reader", "Bo-Åsa")
    assert page.locator("#reader").get_attribute("aria-invalid") == "false"
    assert not page.locator("#reader-fault").is_visible()
