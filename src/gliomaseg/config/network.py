"""Networks: one class a member."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from gliomaseg.config.base import Settings


class FcnResnet50(Settings):
    """torchvision's fully convolutional network on a ResNet-50."""

    name: Literal["fcn_resnet50"] = "fcn_resnet50"
    head: Literal["fcn", "linear"] = "fcn"
    weights: Literal["none", "imagenet", "coco"] = "none"


class Unet(Settings):
    """A U-Net; `base_features` is the number of features of its first level."""

    name: Literal["unet"] = "unet"
    base_features: int = Field(default=32, ge=4, le=256)
    levels: int = Field(default=4, ge=2, le=6)


class ResidualUnet(Settings):
    """A U-Net with a residual skip at each level; `features` gives the channels of each level, finest first.

    With `pixel_unshuffle` p, the first level takes squares of p x p pixels as channels, and the last level returns
    p x p pixels for each of its own.
    """

    name: Literal["residual_unet"] = "residual_unet"
    features: tuple[Annotated[int, Field(ge=4, le=1024)], ...] = Field(
        default=(16, 32, 64, 128, 192, 256), min_length=2, max_length=8
    )
    pixel_unshuffle: Literal[1, 2, 4] = 1


class Smp(Settings):
    """Any network of segmentation_models.pytorch, by its names there."""

    name: Literal["smp"] = "smp"
    architecture: str = "Unet"
    encoder: str = "resnet34"
    weights: Literal["none", "imagenet"] = "none"


Network = Annotated[FcnResnet50 | Unet | ResidualUnet | Smp, Field(discriminator="name")]
SMP_HALVINGS = 5  # of its encoders, unless told otherwise


def downsampling_steps(network: Network) -> int:
    """Return how often a network halves the slice, so that its side must divide: 0 where it need not."""
    if isinstance(network, Unet):
        return network.levels
    if isinstance(network, ResidualUnet):
        return len(network.features) - 1 + network.pixel_unshuffle.bit_length() - 1
    return SMP_HALVINGS if isinstance(network, Smp) else 0
