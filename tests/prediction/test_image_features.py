"""Whether a scan has a skull: drawn heads, phantoms and real scans."""

import numpy as np
import pytest

from gliomaseg.data.case import VolumeFile, read_volume_file
from gliomaseg.phantoms import phantom_patient
from gliomaseg.prediction.image_features import black_share, bright_share, is_skull_stripped
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


def test_a_small_brain_is_skull_stripped():
    # A thirtieth of 20 pixels is less than a pixel: without magnification, some rings have no pixel.
    assert is_skull_stripped(discs((20, 120))) is True
    assert is_skull_stripped(discs((25, 200), (23, 20), (21, 120))) is False
    assert is_skull_stripped(discs((14, 120))) is None  # 616 pixels


def test_a_black_stack_is_neither():
    assert is_skull_stripped(np.zeros((3, 64, 64), np.uint8)) is None


def test_a_bright_region_is_measured_as_a_share_of_the_inside():
    # Inside: deeper than 0.22 of the radius, so about 35 pixels. The region has 1/6 of that radius: 1/36 of the area.
    # Depth counts diagonal steps as 1: the inside is somewhat smaller than a disc.
    brain = discs((45, 100), (5.85, 200))
    assert 1 / 36 < bright_share(brain) < 1 / 27
    assert bright_share(discs((45, 100), (5.85, 140))) == 0  # less than 1.5 times the brain
    assert bright_share(np.zeros((3, 64, 64), np.uint8)) == 0


def test_the_background_of_a_stripped_brain_is_black():
    brain = discs((45, 100))
    assert black_share(brain) == 1
    brain[:, :32] = 1  # a quarter of the image, of which the brain covers a part
    assert black_share(brain) < 0.75


@pytest.mark.parametrize("side", [64, 160])
def test_phantoms_are_whole_heads(side):
    assert is_skull_stripped(phantom_patient(0, side_px=side, slices=8).image[..., 1]) is False


@pytest.mark.real_data
@pytest.mark.parametrize(("name", "stripped"), [("brats_2013_pat0006_1", True), ("ms_p20_study2", False)])
def test_real_scans_are_recognised(external_scans, name, stripped):
    scan = read_volume_file(VolumeFile(external_scans / name / "flair.nii.gz"), max_bytes=4 << 30)
    assert is_skull_stripped(display_levels(scan.axial.turn(scan.voxels[..., 0]))) is stripped
