"""CarveMix: copy tumours of other patients into slices.

Source: X. Zhang et al., CarveMix, MICCAI 2021, doi:10.1007/978-3-030-87193-2_19. Their version copies a 3D region of
varying size. This version copies a whole tumour in one slice and its context slices.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from gliomaseg.scan import flair_channel

MARGIN_PX = 6  # widest margin of donor tissue around a tumour; the narrowest is 1
CLOSING_PX = 6  # dark gaps in a head of up to twice this width count as head
MIN_SHARE_IN_HEAD = 0.95


class Slices(NamedTuple):
    """Slices with their masks.

    Attributes:
        images: k slices of c sequences, normalised, float32, shape (n, k c, y, x).
        masks: bool, shape (n, y, x).
    """

    images: Tensor
    masks: Tensor


def graft_tumours(
    hosts: Slices, donors: Slices, head_levels: Tensor, draws: NDArray[np.float64], *, sequences: int
) -> Slices:
    """Return host slices with the tumour of their donor, and a margin around it, at the same position.

    Half of the donors are mirrored first. A host stays unchanged if the position lies outside its head, if its
    available sequences differ from the donor's, or if the donor has no tumour. The result of a slice does not depend
    on other slices of the batch.

    Args:
        hosts: n slices.
        donors: n slices.
        head_levels: FLAIR level above which a pixel of a host is head, float32, shape (n,).
        draws: for the width of the margin and for mirroring: uniform in [0, 1), shape (n, 2).
        sequences: c.
    """
    device = hosts.images.device
    mirrored = torch.from_numpy(draws[:, 1] < 0.5).to(device, non_blocking=True)[:, None, None]
    images = torch.where(mirrored[:, None], donors.images.flip(-1), donors.images)
    masks = torch.where(mirrored, donors.masks.flip(-1), donors.masks)
    margin = torch.from_numpy(1 + np.floor(draws[:, 0] * MARGIN_PX)).to(device, non_blocking=True)[:, None, None, None]
    region = masks[:, None].float()
    for step in range(1, MARGIN_PX + 1):
        region = torch.where(margin >= step, functional.max_pool2d(region, 3, 1, 1), region)
    bright = _flair(hosts.images, sequences) > head_levels[:, None, None, None]
    same_sequences = (_available(hosts.images, sequences) == _available(images, sequences)).all(dim=1)
    region = region * (_is_in_head(region, bright.float()) & same_sequences)[:, None, None, None]
    soft = functional.avg_pool2d(region, 3, 1, 1, count_include_pad=False)
    mixed = hosts.images + soft * (images - hosts.images)
    return Slices(mixed, torch.where(region[:, 0] > 0, masks, hosts.masks))


def _flair(images: Tensor, sequences: int) -> Tensor:
    """Return FLAIR of the middle slices: shape (n, 1, y, x)."""
    middle = images.shape[1] // sequences // 2
    return images[:, middle * sequences + flair_channel(sequences)][:, None]


def _is_in_head(region: Tensor, bright: Tensor) -> Tensor:
    """Return whether a region is not empty and at least 95 % of it lies in the head: bool, shape (n,)."""
    side = 2 * CLOSING_PX + 1
    head = -functional.max_pool2d(-functional.max_pool2d(bright, side, 1, CLOSING_PX), side, 1, CLOSING_PX)
    pixels = region.sum(dim=(1, 2, 3))
    return (pixels > 0) & ((region * head).sum(dim=(1, 2, 3)) >= MIN_SHARE_IN_HEAD * pixels)


def _available(images: Tensor, sequences: int) -> Tensor:
    """Return for each sequence whether it differs from FLAIR, which replaces a missing one: bool, shape (n, c)."""
    stack = images.reshape(len(images), -1, sequences, *images.shape[2:])
    different: Tensor = stack != stack[:, :, flair_channel(sequences)][:, :, None]
    return different.transpose(1, 2).flatten(2).any(dim=2)
