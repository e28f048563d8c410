"""A U-Net with batch normalisation, with any number of features and levels.

With 32 features and 4 levels it is the network of the data set's authors, except that theirs has one logit.

Source: O. Ronneberger et al., MICCAI 2015, doi:10.1007/978-3-319-24574-4_28; M. Buda et al., Computers in Biology
and Medicine 109 (2019) 218, doi:10.1016/j.compbiomed.2019.05.002.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from gliomaseg.config.network import Unet

CLASSES = 2


class UnetNetwork(nn.Module):
    """Encoder with max pooling, decoder with transposed convolutions, two convolutions at each level."""

    def __init__(self, base_features: int, levels: int, inputs: int) -> None:
        super().__init__()
        features = [base_features * 2**level for level in range(levels + 1)]
        self.down = nn.ModuleList(_level(a, b) for a, b in zip([inputs, *features[:-1]], features, strict=True))
        self.up = nn.ModuleList(nn.ConvTranspose2d(2 * w, w, 2, stride=2) for w in reversed(features[:-1]))
        self.join = nn.ModuleList(_level(2 * w, w) for w in reversed(features[:-1]))
        self.pool = nn.MaxPool2d(2)
        self.head = nn.Conv2d(base_features, CLASSES, 1)

    def forward(self, batch: Tensor) -> Tensor:
        """Return logits (n, 2, y, x) of slices (n, inputs, y, x); y and x are multiples of 2 ** levels."""
        skips = []
        features = batch
        for level in self.down[:-1]:
            features = level(features)
            skips.append(features)
            features = self.pool(features)
        features = self.down[-1](features)
        for up, join, skip in zip(self.up, self.join, reversed(skips), strict=True):
            features = join(torch.cat([up(features), skip], dim=1))
        logits: Tensor = self.head(features)
        return logits


def _level(inputs: int, outputs: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for channels in (inputs, outputs):
        layers += [
            nn.Conv2d(channels, outputs, 3, padding=1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(inplace=True),
        ]
    return nn.Sequential(*layers)


def build(settings: Unet, inputs: int) -> nn.Module:
    """Return the network of the settings for `inputs` channels."""
    return UnetNetwork(settings.base_features, settings.levels, inputs)
