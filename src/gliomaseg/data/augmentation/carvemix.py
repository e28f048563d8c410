"""Tumours of other patients, put into slices where they could be: more tumours in more places than there are patients.

Source: X. Zhang et al., CarveMix, MICCAI 2021, doi:10.1007/978-3-030-87193-2_19 (there in 3D, of a part of the tumour
or more; here a slice with its neighbours, of the whole tumour).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from gliomaseg.scan import flair_channel

REACH_PX = 6  # what comes with a tumour from around it, at most; at least 1
CLOSED_PX = 6  # dark parts of a head, twice as wide, count as head
INSIDE = 0.95


class Slices(NamedTuple):
    """Slices and what is tumour in them.

    Attributes:
        images: k neighbours of c sequences, normalised, float32, shape (n, k c, y, x).
        masks: bool, shape (n, y, x).
    """

    images: Tensor
    masks: Tensor


def grafted(
    hosts: Slices, donors: Slices, head_levels: Tensor, draws: NDArray[np.float64], *, sequences: int
) -> Slices:
    """Return slices with each donor's tumour, and some of what is around it, at the place where it was.

    One in two is mirrored first. A slice stays as it is where that place lies outside its head, where it holds other
    sequences than its donor, or where its donor has no tumour. What becomes of a slice depends on these alone.

    Args:
        hosts: the slices.
        donors: as many.
        head_levels: what is brighter than this on a host's FLAIR is head, float32, shape (n,).
        draws: how far around, and whether mirrored: uniform in [0, 1), shape (n, 2).
        sequences: c.
    """
    device = hosts.images.device
    mirrored = torch.from_numpy(draws[:, 1] < 0.5).to(device, non_blocking=True)[:, None, None]
    images = torch.where(mirrored[:, None], donors.images.flip(-1), donors.images)
    masks = torch.where(mirrored, donors.masks.flip(-1), donors.masks)
    reach = torch.from_numpy(1 + np.floor(draws[:, 0] * REACH_PX)).to(device, non_blocking=True)[:, None, None, None]
    region = masks[:, None].float()
    for step in range(1, REACH_PX + 1):
        region = torch.where(reach >= step, functional.max_pool2d(region, 3, 1, 1), region)
    bright = _flair(hosts.images, sequences) > head_levels[:, None, None, None]
    alike = (_present(hosts.images, sequences) == _present(images, sequences)).all(dim=1)
    region = region * (_is_inside(region, bright.float()) & alike)[:, None, None, None]
    soft = functional.avg_pool2d(region, 3, 1, 1, count_include_pad=False)
    mixed = hosts.images + soft * (images - hosts.images)
    return Slices(mixed, torch.where(region[:, 0] > 0, masks, hosts.masks))


def _flair(images: Tensor, sequences: int) -> Tensor:
    """Return FLAIR of the middle slices: shape (n, 1, y, x)."""
    around = images.shape[1] // sequences // 2
    return images[:, around * sequences + flair_channel(sequences)][:, None]


def _is_inside(region: Tensor, bright: Tensor) -> Tensor:
    """Return whether nearly all of a region lies in the head, and there is one: bool, shape (n,)."""
    side = 2 * CLOSED_PX + 1
    head = -functional.max_pool2d(-functional.max_pool2d(bright, side, 1, CLOSED_PX), side, 1, CLOSED_PX)
    pixels = region.sum(dim=(1, 2, 3))
    return (pixels > 0) & ((region * head).sum(dim=(1, 2, 3)) >= INSIDE * pixels)


def _present(images: Tensor, sequences: int) -> Tensor:
    """Return which sequences are no copy of FLAIR in these slices: bool, shape (n, c)."""
    stack = images.reshape(len(images), -1, sequences, *images.shape[2:])
    different: Tensor = stack != stack[:, :, flair_channel(sequences)][:, :, None]
    return different.transpose(1, 2).flatten(2).any(dim=2)
