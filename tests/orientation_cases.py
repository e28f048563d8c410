"""All 48 orientations of a volume, and how to undo them: nibabel is the oracle. Four planes of a scanner."""

import itertools

import nibabel
import numpy as np
from nibabel.orientations import axcodes2ornt, inv_ornt_aff, ornt_transform

from gliomaseg.geometry import Orientation

ALL_48 = [
    Orientation(axes, backwards)
    for axes in itertools.permutations(range(3))
    for backwards in itertools.product((False, True), repeat=3)
]
# The unit vectors along x, y and z of a series.
TURNS = {
    "axial": np.eye(3),
    "sagittal": np.array([[0, 0, -1], [1, 0, 0], [0, -1, 0.0]]),
    "coronal": np.array([[1, 0, 0], [0, 0, 1], [0, -1, 0.0]]),
    "oblique": np.array([[0.8, 0.6, 0], [-0.6, 0.8, 0], [0, 0, 1.0]]),
}


def turn_back(orientation, array):
    """Return the array of which `orientation.turn` made this one."""
    turned = array[tuple(slice(None, None, -1 if backwards else 1) for backwards in orientation.reversed)]
    return turned.transpose(*np.argsort(orientation.axes), *range(3, array.ndim))


def turn_affine(orientation, affine, shape):
    """Return the affine of `orientation.turn(array)` for an array of this (z, y, x) shape: voxels keep their place."""
    # nibabel's axes are x, y, z: axis k of an array is its axis 2 - k. Its rows give the new axis of each old one.
    transform = np.empty((3, 2))
    for new, (old, backwards) in enumerate(zip(orientation.axes, orientation.reversed, strict=True)):
        transform[2 - old] = [2 - new, -1 if backwards else 1]
    return affine @ inv_ornt_aff(transform, tuple(reversed(shape[:3])))


def nibabel_axial(image):
    """Return an image's voxels (x, y, z) as nibabel turns them to LPS."""
    start = nibabel.io_orientation(image.affine)
    return image.as_reoriented(ornt_transform(start, axcodes2ornt(("L", "P", "S"))))
