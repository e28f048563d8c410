"""The strong policy: what is drawn for each slice, and in which order it is done."""

from __future__ import annotations

from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gliomaseg.config import Augmentation
from gliomaseg.data.augmentation import intensity, random_fields, spatial

# One random number for each change. The two unused ones keep their places: runs of earlier versions stay repeatable.
(
    MIRROR, ROTATION, SCALE, SHIFT_Y, SHIFT_X, ELASTIC, BRIGHTNESS, GAMMA, OFFSET, BIAS_FIELD, BLUR, COARSE, NOISE,
    DROP_T1, DROP_T1CE, DROP_CONTEXT, KEY, UNUSED_1, UNUSED_2, GRAFT, GRAFT_REACH, GRAFT_MIRROR,
) = range(22)  # fmt: skip


def change(
    images: Tensor, masks: Tensor, draws: NDArray[np.float64], *, limits: Augmentation, sequences: int
) -> tuple[Tensor, Tensor]:
    """Return changed slices (n, k c, y, x) and masks (n, y, x).

    What a slice becomes depends on its draws only, to rounding: not on the slices it shares a batch with.

    Args:
        images: normalised, float32; anything that is darkest counts as black.
        masks: bool.
        draws: uniform in [0, 1).
        limits: the largest changes.
        sequences: c, how many channels of `images` are of one slice.
    """
    keys = torch.from_numpy((draws[:, KEY] * 2**32).astype(np.int64)).to(images.device, non_blocking=True)
    even = partial(_even, draws, strength=limits.strength)
    without_t1 = limits.channel_dropout if limits.t1_dropout is None else limits.t1_dropout
    lost = draws[:, [DROP_T1, DROP_T1CE, DROP_CONTEXT]] < [without_t1, without_t1, limits.channel_dropout]
    images = intensity.without_channels(images, sequences=sequences, lost=lost)
    matrices = spatial.matrices(
        mirrored=(draws[:, MIRROR] < 0.5) & limits.mirror,
        radians=np.radians(even(ROTATION, limits.rotation_deg)),
        zoom=np.exp(even(SCALE, limits.scale)),
        shift=np.stack([even(SHIFT_X, limits.shift), even(SHIFT_Y, limits.shift)], axis=1),
    )
    bend = None
    if limits.elastic:
        field = random_fields.waves(keys, stream=0, count=2, side=images.shape[-1])
        bend = field * random_fields.each(np.maximum(0, even(ELASTIC, limits.elastic)), keys)
    images, masks = spatial.moved(images, masks, matrices, bend)
    return _relit(images, draws, keys, limits), masks


def _even(draws: NDArray[np.float64], column: int, limit: float, *, strength: float) -> NDArray[np.float64]:
    """Return numbers between plus and minus a limit, shape (n,)."""
    return (2 * draws[:, column] - 1) * limit * strength


def _relit(images: Tensor, draws: NDArray[np.float64], keys: Tensor, limits: Augmentation) -> Tensor:
    """Return slices with other brightness, contrast, sharpness and noise."""
    even = partial(_even, draws, strength=limits.strength)

    def half(column: int, limit: float) -> NDArray[np.float64]:
        return np.maximum(0, even(column, limit))

    black = images.amin(dim=(2, 3), keepdim=True)
    top = (images - black).amax(dim=(1, 2, 3), keepdim=True).clamp_min(1e-6)
    light = (images - black) / top * random_fields.each(np.exp(even(BRIGHTNESS, limits.brightness)), keys)
    if limits.bias_field:
        field = random_fields.waves(keys, stream=1, count=1, side=images.shape[-1])
        light = light * (field * random_fields.each(half(BIAS_FIELD, limits.bias_field), keys)).exp()
    light = light ** random_fields.each(np.exp(even(GAMMA, limits.gamma)), keys)
    light = intensity.blurred(light, half(BLUR, limits.blur_px))
    light = intensity.coarser(light, draws[:, COARSE] < limits.downsample_prob)
    light = _noisy(light, keys, half(NOISE, limits.noise))
    light = light + random_fields.each(even(OFFSET, limits.offset), keys)
    return light * top + black


def _noisy(light: Tensor, keys: Tensor, deviation: NDArray[np.float64]) -> Tensor:
    """Return slices with noise of each one's own standard deviation, shape (n,); 0 leaves it be."""
    chosen = np.flatnonzero(deviation > 0)
    places = torch.from_numpy(chosen).to(light.device, non_blocking=True)
    noise = random_fields.normal(keys[places], stream=2, shape=light.shape[1:]) * random_fields.each(
        deviation[chosen], keys
    )
    return light.index_add(0, places, noise)
