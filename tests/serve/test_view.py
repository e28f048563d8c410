"""A mask that the page sends lies where it was drawn, for every orientation of the scan."""

from __future__ import annotations

import itertools

import nibabel as nib
import numpy as np
import pytest

from gliomaseg.errors import UsageError
from gliomaseg.scan import Scan
from gliomaseg.serve.view import View, view_of

CODES = ["".join(codes) for axes in itertools.permutations(("RL", "AP", "SI")) for codes in itertools.product(*axes)]


@pytest.mark.parametrize("codes", CODES)
def test_voxels_turn_to_ras_and_back(codes: str) -> None:
    scan = scan_of(codes)
    view = view_of(scan)
    turned = view.orientation.turn(scan.voxels[..., 0])
    # nibabel turns the same image independently.
    canonical = nib.as_closest_canonical(nib.Nifti1Image(scan.voxels[..., 0].T, scan.affine))
    assert np.array_equal(turned.T, np.asanyarray(canonical.dataobj))
    assert np.allclose(view.affine, canonical.affine)
    assert view.shape_xyz == canonical.shape
    assert view.spacing_mm == pytest.approx(canonical.header.get_zooms())
    assert view.scan_spacing_mm == scan.spacing_mm
    # Slices have the same number on the page and in `Scan.axial`.
    assert (view.orientation.axes[0], view.orientation.reversed[0]) == (scan.axial.axes[0], scan.axial.reversed[0])
    mask = scan.voxels[..., 0] > 40
    assert np.array_equal(view.from_bytes(view.to_bytes(mask)), mask)


def scan_of(codes: str) -> Scan:
    """Return a scan of 3 x 4 x 5 different voxels whose axes x, y, z point to `codes`."""
    axes = {"R": (0, 1), "L": (0, -1), "A": (1, 1), "P": (1, -1), "S": (2, 1), "I": (2, -1)}
    affine = np.eye(4)
    affine[:3, :3] = 0
    for column, (code, size_mm) in enumerate(zip(codes, (1.0, 2.0, 3.0), strict=True)):
        row, sign = axes[code]
        affine[row, column] = sign * size_mm
    affine[:3, 3] = (7, -8, 9)
    return Scan(np.arange(60, dtype=np.int16).reshape(3, 4, 5, 1), "here", affine)


def test_images_without_an_affine_are_axial_in_the_radiological_view() -> None:
    view = view_of(Scan(np.arange(24, dtype=np.uint8).reshape(2, 3, 4, 1), "here"))
    assert view.spacing_mm is None
    # The patient's right is in the first column, and x points to the right: columns are reversed, as are rows.
    assert view.orientation.turn(np.arange(24).reshape(2, 3, 4))[0].tolist() == [
        [11, 10, 9, 8],
        [7, 6, 5, 4],
        [3, 2, 1, 0],
    ]


def test_a_view_survives_its_file() -> None:
    view = view_of(scan_of("PIL"))
    again = View.from_json(view.to_json())
    assert (again.orientation, again.shape, again.spacing_mm) == (view.orientation, view.shape, view.spacing_mm)
    assert np.array_equal(again.affine, view.affine)


def test_a_body_of_another_size_is_refused() -> None:
    with pytest.raises(UsageError, match="has 59 bytes, expected 60"):
        view_of(scan_of("RAS")).from_bytes(bytes(59))
