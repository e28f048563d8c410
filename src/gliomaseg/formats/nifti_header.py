"""The fields of a NIfTI header that place the voxels: checked, kept, and written again."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, Literal

import numpy as np

from gliomaseg.errors import FormatError, GeometryError
from gliomaseg.formats.voxels import COPY_AGAIN
from gliomaseg.geometry import Affine, spacing_of

_TEMPLATES = {3: "Talairach", 4: "MNI 152", 5: "another template"}  # codes of sform and qform
_UNIT_MM = {1: 1000.0, 3: 0.001}  # metres and micrometres; 2 is millimetres, and 0 (not given) is taken for them
_GRID_FIELDS = (
    "dim", "pixdim", "qform_code", "sform_code", "quatern_b", "quatern_c", "quatern_d",
    "qoffset_x", "qoffset_y", "qoffset_z", "srow_x", "srow_y", "srow_z", "xyzt_units",
)  # fmt: skip
_SINGLE, _PAIR = (b"n+1", b"n+2"), (b"ni1", b"ni2")
_ORDERS: tuple[Literal["little", "big"], ...] = ("little", "big")
MAX_OFFSET = 64 * 2**20
MAX_QFORM_ERROR_MM = 0.1
_CORRECT = "correct the header"
Header = Any
"""A `Nifti1Header` or a `Nifti2Header`: nibabel is typed in part only."""


def parse_header(first: bytes, path: Path) -> Header:
    """Return the header in a file's first bytes.

    Args:
        first: 540 bytes, or fewer if the file is shorter.
        path: the file.

    Raises:
        FormatError: this is not a NIfTI header, or its voxel offset is invalid.
    """
    from nibabel.nifti1 import Nifti1Header
    from nibabel.nifti2 import Nifti2Header

    order = "<" if first[:1] > b"\0" else ">"  # the first field is the header's length: 348 or 540
    length = int.from_bytes(first[:4], "little" if order == "<" else "big")
    kinds = {348: Nifti1Header, 540: Nifti2Header}
    if length not in kinds or len(first) < length:
        raise FormatError("is not a readable NIfTI (its first bytes are not a header)", where=path)
    header: Header = kinds[length](first[:length], endianness=order, check=False)
    magic = bytes(header["magic"])[:3]
    if length == 348 and magic == b"\0\0\0":
        what = "is an Analyze 7.5 header, which does not define left and right"
        raise FormatError(what, where=path, cure="convert it to NIfTI, with its orientation")
    if magic not in (*_SINGLE, *_PAIR):
        raise FormatError("is not a readable NIfTI (its magic is not n+1, n+2, ni1 or ni2)", where=path)
    offset = float(header["vox_offset"])
    least = 0 if magic in _PAIR else length + 4
    if not (least <= offset <= MAX_OFFSET and offset.is_integer()):
        what = f"vox_offset is {offset:g}, expected a whole number from {least} to {MAX_OFFSET:,}"
        raise FormatError(what, where=path, cure=COPY_AGAIN)
    return header


def is_header(first: bytes) -> bool:
    """Return whether a file's first bytes are the beginning of a NIfTI or Analyze header, of either byte order."""
    return any(int.from_bytes(first[:4], order) in (348, 540) for order in _ORDERS)


def is_pair(header: Header) -> bool:
    """Return whether the voxels of a header are in a second file."""
    return bytes(header["magic"])[:3] in _PAIR


def shape_of(header: Header, path: Path) -> tuple[int, int, int]:
    """Return (z, y, x).

    Raises:
        FormatError: the file has several volumes, or an axis of length 0.
    """
    count, *sizes = _sizes(header)
    if not 2 <= count <= 7 or min(sizes[:count]) < 1:
        what = f"dim is {[count, *sizes[: max(0, min(count, 7))]]}, expected 2 to 7 axes of at least one voxel"
        raise FormatError(what, where=path, cure=COPY_AGAIN)
    if any(size != 1 for size in sizes[3:count]):
        many = math.prod(sizes[3:count])
        raise FormatError(f"has {many} volumes, expected 1", where=path, cure="save each volume as its own file")
    x, y, z = sizes[0], sizes[1], sizes[2] if count > 2 else 1
    return z, y, x


def _sizes(header: Header) -> list[int]:
    """Return `dim`; sizes of 0 beyond the third axis count as 1, as for the reference library nifti_clib."""
    count, *sizes = (int(size) for size in header["dim"])
    return [count, *sizes[:3], *(max(size, 1) for size in sizes[3:])]


def scaling_of(header: Header, path: Path) -> tuple[float, float] | None:
    """Return slope and intercept; None if the header gives none (a slope of 0 or NaN), or 1 and 0.

    Raises:
        FormatError: one of them is infinite.
    """
    slope, intercept = float(header["scl_slope"]), float(header["scl_inter"])
    if math.isnan(slope) or slope == 0 or (slope, intercept) == (1, 0):
        return None
    if not (math.isfinite(slope) and math.isfinite(intercept)):
        what = f"scl_slope and scl_inter are {slope:g} and {intercept:g}, expected finite numbers"
        raise FormatError(what, where=path, cure=_CORRECT)
    return slope, intercept


def affine_of(header: Header, path: Path) -> tuple[Affine, bool]:
    """Return the affine, and whether its directions are assumed: the sform is used, else the qform.

    The sform needs no voxel size. The qform does, and so do assumed directions.

    Raises:
        GeometryError: a voxel size is needed and is not positive, or the qform is not a rotation.
    """
    pixdim = [float(size) for size in header["pixdim"]]
    has_sform, assumed = int(header["sform_code"]) > 0, False
    if not has_sform and not all(math.isfinite(size) and size > 0 for size in pixdim[1:4]):
        shown = " x ".join(f"{size:g}" for size in pixdim[1:4])
        what = f"voxel size (pixdim[1] to pixdim[3]) is {shown}, expected positive numbers, because sform_code is 0"
        raise GeometryError(what, where=path, cure="correct pixdim, or set an sform and sform_code")
    if has_sform:
        affine = np.vstack([header["srow_x"], header["srow_y"], header["srow_z"], [0, 0, 0, 1]]).astype(np.float64)
    elif int(header["qform_code"]) > 0:
        affine = _qform(header, path)
    else:
        affine, assumed = np.diag([*pixdim[1:4], 1.0]), True
    affine[:3] *= _UNIT_MM.get(int(header["xyzt_units"]) & 7, 1.0)
    return affine, assumed


def template_of(header: Header) -> str | None:
    """Return the template whose space the affine is in; None for the scanner's, an aligned or an unnamed space."""
    return _TEMPLATES.get(int(header["sform_code"]) or int(header["qform_code"]))


def _qform(header: Header, path: Path) -> Affine:
    signed = header.copy()
    if float(signed["pixdim"][0]) not in (-1, 1):  # the standard: any other value counts as 1
        signed["pixdim"][0] = 1
    try:
        return np.array(signed.get_qform(coded=False), np.float64)
    except Exception as fault:  # nibabel raises ValueError and its own exceptions for invalid quaternions
        raise GeometryError("qform is not a rotation", where=path, cure=_CORRECT) from fault


def grid_only(header: Header) -> Header:
    """Return a header with the fields of the grid, bit for bit, without names and descriptions.

    Only sizes of 0 beyond the third axis become 1: other readers would find no voxel in a mask.
    """
    kept = type(header)()
    for name in _GRID_FIELDS:
        kept[name] = header[name]
    further = slice(4, 1 + int(kept["dim"][0]))
    kept["dim"][further] = np.maximum(kept["dim"][further], 1)  # as `shape_of` counts them
    return kept


def new_header(shape: tuple[int, int, int], affine: Affine) -> Header:
    """Return the header of a grid that was not read from a NIfTI file, in scanner coordinates.

    Args:
        shape: (z, y, x).
        affine: voxel indices (x, y, z) to millimetres, RAS+.
    """
    from nibabel.nifti1 import Nifti1Header

    header = Nifti1Header()
    header.set_data_shape(shape[::-1])
    header["pixdim"][1:4] = spacing_of(affine)[::-1]
    header.set_qform(affine, code=1)
    # A quaternion cannot express shear: readers that prefer the qform would place the voxels elsewhere.
    misplaced_mm = np.abs(header.get_qform() - affine)[:3, :3] @ np.array(shape[::-1])
    if misplaced_mm.max() > MAX_QFORM_ERROR_MM:
        header.set_qform(None, code=0)
    header.set_sform(affine, code=1)
    header.set_xyzt_units("mm")
    return header
