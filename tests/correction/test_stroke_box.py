"""The box of strokes and mask has a margin, and a limited size."""

from __future__ import annotations

import numpy as np
import pytest

from gliomaseg.correction import stroke_box as module
from gliomaseg.correction.stroke_box import stroke_box
from gliomaseg.errors import ResourceError


def marked(shape: tuple[int, int, int], *parts: tuple[slice | int, slice | int, slice | int]) -> np.ndarray:
    """Return a mask with some parts filled."""
    mask = np.zeros(shape, bool)
    for part in parts:
        mask[part] = True
    return mask


SHAPE = (40, 100, 100)


def test_the_box_has_a_tenth_more_on_each_side() -> None:
    stroke = marked(SHAPE, (20, slice(30, 40), 50))
    mask = marked(SHAPE, (slice(5, 35), slice(40, 70), slice(50, 90)))
    # z: 5 to 35, 30 slices, 3 more. y: 30 to 70, 4 more. x: 50 to 90, 4 more.
    assert stroke_box(stroke, mask, (0, 0, 0)) == (slice(2, 38), slice(26, 74), slice(46, 94))


def test_the_box_contains_the_reach_of_the_strokes() -> None:
    stroke = marked(SHAPE, (20, slice(30, 40), 50))
    mask = marked(SHAPE, (slice(18, 22), slice(28, 42), slice(50, 90)))
    # z: 20 to 21, 6 more; y: 30 to 40, 20 more; x: the mask's 50 to 90 with 4 more, and on the left 50 - 30.
    assert stroke_box(stroke, mask, (6, 20, 30)) == (slice(14, 27), slice(10, 60), slice(20, 94))


def test_the_margin_is_two_voxels_at_least_and_ends_at_the_image() -> None:
    stroke = marked(SHAPE, (0, slice(97, 99), 50))
    assert stroke_box(stroke, np.zeros(SHAPE, bool), (0, 0, 0)) == (slice(0, 3), slice(95, 100), slice(48, 53))
    assert stroke_box(stroke, np.zeros(SHAPE, bool), (99, 99, 99)) == (slice(0, 40), slice(0, 100), slice(0, 100))


@pytest.mark.parametrize(
    ("most", "box"),
    [
        # The stroke is 1 x 10 x 4. With its reach: 9 x 30 x 24 = 6480; with half of it: 5 x 20 x 14 = 1400; with the
        # margin: 5 x 14 x 8 = 560.
        (6480, (slice(16, 25), slice(20, 50), slice(40, 64))),
        (6479, (slice(18, 23), slice(25, 45), slice(45, 59))),
        (1399, (slice(18, 23), slice(28, 42), slice(48, 56))),
    ],
)
def test_a_large_mask_is_cut_to_what_fits_around_the_strokes(monkeypatch, most, box) -> None:
    monkeypatch.setattr(module, "MAX_VOXELS", most)
    stroke = marked(SHAPE, (20, slice(30, 40), slice(50, 54)))
    assert stroke_box(stroke, np.ones(SHAPE, bool), (4, 10, 10)) == box


def test_strokes_too_far_apart_are_refused_with_the_cure(monkeypatch) -> None:
    monkeypatch.setattr(module, "MAX_VOXELS", 500)
    stroke = marked(SHAPE, (1, 1, 1), (39, 90, 90))
    with pytest.raises(ResourceError, match=r"expected at most 500; .*closer"):
        stroke_box(stroke, np.zeros(SHAPE, bool), (0, 0, 0))
