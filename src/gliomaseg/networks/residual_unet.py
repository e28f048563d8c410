"""Our own U-Net: two convolutions and a residual skip a level, of any widths.

Source: O. Ronneberger et al., MICCAI 2015, doi:10.1007/978-3-319-24574-4_28; residual skips: K. He et al., CVPR 2016,
doi:10.1109/CVPR.2016.90; losses of coarser levels: C.-Y. Lee et al., AISTATS 2015, arXiv:1409.5185; patches as
channels: W. Shi et al., CVPR 2016, arXiv:1609.05158.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from gliomaseg.config import ResidualUnet
from gliomaseg.networks.joint_ensemble import Members
from gliomaseg.networks.outputs import Supervised

CLASSES = 2


class ResidualUnetNetwork(nn.Module):
    """Max pooling down, transposed convolutions up, features joined; extra heads where the settings ask for them."""

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
        self.lower_heads = nn.ModuleList(
            nn.Conv2d(width, CLASSES * pixels, 1) for width in features[1 : 1 + settings.deep_supervision]
        )
        self.presence = nn.Linear(features[-1], 1) if settings.presence else None

    def forward(self, batch: Tensor) -> Tensor | Supervised:
        """Return logits for pictures (n, inputs, y, x); y and x are multiples of patch * 2 ** (levels - 1).

        In use these are (n, 2, y, x), with the probability that there is tumour in the slice multiplied in. In
        training they come apart, with those of coarser levels, if the settings ask for any of that.
        """
        deepest, finest_first = self._features(self.to_patches(batch))
        logits: Tensor = self.to_pixels(self.head(finest_first[0]))
        # Over all pixels of the coarsest level, which has seen the whole slice.
        presence = self.presence(deepest.mean(dim=(2, 3))).flatten() if self.presence is not None else None
        if self.training and (len(self.lower_heads) or presence is not None):
            coarser = finest_first[1 : 1 + len(self.lower_heads)]
            lower = tuple(self.to_pixels(head(level)) for head, level in zip(self.lower_heads, coarser, strict=True))
            return Supervised(logits, lower, presence)
        return logits if presence is None else gated(logits, presence)

    def _features(self, batch: Tensor) -> tuple[Tensor, Sequence[Tensor]]:
        """Return the features of the coarsest level, and those of the way up, finest first."""
        skips: list[Tensor] = []
        features = batch
        for number, level in enumerate(self.down):
            features = level(functional.max_pool2d(features, 2) if number else features)
            skips.append(features)
        deepest, upward = skips.pop(), []
        for up, join in zip(self.up, self.join, strict=True):
            features = join(torch.cat([up(features), skips.pop()], dim=1))
            upward.append(features)
        return deepest, upward[::-1]


class ResidualLevel(nn.Module):
    """Two 3 x 3 convolutions with batch normalisation, and what came in added to what goes out."""

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


def gated(logits: Tensor, presence: Tensor) -> Tensor:
    """Return logits (n, 2, y, x) of the product of two probabilities: of a pixel, and of any tumour in its slice.

    With a and b their logits, the product's is -log(exp(-a) + exp(-b) + exp(-a - b)).
    """
    a = logits[:, 1].float() - logits[:, 0].float()
    b = presence.float()[:, None, None].expand_as(a)
    product = -torch.logsumexp(torch.stack([-a, -b, -a - b]), dim=0)
    return torch.stack([torch.zeros_like(product), product], dim=1)


def build(settings: ResidualUnet, inputs: int) -> nn.Module:
    """Return the network as its settings say, or several as one."""
    if settings.members == 1:
        return ResidualUnetNetwork(settings, inputs)
    return Members(ResidualUnetNetwork(settings, inputs) for _ in range(settings.members))
