import numpy as np
import tifffile

from gliomaseg.bench.baselines.reading import read_pair


def write(folder, image, mask):
    tifffile.imwrite(folder / "a.tif", image, photometric="rgb")
    tifffile.imwrite(folder / "a_mask.tif", mask, photometric="minisblack")
    return folder / "a.tif", folder / "a_mask.tif"


def test_a_grey_picture_comes_normalised_in_three_channels(tmp_path):
    mask = np.zeros((8, 8), np.uint8)
    mask[0] = 255
    picture, tumour = read_pair(*write(tmp_path, np.full((8, 8, 3), 255, np.uint8), mask), size_px=8)
    assert picture.shape == (3, 8, 8)
    assert picture.dtype == np.float32
    assert (picture == 1).all()
    np.testing.assert_array_equal(tumour, mask > 0)


def test_another_size_is_resized(tmp_path):
    pair = write(tmp_path, np.zeros((8, 8, 3), np.uint8), np.zeros((8, 8), np.uint8))
    picture, tumour = read_pair(*pair, size_px=16)
    assert (picture.shape, tumour.shape) == ((3, 16, 16), (16, 16))
    assert (picture == -1).all()
