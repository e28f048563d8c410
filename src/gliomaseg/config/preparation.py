"""From a scan to what a network takes, and from its probabilities to a mask: what travels with a model."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from gliomaseg.config.settings import Settings


class Preparation(Settings):
    """How a slice becomes what the network takes; it travels with the model.

    `neighbours` slices on each side are channels too. "volume" scales by the head's own mean and standard
    deviation, over the whole stack, in place of `mean` and `std`.

    The last three matter only for volumes that say where their voxels lie. Their defaults are those of the
    LGG data set: of 24 patients, the largest slice of the head is 233 x 190 pixels (median), as heads are about
    195 x 160 mm, so 256 pixels are about 215 mm; and the 99.5 percentile of FLAIR is 157 of 255 (median).
    """

    size_px: int = Field(default=256, ge=32, le=2048, multiple_of=16)
    channels: Literal["grey", "flair", "t1_flair", "all"] = "grey"
    mean: float = 0.5
    std: float = Field(default=0.5, gt=0)
    neighbours: int = Field(default=0, ge=0, le=4)
    normalise: Literal["fixed", "volume"] = "fixed"
    field_mm: float = Field(default=215, ge=50, le=1000)  # the side of what the network sees, whatever its pixels
    slice_mm: float | None = Field(default=None, gt=0, le=50)  # thinner slices are merged to this; None: they stay
    bright_level: float = Field(default=157, ge=32, le=255)  # what the 99.5 percentile of the intensities becomes

    @property
    def sequences(self) -> int:
        """How many channels a stored slice has."""
        return {"t1_flair": 2, "all": 3}.get(self.channels, 1)

    @property
    def inputs(self) -> int:
        """How many channels the network takes; a single one is repeated to three, as the reference does."""
        return self.sequences * (2 * self.neighbours + 1) if self.neighbours or self.sequences > 1 else 3


class Decision(Settings):
    """From probability to mask."""

    threshold: float = Field(default=0.5, gt=0, lt=1)
    temperature: float = Field(default=1, ge=0.1, le=10)  # logits are divided by it
    flips: bool = False  # the mean of a slice's probabilities and those of its mirror image
    smallest_voxels: int = Field(default=0, ge=0)  # what hangs together and is smaller is taken out
