import base64

import pytest
from PIL import Image

from gliomaseg.evaluation.results import Evaluation, Example
from gliomaseg.report.images import embed_images


def carried(folder, name):
    return embed_images(Evaluation(examples=[Example(kind="worst", file=name)]), folder)[0]


@pytest.fixture
def own(tmp_path):
    """Make an evaluation's folder, beside which lies a picture that is not its own."""
    Image.new("RGB", (4, 4)).save(tmp_path / "secret.png")
    folder = tmp_path / "own"
    folder.mkdir()
    return folder


def test_a_picture_is_carried_as_it_is(own):
    Image.new("RGB", (6, 4)).save(own / "a.png")
    picture = carried(own, "a.png")
    assert (picture.width, picture.height, picture.missing) == (6, 4, None)
    kind, _, content = picture.src.partition(",")
    assert kind == "data:image/png;base64"
    assert base64.b64decode(content) == (own / "a.png").read_bytes()


def test_the_best_comes_first(own):
    examples = [Example(kind=kind) for kind in ("worst", "median", "best")]
    assert [p.example.kind for p in embed_images(Evaluation(examples=examples), own)] == ["best", "median", "worst"]


@pytest.mark.parametrize(
    "name", ["../secret.png", "{outside}/secret.png", "link.png", "/etc/passwd", "../own/../secret.png"]
)
def test_a_picture_outside_the_evaluation_is_not_opened(own, name):
    (own / "link.png").symlink_to(own.parent / "secret.png")
    picture = carried(own, name.format(outside=own.parent))
    assert picture.src is None
    assert "outside the evaluation" in picture.missing


@pytest.mark.parametrize("name", [None, "", ".", "no.png", "a\0b.png", "x" * 5000], ids=range(6))
def test_a_picture_that_is_not_there_has_a_reason(own, name):
    picture = carried(own, name)
    assert picture.src is None
    assert picture.missing.endswith(".")


@pytest.mark.parametrize("content", [b"", b"<svg onload='alert(1)'/>", b"\x89PNG\r\n\x1a\n", b"GIF89a"])
def test_what_is_no_png_is_not_carried(own, content):
    (own / "a.png").write_bytes(content)
    assert "not a valid PNG" in carried(own, "a.png").missing


def test_a_cut_picture_and_a_wide_one_are_not_carried(own):
    Image.effect_noise((64, 64), 50).save(own / "whole.png")
    (own / "cut.png").write_bytes((own / "whole.png").read_bytes()[:900])
    Image.new("1", (5000, 8)).save(own / "wide.png")
    assert carried(own, "whole.png").src
    assert [carried(own, name).src for name in ("cut.png", "wide.png")] == [None, None]


def test_a_file_that_is_too_large_is_not_read(own, monkeypatch):
    monkeypatch.setattr("gliomaseg.report.images.LARGEST_BYTES", 10)
    Image.new("RGB", (6, 4)).save(own / "a.png")
    assert "larger than" in carried(own, "a.png").missing
