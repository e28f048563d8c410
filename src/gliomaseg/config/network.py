"""Settings of the networks: one class for each, and the union `Network` of them all.

The module `networks/NAME.py` builds the network whose settings have `name = "NAME"`.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field

from gliomaseg.config.base import Settings

SMP_DOWNSAMPLING_STEPS = 5  # the default depth of encoders in segmentation_models.pytorch


class NetworkSettings(Settings):
    """The interface of all networks' settings.

    Every subclass has a field `name` and is listed in `Network`. If pretrained weights exist, it has a field `weights`.
    """

    @property
    def downsampling_steps(self) -> int:
        """How often the network halves the side of a slice; 0 if it takes any side."""
        return 0

    @property
    def pretrained_weights(self) -> str:
        """The name of the weights that training starts from; "none" for random weights."""
        return str(getattr(self, "weights", "none"))

    def without_pretrained_weights(self) -> Self:
        """Return settings that build the same network from random weights, without a download."""
        return self.model_copy(update={"weights": "none"}) if "weights" in type(self).model_fields else self


class FcnResnet50(NetworkSettings):
    """torchvision's fully convolutional network on a ResNet-50.

    Attributes:
        head: "fcn" is torchvision's FCNHead; "linear" is a single 1 x 1 convolution.
        weights: "imagenet" starts from a pretrained backbone, "coco" from a pretrained network.
    """

    name: Literal["fcn_resnet50"] = "fcn_resnet50"
    head: Literal["fcn", "linear"] = "fcn"
    weights: Literal["none", "imagenet", "coco"] = "none"


class Unet(NetworkSettings):
    """A U-Net.

    Attributes:
        base_features: channels of the first level; every level below has twice as many.
        levels: how often the network halves the side of a slice.
    """

    name: Literal["unet"] = "unet"
    base_features: int = Field(default=32, ge=4, le=256)
    levels: int = Field(default=4, ge=2, le=6)

    @property
    def downsampling_steps(self) -> int:
        """How often the network halves the side of a slice."""
        return self.levels


class ResidualUnet(NetworkSettings):
    """A U-Net with a residual skip at each level.

    Attributes:
        features: channels of each level, finest level first.
        pixel_unshuffle: p. The first level takes squares of p x p pixels as channels; the last level returns p x p
            pixels for each of its own.
    """

    name: Literal["residual_unet"] = "residual_unet"
    features: tuple[Annotated[int, Field(ge=4, le=1024)], ...] = Field(
        default=(16, 32, 64, 128, 192, 256), min_length=2, max_length=8
    )
    pixel_unshuffle: Literal[1, 2, 4] = 1

    @property
    def downsampling_steps(self) -> int:
        """How often the network halves the side of a slice, the pixel unshuffle included."""
        return len(self.features) - 1 + self.pixel_unshuffle.bit_length() - 1


class Smp(NetworkSettings):
    """A network of segmentation_models.pytorch.

    Attributes:
        architecture: its name in that library.
        encoder: its name in that library.
        weights: "imagenet" starts from a pretrained encoder.
    """

    name: Literal["smp"] = "smp"
    architecture: str = "Unet"
    encoder: str = "resnet34"
    weights: Literal["none", "imagenet"] = "none"

    @property
    def downsampling_steps(self) -> int:
        """How often the network halves the side of a slice."""
        return SMP_DOWNSAMPLING_STEPS


Network = Annotated[FcnResnet50 | Unet | ResidualUnet | Smp, Field(discriminator="name")]
