"""The section `loading`: prepared slices from the cache, compared with decoding the image files in each epoch.

The baseline reads each file once, without checks. It decodes with OpenCV if it is installed, else with Pillow,
converts to grey, and resizes only if the size differs.
"""

from __future__ import annotations

import time
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gliomaseg.bench.fixtures import BATCH, Fixtures
from gliomaseg.bench.timing import BenchRow, Timing, alternate, rates, timed
from gliomaseg.data.cache import Cache, open_cache
from gliomaseg.preprocessing import normalise

READER = "OpenCV" if find_spec("cv2") else "Pillow"
MEAN, STD = 0.5, 0.5


def measure_loading(fixtures: Fixtures) -> list[BenchRow]:
    """Return one row: slices a second of an epoch in random order, in float32 batches with their masks."""
    preprocessing = fixtures.sizes.reference_recipe.preprocessing
    start = time.perf_counter()
    cache = open_cache(fixtures.index, preprocessing, folder=fixtures.folder / "cache")
    built_s = time.perf_counter() - start
    files = fixtures.image_files
    generator = np.random.default_rng(0)

    def load_from_cache() -> None:
        indices = generator.permutation(len(files))
        for first in range(0, len(indices), BATCH):
            chosen = indices[first : first + BATCH]
            normalise(cache.images[chosen], preprocessing)
            np.ascontiguousarray(cache.masks[chosen])

    def decode_files() -> None:
        indices = generator.permutation(len(files))
        for first in range(0, len(indices), BATCH):
            pairs = [read_pair(*files[int(k)], size_px=preprocessing.size_px) for k in indices[first : first + BATCH]]
            np.stack([image for image, _ in pairs])
            np.stack([mask for _, mask in pairs])

    ours_s, baseline_s = alternate(
        timed(load_from_cache), timed(decode_files), turns=fixtures.sizes.turns, budget_s=fixtures.sizes.budget_s
    )
    return [
        BenchRow(
            figure="slices in random order",
            unit="slices/s",
            ours=Timing("memory-mapped cache", rates(ours_s, len(files))),
            baseline=Timing(f"decoded in each epoch, {READER}", rates(baseline_s, len(files))),
            agreement={**_differences(fixtures, cache), "cache_built_in_s": round(built_s, 3)},
        )
    ]


def _differences(fixtures: Fixtures, cache: Cache) -> dict[str, float]:
    """Return the largest difference of the slices, in levels of 255, and the number of different mask pixels."""
    preprocessing = fixtures.sizes.reference_recipe.preprocessing
    largest, different = 0.0, 0
    for k, pair in enumerate(fixtures.image_files):
        image, mask = read_pair(*pair, size_px=preprocessing.size_px)
        cached = normalise(cache.images[k : k + 1], preprocessing)[0]
        largest = max(largest, float(np.abs(cached - image).max()) * 255 * preprocessing.std)
        different += int(np.count_nonzero(mask != cache.masks[k]))
    return {"largest_difference_levels": round(largest, 3), "mask_pixels_different": different}


def read_pair(image: Path, mask: Path, *, size_px: int) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Return a slice, float32, normalised, shape (3, size, size), and its mask, bool, shape (size, size)."""
    grey, tumour = (_read_opencv if READER == "OpenCV" else _read_pillow)(image, mask, size_px)
    values = (grey.astype(np.float32) / 255 - MEAN) / STD
    return np.stack([values.astype(np.float32)] * 3), tumour > 0


def _read_pillow(image: Path, mask: Path, size_px: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    from PIL import Image

    size = (size_px, size_px)
    with Image.open(image) as image_file, Image.open(mask) as mask_file:
        grey, tumour = image_file.convert("L"), mask_file.convert("L")
    if grey.size != size:
        grey = grey.resize(size, Image.Resampling.BILINEAR)
        tumour = tumour.resize(size, Image.Resampling.NEAREST)
    return np.asarray(grey), np.asarray(tumour)


def _read_opencv(image: Path, mask: Path, size_px: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    import cv2

    size = (size_px, size_px)
    grey = cv2.cvtColor(cv2.imread(str(image), cv2.IMREAD_COLOR), cv2.COLOR_BGR2GRAY)
    tumour = cv2.imread(str(mask), cv2.IMREAD_GRAYSCALE)
    if grey.shape != size:
        grey = cv2.resize(grey, size, interpolation=cv2.INTER_LINEAR)
        tumour = cv2.resize(tumour, size, interpolation=cv2.INTER_NEAREST)
    return np.asarray(grey), np.asarray(tumour)
