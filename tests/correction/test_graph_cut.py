"""Strokes change the mask where the scan and the network allow it, and nowhere else."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from gliomaseg.correction import Strokes, graph_cut
from gliomaseg.correction.graph_cut import MAX_VOXELS, stroke_box
from gliomaseg.errors import ResourceError

SHAPE = (3, 24, 24)


@pytest.fixture
def image() -> NDArray[np.float32]:
    """A dark head with two bright squares, of 6 and 4 pixels a side."""
    voxels = np.full(SHAPE, 50, np.float32)
    voxels[:, 4:10, 4:10] = 200
    voxels[:, 16:20, 16:20] = 200
    voxels[:, 0, 0] = 0
    return voxels


def nothing() -> NDArray[np.bool_]:
    return np.zeros(SHAPE, bool)


def test_a_stroke_finds_the_region_that_the_network_missed(image: NDArray[np.float32]) -> None:
    tumour = nothing()
    tumour[1, 5:9, 6] = True
    probability = np.full(SHAPE, 0.3, np.float32)
    mask = graph_cut(image, probability, Strokes(tumour, nothing()), previous_mask=nothing(), spacing_mm=(1, 1, 1))
    expected = nothing()
    expected[:, 4:10, 4:10] = True
    assert np.array_equal(mask & (image == 200) & expected, expected)
    assert not mask[image == 50].any()


def test_a_stroke_removes_the_region_that_the_network_marked(image: NDArray[np.float32]) -> None:
    other = nothing()
    other[1, 17, 16:20] = True
    before = image == 200
    probability = np.where(before, 0.7, 0.1).astype(np.float32)
    mask = graph_cut(image, probability, Strokes(nothing(), other), previous_mask=before, spacing_mm=(1, 1, 1))
    assert not mask[:, 16:20, 16:20].any()


def test_strokes_hold_against_the_network(image: NDArray[np.float32]) -> None:
    tumour, other = nothing(), nothing()
    tumour[1, 12, 12], other[1, 6, 6] = True, True
    probability = np.where(image == 200, 1, 0).astype(np.float32)
    mask = graph_cut(image, probability, Strokes(tumour, other), previous_mask=image == 200, spacing_mm=None)
    assert mask[1, 12, 12]
    assert not mask[1, 6, 6]


def test_a_voxel_with_both_strokes_is_tumour(image: NDArray[np.float32]) -> None:
    both = nothing()
    both[1, 12, 12] = True
    mask = graph_cut(image, np.zeros(SHAPE, np.float32), Strokes(both, both), previous_mask=nothing(), spacing_mm=None)
    assert mask[1, 12, 12]


def test_without_strokes_the_mask_stays(image: NDArray[np.float32]) -> None:
    before = image == 200
    mask = graph_cut(
        image, np.zeros(SHAPE, np.float32), Strokes(nothing(), nothing()), previous_mask=before, spacing_mm=None
    )
    assert np.array_equal(mask, before)
    assert mask is not before


def test_a_flat_image_needs_no_contrast() -> None:
    stroke = nothing()
    stroke[1, 5, 5] = True
    flat, probability = np.zeros(SHAPE, np.float32), np.full(SHAPE, 0.5, np.float32)
    assert graph_cut(flat, probability, Strokes(stroke, nothing()), previous_mask=nothing(), spacing_mm=None)[1, 5, 5]


def test_the_box_is_a_tenth_or_20_mm_larger_at_each_side_and_ends_at_the_scan() -> None:
    strokes, mask = np.zeros((40, 100, 100), bool), np.zeros((40, 100, 100), bool)
    mask[0:20, 30:70, 30:70] = True
    strokes[5, 80, 30] = True
    # z: 0 to 20, 4 slices of 5 mm more; y: 30 to 81, 10 of 2 mm more; x: 30 to 70, a tenth of 40 more
    assert stroke_box(strokes, mask, (5, 2, 20)) == (slice(0, 24), slice(20, 91), slice(26, 74))


def test_a_large_mask_does_not_enlarge_the_box_beyond_the_limit() -> None:
    strokes, mask = np.zeros((200, 200, 200), bool), np.ones((200, 200, 200), bool)
    strokes[100, 100:110, 100] = True
    box = stroke_box(strokes, mask, (1, 1, 1))
    assert np.prod([part.stop - part.start for part in box]) <= MAX_VOXELS
    assert (box[1].start, box[1].stop) == (60, 150)  # 40 mm more at each side


def test_strokes_that_span_too_much_are_refused() -> None:
    strokes = np.zeros((200, 200, 200), bool)
    strokes[0, 0, 0] = strokes[-1, -1, -1] = True
    with pytest.raises(ResourceError, match="strokes span more than 2,000,000 voxels; draw them closer together"):
        stroke_box(strokes, np.zeros_like(strokes), (1, 1, 1))
