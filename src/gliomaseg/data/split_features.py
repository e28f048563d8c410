"""Properties of a case that a fair split needs: amount of tumour, and images shared with other cases."""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gliomaseg.data.case import Case, read_case
from gliomaseg.data.case_list import CaseList
from gliomaseg.preprocessing.intensity import eight_bits, window_of
from gliomaseg.scan import Scan

# 99 % of the values are at most this: 67 of the 3,019 slices of 88 patients.
NEAR_BLACK = 10


@dataclass(frozen=True)
class SplitFeatures:
    """One case's share in what a split balances and keeps together.

    Attributes:
        tumour_pixels: of all its slices.
        pictures: digests of its slices; nearly black ones are left out, they look alike without being copies.
    """

    tumour_pixels: int = 0
    pictures: frozenset[bytes] = frozenset()


def read_split_features(index: CaseList) -> dict[str, SplitFeatures]:
    """Open every slice once and return the traits of each case, by its name.

    Raises:
        FormatError: a file cannot be read.
        GeometryError: a mask is not of its picture's size.
    """
    with ThreadPoolExecutor(max_workers=4) as pool:
        return dict(zip((case.name for case in index.cases), pool.map(_read, index.cases), strict=True))


def _read(case: Case) -> SplitFeatures:
    loaded = read_case(case)
    digests = (image_digest(plane) for plane in _levels(loaded.scan))
    return SplitFeatures(int(loaded.reference.sum()), frozenset(digest for digest in digests if digest))


def _levels(scan: Scan) -> NDArray[Any]:
    """Return the slices as they are compared between cases: images as stored, volumes as axial FLAIR of 8 bits."""
    if scan.affine is None:
        return scan.voxels
    flair = scan.voxels[..., scan.flair_index]
    return np.asarray(scan.axial.turn(eight_bits(flair, window_of(flair), p99_5_level=255)))[..., None]


def image_digest(image: NDArray[Any]) -> bytes | None:
    """Return a digest of a slice's pixels, 16 bytes; None for a nearly black one, which resembles others."""
    return None if is_near_black(image) else hashlib.blake2b(image.tobytes(), digest_size=16).digest()


def is_near_black(image: NDArray[Any]) -> bool:
    """Return whether 99 % of a slice's values are at most `NEAR_BLACK` of 255."""
    return int(np.count_nonzero(image > NEAR_BLACK)) <= image.size // 100
