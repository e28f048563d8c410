"""The report as a browser shows it: on a desk, on a phone, in the dark and on paper."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gliomaseg.report.html import write_report

sync_api = pytest.importorskip("playwright.sync_api", reason="the browser is driven by playwright")
CHROMIUM = Path("/usr/bin/chromium")
FLAGS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip
pytestmark = pytest.mark.skipif(not CHROMIUM.is_file(), reason=f"there is no {CHROMIUM}")

# For each text that can be seen: its contrast with what lies behind it, as WCAG 2 defines it, if it is below 4.5.
PALE = """() => {
  const canvas = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
  const over = (colour, below) => {
    canvas.fillStyle = `rgb(${below})`; canvas.fillRect(0, 0, 1, 1);
    canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data].slice(0, 3);
  };
  const light = (rgb) => {
    const [r, g, b] = rgb.map((v) => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = (element) => {
    const chain = [];
    for (let e = element; e; e = e.parentElement) chain.unshift(getComputedStyle(e).backgroundColor);
    return chain.reduce((below, colour) => over(colour, below), [255, 255, 255]);
  };
  const pale = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    if (!walker.currentNode.data.trim() || ["SCRIPT", "STYLE", "title"].includes(element.tagName)) continue;
    if (!element.getClientRects().length) continue;
    const style = getComputedStyle(element), below = behind(element);
    const colour = element instanceof SVGElement ? style.fill : style.color;
    const [a, b] = [light(over(colour, below)), light(below)].sort((x, y) => y - x);
    const contrast = (a + 0.05) / (b + 0.05);
    if (contrast < 4.5) pale.push(`${contrast.toFixed(2)} ${walker.currentNode.data.trim()}`);
  }
  return pale;
}"""
Open = Callable[..., "sync_api.Page"]


@pytest.fixture(scope="module")
def address(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_report(folder, tmp_path_factory.mktemp("browser") / "report.html").as_uri()


@pytest.fixture(scope="module")
def browser() -> Iterator[sync_api.Browser]:
    """Start a browser with a profile of its own, which playwright makes and removes."""
    with sync_api.sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=str(CHROMIUM), args=FLAGS, headless=True)
        yield started
        started.close()


@pytest.fixture
def show(browser: sync_api.Browser, address: str) -> Iterator[Open]:
    """Return `show(width, scheme)`: the page, of which nothing may be said on the console and nothing asked for."""
    pages: list[sync_api.Page] = []
    said: list[str] = []
    asked: list[str] = []

    def open_page(width: int = 1280, scheme: str = "light", *, scripts: bool = True) -> sync_api.Page:
        page = browser.new_page(java_script_enabled=scripts)
        pages.append(page)
        page.set_viewport_size({"width": width, "height": 900})
        page.emulate_media(color_scheme=scheme)
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda fault: said.append(str(fault)))
        page.on("request", lambda request: asked.append(request.url))
        page.goto(address)
        return page

    yield open_page
    for page in pages:
        page.close()
    assert said == []
    assert {url for url in asked if not url.startswith("data:")} == {address}


def column(page: sync_api.Page, at: int) -> list[str]:
    return page.locator(f"table.patients tbody tr > :nth-child({at + 1})").all_inner_texts()


def numbers(texts: list[str]) -> list[float]:
    return [float(text.replace(",", "")) for text in texts if text != "\u2013"]


def test_the_page_is_no_wider_than_the_screen(show):
    page = show()
    for width in (320, 390, 768, 1280, 1920):
        page.set_viewport_size({"width": width, "height": 900})
        assert page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("width", [390, 1280])
def test_the_table_scrolls_in_its_own_frame(show, width):
    frame = show(width).locator(".scroll")
    inner, outer = frame.evaluate("e => [e.scrollWidth, e.clientWidth]")
    assert inner > outer
    assert frame.get_attribute("tabindex") == "0"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_each_text_stands_out_from_its_background(show, scheme, width):
    assert show(width, scheme).evaluate(PALE) == []


def test_the_dark_scheme_is_dark(show):
    background = "getComputedStyle(document.body).backgroundColor"
    assert show(scheme="light").evaluate(background) == "rgb(255, 255, 255)"
    assert all(int(part) < 40 for part in re.findall(r"\d+", show(scheme="dark").evaluate(background)))


def test_a_click_sorts_up_then_down_with_gaps_last(show):
    page = show()
    heads = page.locator("table.patients thead th")
    at = heads.all_inner_texts().index("Dice, stack")
    button = heads.nth(at).locator("button")
    button.click()
    assert heads.nth(at).get_attribute("aria-sort") == "ascending"
    rising = column(page, at)
    assert rising[-2:] == ["\u2013", "\u2013"]
    assert numbers(rising) == sorted(numbers(rising))
    button.click()
    assert heads.nth(at).get_attribute("aria-sort") == "descending"
    falling = column(page, at)
    assert falling[-2:] == ["\u2013", "\u2013"]
    assert numbers(falling) == sorted(numbers(falling), reverse=True)
    assert len(falling) == 88


def test_the_keyboard_sorts_too(show):
    page = show()
    names = column(page, 0)
    page.locator(".scroll").focus()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    heads = page.locator("table.patients thead th")
    assert heads.nth(0).get_attribute("aria-sort") == "ascending"
    assert column(page, 0) == sorted(names)
    page.keyboard.press("Tab")
    page.keyboard.press("Space")
    assert [head.get_attribute("aria-sort") for head in heads.all()[:3]] == ["none", "ascending", "none"]
    assert column(page, 1) == sorted(column(page, 1))


def test_all_is_there_without_a_script(show):
    texts = [show(scripts=scripts).locator("main").inner_text() for scripts in (True, False)]
    assert texts[0] == texts[1]


def test_paper_is_light_and_shows_every_patient(show):
    page = show(700, "dark")
    page.emulate_media(media="print", color_scheme="dark")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert page.evaluate(PALE) == []
    assert (
        page.evaluate("getComputedStyle(document.querySelector('table.patients thead')).display")
        == "table-header-group"
    )
    assert page.evaluate("document.querySelector('table.patients').getBoundingClientRect().width") <= 700
    assert not page.locator("nav").is_visible()


def test_it_prints_to_a_few_pages(show):
    content = show().pdf(prefer_css_page_size=True)
    assert content.startswith(b"%PDF")
    assert 4 <= len(re.findall(rb"/Type\s*/Page\b", content)) <= 12


def test_charts_can_be_read_on_a_phone(show):
    sizes = show(390).evaluate(
        "[...document.querySelectorAll('svg.chart text')].map(t => parseFloat(getComputedStyle(t).fontSize)"
        " * t.ownerSVGElement.getBoundingClientRect().width / t.ownerSVGElement.viewBox.baseVal.width)"
    )
    assert min(sizes) > 8
