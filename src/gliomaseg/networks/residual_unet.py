"""A U-Net with two convolutions and a residual skip at each level.

Source: O. Ronneberger et al., MICCAI 2015, doi:10.1007/978-3-319-24574-4_28; residual skips: K. He et al., CVPR 2016,
doi:10.1109/CVPR.2016.90; pixel unshuffle: W. Shi et al., CVPR 2016, arXiv:1609.05158.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from gliomaseg.config.network import ResidualUnet

CLASSES = 2


class ResidualUnetNetwork(nn.Module):
    """Encoder with max pooling, decoder with transposed convolutions; skip connections concatenate features."""

    def __init__(self, settings: ResidualUnet, inputs: int) -> None:
        super().__init__()
        features, pixels = settings.features, settings.pixel_unshuffle**2
        self.to_patches = nn.PixelUnshuffle(settings.pixel_unshuffle) if settings.pixel_unshuffle > 1 else nn.Identity()
        self.to_pixels = nn.PixelShuffle(settings.pixel_unshuffle) if settings.pixel_unshuffle > 1 else nn.Identity()
        self.down = nn.ModuleList(
            ResidualLevel(a, b) for a, b in zip([inputs * pixels, *features[:-1]], features, strict=True)
        )
        self.up = nn.ModuleList(
            nn.ConvTranspose2d(low, high, 2, stride=2) for high, low in reversed(list(pairwise(features)))
        )
        self.join = nn.ModuleList(ResidualLevel(2 * width, width) for width in reversed(features[:-1]))
        self.head = nn.Conv2d(features[0], CLASSES * pixels, 1)

    def forward(self, batch: Tensor) -> Tensor:
        """Return logits (n, 2, y, x) of slices (n, inputs, y, x).

        y and x are multiples of pixel_unshuffle * 2 ** (levels - 1).
        """
        logits: Tensor = self.to_pixels(self.head(self._features(self.to_patches(batch))))
        return logits

    def _features(self, batch: Tensor) -> Tensor:
        """Return the features of the finest decoder level."""
        skips: list[Tensor] = []
        features = batch
        for number, level in enumerate(self.down):
            features = level(functional.max_pool2d(features, 2) if number else features)
            skips.append(features)
        features = skips.pop()
        for up, join in zip(self.up, self.join, strict=True):
            features = join(torch.cat([up(features), skips.pop()], dim=1))
        return features


class ResidualLevel(nn.Module):
    """Two 3 x 3 convolutions with batch normalisation, added to their input."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
        self.first_norm = nn.BatchNorm2d(outputs)
        self.second = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.second_norm = nn.BatchNorm2d(outputs)
        self.skip = nn.Conv2d(inputs, outputs, 1, bias=False) if inputs != outputs else nn.Identity()

    def forward(self, features: Tensor) -> Tensor:
        """Return features (n, outputs, y, x) of features (n, inputs, y, x)."""
        changed = functional.relu(self.first_norm(self.first(features)))
        changed = self.second_norm(self.second(changed))
        return functional.relu(changed + self.skip(features))


def build(settings: ResidualUnet, inputs: int) -> nn.Module:
    """Return the network of the settings for `inputs` channels."""
    return ResidualUnetNetwork(settings, inputs)
