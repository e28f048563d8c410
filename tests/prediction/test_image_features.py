"""Whether a scan has a skull: drawn heads, phantoms and real scans."""

import numpy as np
import pytest

from gliomaseg.data.case import VolumeFile, read_volume_file
from gliomaseg.phantoms import phantom_patient
from gliomaseg.prediction.image_features import is_skull_stripped
from gliomaseg.preprocessing import display_levels


def discs(*rings: tuple[int, int], count: int = 3) -> np.ndarray:
    """Return slices with discs on top of each other, each with a radius and a level."""
    y, x = np.mgrid[-64:64, -64:64]
    image = np.zeros((128, 128), np.uint8)
    for radius, level in rings:
        image[np.hypot(y, x) <= radius] = level
    return np.repeat(image[None], count, axis=0)


def test_a_head_with_bright_scalp_and_dark_skull_is_whole():
    assert is_skull_stripped(discs((50, 200), (46, 20), (43, 120))) is False


def test_a_brain_without_rings_is_skull_stripped():
    assert is_skull_stripped(discs((45, 120))) is True


def test_bright_cortex_is_not_a_scalp():
    # The cortex is brighter than the inside by a quarter, without a dark ring below it.
    assert is_skull_stripped(discs((45, 150), (40, 120))) is True


def test_a_black_stack_is_neither():
    assert is_skull_stripped(np.zeros((3, 64, 64), np.uint8)) is None


@pytest.mark.parametrize("side", [64, 160])
def test_phantoms_are_whole_heads(side):
    assert is_skull_stripped(phantom_patient(0, side_px=side, slices=8).image[..., 1]) is False


@pytest.mark.real_data
@pytest.mark.parametrize(("name", "stripped"), [("brats_2013_pat0006_1", True), ("ms_p20_study2", False)])
def test_real_scans_are_recognised(external_scans, name, stripped):
    scan = read_volume_file(VolumeFile(external_scans / name / "flair.nii.gz"), max_bytes=4 << 30)
    assert is_skull_stripped(display_levels(scan.axial.turn(scan.voxels[..., 0]))) is stripped
