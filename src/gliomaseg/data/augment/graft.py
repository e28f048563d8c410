"""Tumours of other patients, put into slices where they could be: more tumours in more places than there are patients.

Source: X. Zhang et al., CarveMix, MICCAI 2021, doi:10.1007/978-3-030-87193-2_19 (there in 3D, of a part of the tumour
or more; here a slice with its neighbours, of the whole tumour).
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from gliomaseg.scan import FLAIR_CHANNEL

REACH_PX = 6  # what comes with a tumour from around it, at most; at least 1
HEAD_PX = 2  # bone is black: a head is what is not, and what is so near to it
INSIDE = 0.95


def grafted(
    images: Tensor, masks: Tensor, donors: Tensor, donor_masks: Tensor, draws: NDArray[np.float64], *, sequences: int
) -> tuple[Tensor, Tensor]:
    """Return slices and masks with each donor's tumour, and some of what is around it, at the place where it was.

    One in two is mirrored first. A slice stays as it is where that place lies outside its head, or where it holds other
    sequences than its donor. What depends on a slice depends on its donor and its draws only.

    Args:
        images: k neighbours of c sequences, normalised, float32, shape (n, k c, y, x).
        masks: bool, shape (n, y, x).
        donors: as `images`.
        donor_masks: as `masks`; one without tumour gives nothing.
        draws: how far around, and whether mirrored: uniform in [0, 1), shape (n, 2).
        sequences: c.
    """
    mirrored = torch.from_numpy(draws[:, 1] < 0.5).to(images.device)[:, None, None]
    donors = torch.where(mirrored[:, None], donors.flip(-1), donors)
    donor_masks = torch.where(mirrored, donor_masks.flip(-1), donor_masks)
    reach = torch.from_numpy(1 + np.floor(draws[:, 0] * REACH_PX)).to(images.device)[:, None, None, None]
    region = donor_masks[:, None].float()
    for step in range(1, REACH_PX + 1):
        region = torch.where(reach >= step, functional.max_pool2d(region, 3, 1, 1), region)
    fits = _is_inside(region, _flair(images, sequences)) & (_held(images, sequences) == _held(donors, sequences)).all(1)
    region = region * fits[:, None, None, None]
    soft = functional.avg_pool2d(region, 3, 1, 1, count_include_pad=False)
    return images + soft * (donors - images), torch.where(region[:, 0] > 0, donor_masks, masks)


def _flair(images: Tensor, sequences: int) -> Tensor:
    """Return FLAIR of the middle slices: shape (n, 1, y, x)."""
    around = images.shape[1] // sequences // 2
    return images[:, around * sequences + (FLAIR_CHANNEL if sequences > 1 else 0)][:, None]


def _is_inside(region: Tensor, flair: Tensor) -> Tensor:
    """Return whether nearly all of a region lies in the head, and there is one: bool, shape (n,)."""
    bright = (flair > flair.amin(dim=(2, 3), keepdim=True)).float()
    head = functional.max_pool2d(bright, 2 * HEAD_PX + 1, 1, HEAD_PX)
    pixels = region.sum(dim=(1, 2, 3))
    return (pixels > 0) & ((region * head).sum(dim=(1, 2, 3)) >= INSIDE * pixels)


def _held(images: Tensor, sequences: int) -> Tensor:
    """Return which sequences are there, and no copy of FLAIR: bool, shape (n, c)."""
    stack = images.reshape(len(images), -1, sequences, *images.shape[2:])
    flair = stack[:, :, FLAIR_CHANNEL if sequences > 1 else 0][:, :, None]
    different: Tensor = stack != flair
    return different.transpose(1, 2).flatten(2).any(dim=2)
