"""A browser with the page of `gliomaseg serve`, for the tests of the page."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

CHROMIUM = Path("/usr/bin/chromium")
# WebGL runs on the processor. Its pictures are put together there too: on a busy machine, a screenshot of a page that
# the graphics process puts together waits for minutes.
FLAGS = (
    "--no-sandbox", "--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader",
    "--disable-gpu-compositing", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip
PATIENCE_MS = 60_000

# Number and centre of the overlay's pixels with the colour of the outline; the centre in shares of width and height.
_OUTLINE = """() => {
  const { width, height } = document.getElementById("overlay");
  const copy = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true });
  copy.drawImage(document.getElementById("overlay"), 0, 0);
  const { data } = copy.getImageData(0, 0, width, height);
  let [count, x, y] = [0, 0, 0];
  for (let i = 0; i < width * height; i += 1) {
    const [red, green, blue, alpha] = data.subarray(4 * i, 4 * i + 4);
    if (red < 200 || green < 120 || green > 210 || blue > 110 || alpha < 200) continue;
    count += 1;
    x += i % width;
    y += Math.floor(i / width);
  }
  return [count, x / count / width, y / count / height];
}"""


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


def wait_for_frames(page: Page) -> None:
    """Wait until the page has drawn what it was asked for."""
    page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")


def outline_pixels(page: Page) -> int:
    """Return the number of pixels of the mask's outline."""
    wait_for_frames(page)
    return int(page.evaluate(_OUTLINE)[0])


def outline_centre(page: Page) -> tuple[float, float]:
    """Return the middle of the mask's outline, in shares of the picture's width and height."""
    wait_for_frames(page)
    _, x, y = page.evaluate(_OUTLINE)
    return x, y


def shown_ml(page: Page) -> float:
    """Return the volume that the page shows."""
    wait_for_frames(page)
    return float(page.locator("#numbers .value strong").first.inner_text())


def drag(page: Page, *places: tuple[float, float]) -> None:
    """Drag the mouse over places of the picture, in shares of its width and height."""
    box: Any = page.locator("#overlay").bounding_box()
    points = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in places]
    page.mouse.move(*points[0])
    page.mouse.down()
    for point in points[1:]:
        page.mouse.move(*point, steps=4)
    page.mouse.up()
    wait_for_frames(page)


def crosshair_mm(page: Page) -> tuple[float, float, float]:
    """Return the place of the crosshair in the patient, x, y, z, that the page shows."""
    wait_for_frames(page)
    x, y, z = page.locator("#readout").inner_text().split(" mm")[0].split(", ")
    return float(x), float(y), float(z)


def open_files(page: Page, *files: Path | dict[str, Any]) -> None:
    """Choose files as a person does."""
    page.set_input_files("#files", files=list(files))  # type: ignore[arg-type]


def wait_for_result(page: Page) -> None:
    """Wait until the values of a scan are shown."""
    page.wait_for_selector("#numbers strong", timeout=PATIENCE_MS)
    page.wait_for_selector("#stage-wait", state="hidden", timeout=PATIENCE_MS)
    wait_for_frames(page)
