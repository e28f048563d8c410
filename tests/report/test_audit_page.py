"""The page of an audit: an image of each case, the reasons under it, nothing loaded and nothing unescaped."""

from __future__ import annotations

import base64
import io
import re
import shutil
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from gliomaseg.data.audit import audit
from gliomaseg.data.case_audit import ShownSlice
from gliomaseg.data.layouts import read_cases
from gliomaseg.errors import OutputExistsError
from gliomaseg.report.audit_page import SIDE_PX, AuditPage, draw_thumbnail

pytest.importorskip("jinja2", reason="a page needs the extra report")
KaggleTree = Callable[..., Path]
A, B, C = "TCGA_CS_0001_20000101", "TCGA_DU_0002_20010101", "TCGA_HT_0003_20020101"


@pytest.fixture
def tree(tmp_path: Path, kaggle_tree: KaggleTree) -> Path:
    """Three patients of four slices; every second slice has a tumour."""
    return kaggle_tree(tmp_path / "data", {A: 4, B: 4, C: 4})


def write_page(tree: Path, out: Path, *, overwrite: bool = False) -> str:
    page = AuditPage(out, overwrite=overwrite)
    page.write(audit(read_cases(tree), on_case=page.add))
    return out.read_text("utf-8")


def names(text: str) -> list[str]:
    return [name.replace("<wbr>", "") for name in re.findall(r"<h3>(.*?)</h3>", text)]


def picture(source: str) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(source.partition(",")[2]))))


def test_each_case_has_an_image(tree: Path, tmp_path: Path) -> None:
    text = write_page(tree, tmp_path / "page.html")
    assert names(text) == [A, B, C]
    assert len(re.findall(r'<img src="data:image/jpeg;base64,', text)) == 3
    assert "Safe to train on" in text


def test_cases_with_problems_come_first_then_warnings_then_empty_masks(tree: Path, tmp_path: Path) -> None:
    (tree / C / f"{C}_1.tif").write_bytes(b"")
    for number in range(1, 5):
        tifffile.imwrite(tree / B / f"{B}_{number}_mask.tif", np.zeros((16, 16), np.uint8))
    text = write_page(tree, tmp_path / "page.html")
    assert names(text) == [C, B, A]
    assert '<p class="reason problem">\u2026_<wbr>1.tif: is empty; copy or export it again</p>' in text
    assert "no tumour" in text


def test_both_cases_of_a_copy_are_marked(tree: Path, tmp_path: Path) -> None:
    shutil.copy(tree / A / f"{A}_1.tif", tree / C / f"{C}_1.tif")
    text = write_page(tree, tmp_path / "page.html").replace("<wbr>", "")
    assert names(text) == [A, C, B]
    assert f"shares slices with {A}</p>" in text


def test_a_case_without_a_readable_file_has_no_image(tree: Path, tmp_path: Path) -> None:
    for number in range(1, 5):
        (tree / B / f"{B}_{number}.tif").write_bytes(b"")
    text = write_page(tree, tmp_path / "page.html")
    assert text.count("<img ") == 2
    assert "no image" in text
    assert "<summary>1 more</summary>" in text  # three reasons are shown


def test_problems_of_no_case_and_skipped_files_are_listed(tree: Path, tmp_path: Path) -> None:
    (tree / "notes.txt").touch()
    (tree / f"{A}_9.tif").touch()
    text = write_page(tree, tmp_path / "page.html")
    assert f"<b>{A}_9.tif</b>: is a slice outside" in text
    assert "<b>notes.txt</b>: is not a slice of this case" in text


def test_page_loads_and_runs_nothing_and_escapes_names(tmp_path: Path, kaggle_tree: KaggleTree) -> None:
    name = "P<script>alert(1)<"
    text = write_page(kaggle_tree(tmp_path / "data", {name: 2}), tmp_path / "page.html")

    class Tags(HTMLParser):
        found: list[tuple[str, dict[str, str | None]]]

        def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
            self.found.append((tag, dict(attributes)))

    parser = Tags()
    parser.found = []
    parser.feed(text)
    assert "script" not in {tag for tag, _ in parser.found}
    sources = [value or "" for _, one in parser.found for key, value in one.items() if key in {"src", "href"}]
    assert all(source.startswith("data:") for source in sources)
    assert "&lt;script&gt;" in text


def test_page_replaces_only_its_own(tree: Path, tmp_path: Path) -> None:
    out = tmp_path / "page.html"
    first = write_page(tree, out)
    with pytest.raises(OutputExistsError, match="exists already"):
        AuditPage(out)
    assert write_page(tree, out, overwrite=True) == first
    out.write_text("mine")
    with pytest.raises(OutputExistsError, match="was changed"):
        AuditPage(out, overwrite=True)


def test_thumbnail_is_cut_to_the_head_and_has_square_pixels() -> None:
    image, mask = np.zeros((100, 100), np.uint8), np.zeros((100, 100), bool)
    image[40:60, 30:70] = 128  # 20 rows of 2 mm, 40 columns of 1 mm, and 4 pixels on each side
    mask[45:55, 40:50] = True
    pixels = picture(draw_thumbnail(ShownSlice(image, mask, 1, 1, (2.0, 1.0))))
    assert pixels.shape == (SIDE_PX, round(48 / 56 * SIDE_PX), 3)
    red, _, blue = (int(level) for level in pixels[SIDE_PX // 2, round(14 / 48 * pixels.shape[1])])
    assert blue - red > 60  # the outline


def test_black_slice_without_a_mask_is_shown_whole() -> None:
    black = np.zeros((8, 16), np.uint8)
    pixels = picture(draw_thumbnail(ShownSlice(black, black > 0, 1, 1, (1.0, 1.0))))
    assert pixels.shape == (SIDE_PX // 2, SIDE_PX, 3)
