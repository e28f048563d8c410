import numpy as np
import tifffile

from gliomaseg.bench.loading import measure_loading, read_pair


def write_pair(folder, image, mask):
    tifffile.imwrite(folder / "a.tif", image, photometric="rgb")
    tifffile.imwrite(folder / "a_mask.tif", mask, photometric="minisblack")
    return folder / "a.tif", folder / "a_mask.tif"


def test_cache_and_baseline_load_the_same_slices(fixtures):
    (row,) = measure_loading(fixtures)
    assert row.unit == "slices/s"
    assert len(row.ours.values) == len(row.baseline.values) == 1
    assert row.agreement["largest_difference_levels"] == 0 or "OpenCV" in row.baseline.label
    assert row.agreement["mask_pixels_different"] == 0


def test_baseline_returns_three_normalised_grey_channels(tmp_path):
    mask = np.zeros((8, 8), np.uint8)
    mask[0] = 255
    image, tumour = read_pair(*write_pair(tmp_path, np.full((8, 8, 3), 255, np.uint8), mask), size_px=8)
    assert image.shape == (3, 8, 8)
    assert image.dtype == np.float32
    assert (image == 1).all()  # (255 / 255 - 0.5) / 0.5
    np.testing.assert_array_equal(tumour, mask > 0)


def test_baseline_resizes_to_the_input_size(tmp_path):
    files = write_pair(tmp_path, np.zeros((8, 8, 3), np.uint8), np.zeros((8, 8), np.uint8))
    image, tumour = read_pair(*files, size_px=16)
    assert (image.shape, tumour.shape) == ((3, 16, 16), (16, 16))
    assert (image == -1).all()  # (0 / 255 - 0.5) / 0.5
