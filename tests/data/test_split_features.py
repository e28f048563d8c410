"""Split features: tumour pixels of a case, and digests of slices that cases may share."""

from pathlib import Path

import numpy as np
import pytest
import tifffile

from gliomaseg.config import Split
from gliomaseg.data.layouts import read_cases
from gliomaseg.data.split import split_data
from gliomaseg.data.split_features import image_digest, is_near_black, read_split_features
from gliomaseg.errors import FormatError

A, B, C = "TCGA_CS_1_20000101", "TCGA_DU_2_20000101", "TCGA_HT_3_20000101"


def test_tumour_pixels_of_all_slices_are_summed(kaggle_tree, tmp_path):
    features = read_split_features(read_cases(kaggle_tree(tmp_path / "data", {A: 5, B: 1})))
    # Slices 2 and 4 have 8 x 8 pixels of tumour each.
    assert {name: case_features.tumour_pixels for name, case_features in features.items()} == {A: 128, B: 0}
    assert len(features[A].slice_digests) == 5


def turned_copies(image):
    """Return an image in its eight rotations and mirror images, itself first."""
    return [np.rot90(side, turns) for side in (image, image[:, ::-1]) for turns in range(4)]


def test_only_equal_slices_have_the_same_digest():
    image = np.random.default_rng(0).integers(0, 256, (8, 8), np.uint8)
    other = image.copy()
    other[0, 0] ^= 1
    assert image_digest(image) == image_digest(image.copy())
    assert image_digest(image)[0] != image_digest(other)[0]


@pytest.mark.parametrize("shape", [(8, 8), (8, 6)])
@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_mirrored_and_rotated_copies_have_the_same_digest_and_other_turns(shape, kind):
    image = np.random.default_rng(1).integers(0, 256, shape, np.uint8).astype(kind)
    digests = [image_digest(copy) for copy in turned_copies(image)]
    assert len({digest for digest, _ in digests}) == 1
    assert len({turn for _, turn in digests}) == 8


def test_a_nearly_black_slice_has_no_digest():
    image = np.zeros((20, 20), np.uint8)
    assert is_near_black(image)
    image.flat[:4] = 255  # 1 % of the values
    assert image_digest(image)[0] is None
    image.flat[:5] = 255
    assert image_digest(image)[0] is not None


def test_patients_that_share_a_slice_are_on_one_side(kaggle_tree, tmp_path):
    root = kaggle_tree(tmp_path / "data", {A: 2, B: 2, C: 2})
    same = np.random.default_rng(9).integers(0, 256, (16, 16, 3), np.uint8)
    for name in (A, C):
        tifffile.imwrite(root / name / f"{name}_1.tif", same, photometric="rgb")
    splits = split_data(read_cases(root), Split(folds=2))
    assert splits.together == ((A, C),)
    assert sorted(fold.validation for fold in splits.folds) == [(A, C), (B,)]


def test_error_gives_the_unreadable_file(kaggle_tree, tmp_path):
    root: Path = kaggle_tree(tmp_path / "data", {A: 2, B: 2})
    (root / B / f"{B}_1_mask.tif").write_bytes(b"damaged")
    with pytest.raises(FormatError, match=f"{B}_1_mask"):
        split_data(read_cases(root), Split())
    split_data(read_cases(root), Split(by="slice"))  # reads no file
