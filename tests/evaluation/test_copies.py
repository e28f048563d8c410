"""Changed copies: without skull and of one slice, made of images and of volumes."""

from __future__ import annotations

import numpy as np
import pytest

from gliomaseg.config import Augmentation
from gliomaseg.data.case import LoadedCase, read_case
from gliomaseg.data.layouts import read_cases
from gliomaseg.evaluation.copies import SINGLE_SLICE, changed_copies, single_slice, without_skull
from gliomaseg.phantoms import write_phantoms
from gliomaseg.prediction.image_features import is_skull_stripped
from gliomaseg.preprocessing import display_levels
from gliomaseg.types import WITHOUT_SKULL


@pytest.fixture(scope="module", params=["tiff", "nifti"])
def phantom(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> LoadedCase:
    root = tmp_path_factory.mktemp(request.param)
    write_phantoms(root, patients=1, seed=1, side_px=128, kind=request.param)
    return read_case(read_cases(root).cases[0])


def levels_of(loaded: LoadedCase) -> np.ndarray:
    scan = loaded.scan
    return display_levels(scan.axial.turn(scan.voxels[..., scan.flair_index]))


def test_a_copy_without_skull_has_brain_and_tumour_only(phantom):
    copy = without_skull(phantom)
    assert is_skull_stripped(levels_of(copy))
    assert not is_skull_stripped(levels_of(phantom))
    changed = (copy.scan.voxels != phantom.scan.voxels).any(axis=3)
    assert (copy.scan.voxels[changed] == 0).all()
    assert not changed[phantom.reference].any()
    assert 0.1 < (copy.scan.voxels > 0).any(axis=3).mean() < 0.5  # the noise of the background is gone too
    assert np.array_equal(copy.reference, phantom.reference)
    assert copy.scan.affine is phantom.scan.affine


def test_a_single_slice_is_an_image_without_spacing(phantom):
    turned = phantom.scan.axial.turn(phantom.reference)
    k = int(turned.sum(axis=(1, 2)).argmax())
    alone = single_slice(phantom, k)
    assert alone.scan.affine is None
    assert alone.scan.voxels.shape == (1, *turned.shape[1:], phantom.scan.voxels.shape[3])
    assert np.array_equal(alone.reference[0], turned[k])
    assert len(alone.numbers) == 1


@pytest.mark.parametrize(
    ("settings", "stripped"),
    [
        ({"preset": "strong"}, False),
        ({"preset": "light", "skull_strip": 0.5}, False),
        ({"preset": "strong", "skull_strip": 0.5}, True),
    ],
)
def test_an_augmentation_strips_skulls_only_if_it_is_strong(settings, stripped):
    assert Augmentation(**settings).strips_skulls == stripped


def test_the_copies_are_one_without_skull_and_three_single_slices_with_tumour(phantom):
    copies = list(changed_copies(phantom))
    assert [kind for kind, _ in copies] == [WITHOUT_SKULL, *[SINGLE_SLICE] * 3]
    assert all(copy.reference.any() for _, copy in copies)


def test_a_case_without_tumour_has_no_single_slices(phantom):
    healthy = LoadedCase(phantom.case, phantom.scan, np.zeros_like(phantom.reference), phantom.numbers)
    assert [kind for kind, _ in changed_copies(healthy)] == [WITHOUT_SKULL]


def test_a_single_slice_of_a_volume_is_numbered_from_below(phantom):
    assert single_slice(phantom, 3).numbers == (phantom.axial_number(3),)
