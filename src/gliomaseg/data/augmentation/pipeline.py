"""The pipeline of `strong`: the random numbers of each change, and the order of the changes."""

from __future__ import annotations

from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gliomaseg.config import Augmentation
from gliomaseg.data.augmentation import intensity, random_fields, spatial

# The column of each change in the draws. New ones go to the end, and `_` takes the place of those that were removed, so
# that runs of earlier versions stay repeatable.
(
    MIRROR, ROTATION, SCALE, SHIFT_Y, SHIFT_X, ELASTIC, BRIGHTNESS, GAMMA, OFFSET, BIAS_FIELD, BLUR, COARSE, NOISE,
    DROP_T1, DROP_T1CE, DROP_CONTEXT, KEY, SCALP_LEVEL, _, _, _, _, SCALP, BRAIN_GROWTH, _,
) = range(25)  # fmt: skip


def augment(
    images: Tensor, masks: Tensor, draws: NDArray[np.float64], *, limits: Augmentation, sequences: int
) -> tuple[Tensor, Tensor]:
    """Return changed slices (n, k c, y, x) and masks (n, y, x).

    Apart from rounding, the result of a slice depends on its own draws only, not on other slices of the batch.

    Args:
        images: k slices of c sequences, normalised, float32; the darkest level of a channel counts as black.
        masks: bool.
        draws: uniform in [0, 1), shape (n, DRAWS).
        limits: the largest changes.
        sequences: c.
    """
    keys = torch.from_numpy((draws[:, KEY] * 2**32).astype(np.int64)).to(images.device, non_blocking=True)
    symmetric = partial(_symmetric, draws, strength=limits.strength)
    t1_dropout = limits.channel_dropout if limits.t1_dropout is None else limits.t1_dropout
    dropped = draws[:, [DROP_T1, DROP_T1CE, DROP_CONTEXT]] < [t1_dropout, t1_dropout, limits.channel_dropout]
    images = intensity.drop_channels(images, sequences=sequences, dropped=dropped)
    matrices = spatial.sampling_matrices(
        mirrored=(draws[:, MIRROR] < 0.5) & limits.mirror,
        radians=np.radians(symmetric(ROTATION, _rotation_limits(draws, limits))),
        zoom=np.exp(symmetric(SCALE, limits.scale)),
        shift=np.stack([symmetric(SHIFT_X, limits.shift), symmetric(SHIFT_Y, limits.shift)], axis=1),
    )
    displacement = None
    if limits.elastic:
        field = random_fields.smooth_fields(keys, stream=0, count=2, side=images.shape[-1])
        displacement = field * random_fields.per_slice(np.maximum(0, symmetric(ELASTIC, limits.elastic)), keys)
    images, masks = spatial.resample(images, masks, matrices, displacement)
    return _change_intensities(images, draws, keys, limits), masks


def is_stripped(draws: NDArray[np.float64], limits: Augmentation) -> NDArray[np.bool_]:
    """Return whether each slice is without skull: bool, shape (n,)."""
    return draws[:, SCALP] < limits.skull_strip


def _symmetric(
    draws: NDArray[np.float64], column: int, limit: float | NDArray[np.float64], *, strength: float
) -> NDArray[np.float64]:
    """Return numbers between -limit * strength and limit * strength, shape (n,); the limit may differ by slice."""
    return (2 * draws[:, column] - 1) * limit * strength


def _rotation_limits(draws: NDArray[np.float64], limits: Augmentation) -> NDArray[np.float64]:
    """Return the largest angle of each slice in degrees, shape (n,); those without skull may have their own."""
    stripped = limits.rotation_deg if limits.stripped_rotation_deg is None else limits.stripped_rotation_deg
    return np.where(is_stripped(draws, limits), stripped, limits.rotation_deg)


def _change_intensities(images: Tensor, draws: NDArray[np.float64], keys: Tensor, limits: Augmentation) -> Tensor:
    """Return slices with other brightness, contrast, sharpness and noise."""
    symmetric = partial(_symmetric, draws, strength=limits.strength)

    def half_zero(column: int, limit: float) -> NDArray[np.float64]:
        """Return numbers from 0 to the limit; half of them are 0."""
        return np.maximum(0, symmetric(column, limit))

    black = images.amin(dim=(2, 3), keepdim=True)
    top = (images - black).amax(dim=(1, 2, 3), keepdim=True).clamp_min(1e-6)
    light = (images - black) / top * random_fields.per_slice(np.exp(symmetric(BRIGHTNESS, limits.brightness)), keys)
    if limits.bias_field:
        field = random_fields.smooth_fields(keys, stream=1, count=1, side=images.shape[-1])
        light = light * (field * random_fields.per_slice(half_zero(BIAS_FIELD, limits.bias_field), keys)).exp()
    light = light ** random_fields.per_slice(np.exp(symmetric(GAMMA, limits.gamma)), keys)
    light = intensity.blur(light, half_zero(BLUR, limits.blur_px))
    light = intensity.halve_resolution(light, draws[:, COARSE] < limits.downsample_prob)
    light = _add_noise(light, keys, half_zero(NOISE, limits.noise))
    light = light + random_fields.per_slice(symmetric(OFFSET, limits.offset), keys)
    return light * top + black


def _add_noise(light: Tensor, keys: Tensor, deviation: NDArray[np.float64]) -> Tensor:
    """Return slices plus noise with the standard deviation of each slice, shape (n,); 0 adds none."""
    chosen = np.flatnonzero(deviation > 0)
    indices = torch.from_numpy(chosen).to(light.device, non_blocking=True)
    noise = random_fields.normal_noise(keys[indices], stream=2, shape=light.shape[1:]) * random_fields.per_slice(
        deviation[chosen], keys
    )
    return light.index_add(0, indices, noise)
