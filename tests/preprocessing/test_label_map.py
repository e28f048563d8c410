"""Masks and label maps that were given as scans."""

import numpy as np
from PIL import Image

from gliomaseg.phantoms import phantom_patient
from gliomaseg.preprocessing.label_map import is_label_map


def two_labels(side):
    """Return a label map: a head of 1 with a tumour of 2, int16, shape (12, side, side)."""
    volume = np.zeros((12, side, side), np.int16)
    volume[2:10, side // 4 : -side // 4, side // 4 : -side // 4] = 1
    volume[4:8, side // 3 : side // 2, side // 3 : side // 2] = 2
    return volume


def test_a_label_map_is_recognised_whatever_its_labels_are():
    for labels in (two_labels(64), two_labels(64).astype(np.float32) / 2, two_labels(64) * 1000, two_labels(64) > 1):
        assert is_label_map(labels)


def test_a_resampled_mask_is_recognised():
    mask = Image.fromarray(np.uint8(255) * (two_labels(64)[5] == 2)).resize((150, 150), Image.Resampling.BICUBIC)
    assert is_label_map(np.asarray(mask)[None])


def test_scans_noise_and_constants_are_not_label_maps():
    phantom = np.moveaxis(phantom_patient(0, side_px=256, slices=20).image, 3, 1)
    assert not is_label_map(phantom[:, 1])
    assert not is_label_map(np.random.default_rng(0).integers(0, 256, (3, 64, 64), np.uint8))
    assert not is_label_map(np.zeros((3, 64, 64), np.uint8))


def test_few_slices_are_enough():
    phantom = phantom_patient(0, side_px=256, slices=20).image[..., 1]
    for kind in (np.uint8, np.float32):
        assert not is_label_map(phantom.astype(kind), sampled_slices=4)
        assert is_label_map(two_labels(64).astype(kind), sampled_slices=4)
