"""Strokes are kept, change what is near and alike, and nothing else."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from gliomaseg.correction import graph_cut
from gliomaseg.correction import stroke_box as box_module
from gliomaseg.correction.graph_cut import edges_of, minimum_cut
from gliomaseg.errors import GeometryError, ResourceError

SHAPE = (5, 24, 24)


def mask_of(*part, shape=SHAPE):
    """Return a mask with one part filled, empty without any."""
    mask = np.zeros(shape, bool)
    if part:
        mask[part] = True
    return mask


# A bright tumour of 12 x 12 pixels in slices 1 to 3. The network finds its left half.
TUMOUR = mask_of(slice(1, 4), slice(6, 18), slice(6, 18))
LEFT = mask_of(slice(1, 4), slice(6, 18), slice(6, 12))
IMAGE = np.where(TUMOUR, 200.0, 100.0)
PROBABILITY = np.where(LEFT, 0.9, 0.1).astype(np.float32)


def cut(*, tumour=None, other=None, previous=LEFT, image=IMAGE, probability=PROBABILITY, spacing_mm=None):
    """Return the mask after strokes; none by default."""
    none = np.zeros(image.shape, bool)
    return graph_cut(
        image,
        probability,
        tumour_strokes=none if tumour is None else tumour,
        other_strokes=none if other is None else other,
        previous_mask=previous,
        spacing_mm=spacing_mm,
    )


def test_a_line_through_missed_tumour_finds_all_of_it() -> None:
    np.testing.assert_array_equal(cut(tumour=mask_of(2, 12, slice(13, 17))), TUMOUR)


def test_a_line_through_a_false_half_removes_it() -> None:
    image = np.where(LEFT, 200.0, 100.0)
    probability = np.where(TUMOUR, 0.7, 0.1).astype(np.float32)
    found = cut(other=mask_of(2, 12, slice(13, 17)), previous=TUMOUR, image=image, probability=probability)
    np.testing.assert_array_equal(found, LEFT)


def test_without_strokes_the_mask_stays() -> None:
    previous = mask_of(0, 0, slice(0, 5))
    found = cut(previous=previous)
    np.testing.assert_array_equal(found, previous)
    assert found is not previous


def test_the_inputs_do_not_change() -> None:
    stroke = mask_of(2, 12, slice(13, 17))
    arrays = [IMAGE.copy(), PROBABILITY.copy(), stroke.copy(), LEFT.copy()]
    cut(tumour=stroke)
    for before, after in zip(arrays, (IMAGE, PROBABILITY, stroke, LEFT), strict=True):
        np.testing.assert_array_equal(before, after)


def test_strokes_hold_against_network_brightness_and_each_other() -> None:
    rng = np.random.default_rng(3)
    image, probability = rng.random(SHAPE), rng.random(SHAPE).astype(np.float32)
    tumour, other = rng.random(SHAPE) < 0.1, rng.random(SHAPE) < 0.1
    found = cut(tumour=tumour, other=other, image=image, probability=probability)
    assert found[tumour].all()  # also where both are drawn
    assert not found[other & ~tumour].any()


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_strokes_hold_against_a_certain_network(share) -> None:
    probability = np.full(SHAPE, share, np.float32)
    stroke = mask_of(2, 12, slice(13, 17))
    assert cut(tumour=stroke, probability=probability)[stroke].all()
    assert not cut(other=stroke, probability=probability)[stroke].any()


def test_a_network_without_preference_leaves_the_strokes_to_decide() -> None:
    undecided = np.full(SHAPE, 0.5, np.float32)
    strokes = {"tumour": mask_of(2, 12, slice(7, 17)), "other": mask_of(2, 2, slice(2, 22))}
    np.testing.assert_array_equal(cut(**strokes, probability=undecided, previous=mask_of()), TUMOUR)


def test_all_tumour_in_a_uniform_image_stays_so_but_at_the_stroke() -> None:
    everywhere = np.ones(SHAPE, bool)
    certain, uniform = np.full(SHAPE, 1, np.float32), np.full(SHAPE, 7.0)
    assert cut(tumour=mask_of(2, 3, 3), previous=everywhere, image=uniform, probability=certain).all()
    found = cut(other=mask_of(2, 3, 3), previous=everywhere, image=uniform, probability=certain)
    assert not found[2, 3, 3]


def test_outside_the_box_the_mask_stays(monkeypatch) -> None:
    monkeypatch.setattr(box_module, "MAX_VOXELS", 400)
    far = mask_of(slice(0, 5), slice(0, 2), slice(0, 24))  # the box of strokes and mask would be too large
    found = cut(tumour=mask_of(2, 12, slice(13, 17)), previous=far)
    np.testing.assert_array_equal(found[:, :8], far[:, :8])
    assert found[2, 12, 13:17].all()


def test_a_single_slice() -> None:
    part = {"image": IMAGE[2:3], "probability": PROBABILITY[2:3], "previous": LEFT[2:3]}
    np.testing.assert_array_equal(cut(tumour=mask_of(2, 12, slice(13, 17))[2:3], **part), TUMOUR[2:3])


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 1, 9), (9, 1, 1), (1, 9, 1)])
def test_thin_images(shape) -> None:
    ones = np.ones(shape, bool)
    arrays = {"image": np.zeros(shape), "probability": np.zeros(shape, np.float32), "previous": ~ones}
    assert cut(tumour=ones, **arrays).all()
    assert not cut(other=ones, **arrays).any()


def test_equal_inputs_have_equal_masks() -> None:
    rng = np.random.default_rng(0)
    image = rng.integers(0, 4, SHAPE)
    probability = rng.integers(0, 3, SHAPE).astype(np.float32) / 2
    stroke = mask_of(2, 12, slice(13, 17))
    first, second = (cut(tumour=stroke, image=image, probability=probability) for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_brightness_has_no_unit() -> None:
    stroke = mask_of(2, 12, slice(13, 17))
    rng = np.random.default_rng(0)
    image = IMAGE + rng.integers(0, 40, SHAPE)
    np.testing.assert_array_equal(cut(tumour=stroke, image=image), cut(tumour=stroke, image=image * 4.0))
    whole = image.astype(np.uint16)
    np.testing.assert_array_equal(cut(tumour=stroke, image=image), cut(tumour=stroke, image=whole))


def energy(edges, odds, labels):
    """Return the cost of labels: of cut edges, and of the odds of voxels that are not where the odds want them."""
    heads, tails, capacities = edges
    flat, wanted = labels.ravel(), odds.ravel()
    return capacities[flat[heads] != flat[tails]].sum() + np.abs(wanted)[flat != (wanted > 0)].sum()


@pytest.mark.parametrize("seed", range(5))
def test_no_other_mask_of_a_small_box_costs_less(seed) -> None:
    rng = np.random.default_rng(seed)
    shape = (2, 2, 3)  # 4096 masks
    edges = edges_of(rng.random(shape).astype(np.float32), (2.0, 1.0, 1.0))
    odds = rng.normal(0, 3, shape).astype(np.float32)
    whole = np.round(odds * 1000).astype(np.int32)
    best = min(energy(edges, whole, np.array(labels)) for labels in itertools.product([False, True], repeat=12))
    assert energy(edges, whole, minimum_cut(edges, whole)) == best


def test_a_row_of_four_voxels_is_cut_at_its_weakest_edge() -> None:
    # Capacities 5, 2, 4. The first voxel wants tumour by 9, the last other tissue by 9: of the three edges, 2 is cut.
    edges = (np.array([0, 1, 2], np.int32), np.array([1, 2, 3], np.int32), np.array([5, 2, 4], np.int32))
    row = np.array([[[9, 0, 0, -9]]], np.int32)
    assert minimum_cut(edges, row).tolist() == [[[True, True, False, False]]]
    # If the first wants tumour by 1 only, it is cheaper to overrule it.
    row[0, 0, 0] = 1
    assert not minimum_cut(edges, row).any()


def test_the_edge_of_far_neighbours_is_weaker_by_their_distance() -> None:
    heads, _, capacities = edges_of(np.zeros((2, 2, 2), np.float32), (5.0, 1.0, 2.0))
    assert len(heads) == 12
    along_z, along_y, along_x = capacities[:4], capacities[4:8], capacities[8:]
    assert set((along_z * 5).tolist()) == set(along_y.tolist()) == set((along_x * 2).tolist())


def test_a_stroke_reaches_less_far_across_thick_slices() -> None:
    tall, shape = np.full((9, 9, 9), 0.3, np.float32), (9, 9, 9)
    stroke, uniform = mask_of(4, 4, 4, shape=shape), np.full(shape, 1.0)
    arrays = {"tumour": stroke, "previous": ~np.ones(shape, bool), "image": uniform, "probability": tall}
    thin, thick = (cut(**arrays, spacing_mm=(z, 1.0, 1.0)) for z in (1.0, 60.0))
    assert thin.any(axis=(1, 2)).sum() > thick.any(axis=(1, 2)).sum()


@pytest.mark.parametrize("spacing", [(0.0, 1.0, 1.0), (1.0, 1.0), (1.0, np.nan, 1.0), (-1.0, 1.0, 1.0)])
def test_a_spacing_must_be_three_lengths(spacing) -> None:
    with pytest.raises(GeometryError, match="spacing"):
        cut(tumour=TUMOUR, spacing_mm=spacing)


@pytest.mark.parametrize("name", ["tumour", "other", "previous", "probability"])
def test_an_array_of_another_shape_is_refused(name) -> None:
    with pytest.raises(GeometryError, match="shape"):
        cut(**{name: np.zeros((5, 24, 23), bool)})


def test_strokes_over_too_many_voxels_are_refused_before_the_graph_is_built() -> None:
    shape = (300, 300, 300)  # one value each, repeated: no memory
    zeros = np.broadcast_to(np.float32(0), shape)
    stroke = np.zeros(shape, bool)
    stroke[0, 0, 0] = stroke[-1, -1, -1] = True
    with pytest.raises(ResourceError, match="closer"):
        cut(tumour=stroke, image=zeros, probability=zeros, previous=np.zeros(shape, bool))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_do_not_spoil_the_rest(bad) -> None:
    image, probability = IMAGE.copy(), PROBABILITY.copy()
    image[0, 0, 0] = probability[4, 23, 23] = bad
    stroke = mask_of(2, 12, slice(13, 17))
    np.testing.assert_array_equal(cut(tumour=stroke, image=image, probability=probability), TUMOUR)
