"""Loading: prepared slices from the cache, against decoding the pictures in each epoch."""

from __future__ import annotations

import time

import numpy as np

from gliomaseg.bench.baselines.reading import READER, read_pair
from gliomaseg.bench.fixtures import BATCH, Fixtures
from gliomaseg.bench.timing import BenchRow, Timing, alternate, rates, timed
from gliomaseg.data.cache import open_cache
from gliomaseg.preprocessing import normalise


def measure(material: Fixtures) -> list[BenchRow]:
    """Return one row: an epoch's slices in random order, in batches, as float32 with their masks."""
    preprocessing = material.plan.reference.preprocessing
    start = time.perf_counter()
    cache = open_cache(material.index, preprocessing, folder=material.folder / "cache")
    built_s = time.perf_counter() - start
    files = [(entry.image, entry.mask) for case in material.index.cases for entry in case.slices]
    generator = np.random.default_rng(0)

    def ours() -> None:
        order = generator.permutation(len(files))
        for first in range(0, len(order), BATCH):
            chosen = order[first : first + BATCH]
            normalise(cache.images[chosen], preprocessing)
            np.ascontiguousarray(cache.masks[chosen])

    def peer() -> None:
        order = generator.permutation(len(files))
        for first in range(0, len(order), BATCH):
            pairs = [read_pair(*files[int(k)], size_px=preprocessing.size_px) for k in order[first : first + BATCH]]
            np.stack([picture for picture, _ in pairs])
            np.stack([mask for _, mask in pairs])

    own_s, peer_s = alternate(timed(ours), timed(peer), pairs=material.plan.pairs, budget_s=material.plan.budget_s)
    return [
        BenchRow(
            figure="slices in random order",
            unit="slices/s",
            ours=Timing("memory-mapped cache", rates(own_s, len(files))),
            peer=Timing(f"decoded in each epoch, {READER}", rates(peer_s, len(files))),
            agreement={**_compared(material, cache.images, cache.masks), "cache_built_in_s": round(built_s, 3)},
        )
    ]


def _compared(material: Fixtures, images: np.ndarray, masks: np.ndarray) -> dict[str, float | int]:
    """Return how far both sides' slices are apart, in levels of 255, and how many pixels of their masks differ."""
    preprocessing = material.plan.reference.preprocessing
    files = [(entry.image, entry.mask) for case in material.index.cases for entry in case.slices]
    largest = different = 0.0
    for k, pair in enumerate(files):
        picture, mask = read_pair(*pair, size_px=preprocessing.size_px)
        own = normalise(images[k : k + 1], preprocessing)[0]
        largest = max(largest, float(np.abs(own - picture).max()) * 255 * preprocessing.std)
        different += np.count_nonzero(mask != masks[k])
    return {"largest_difference_levels": round(largest, 3), "mask_pixels_different": int(different)}
