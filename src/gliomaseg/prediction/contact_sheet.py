"""The contact sheet of a mask: axial slices with the tumour's outline."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from gliomaseg import overlays
from gliomaseg.errors import counted
from gliomaseg.preprocessing import display_levels
from gliomaseg.scan import Scan
from gliomaseg.types import Mask, Pixels

TILES = 12
SIDE_PX = 240


@dataclass(frozen=True)
class SheetText:
    """The text of a contact sheet.

    Attributes:
        name: of the scan.
        volume_ml: of the mask; None if it is unknown.
        model: the names of the models.
        predicted_dice: 0 to 1; None if it is unknown.
        warnings: of the prediction.
        facts: lines between that of the model and the warnings.
    """

    name: str
    volume_ml: float | None = None
    model: str = ""
    predicted_dice: float | None = None
    warnings: tuple[str, ...] = ()
    facts: tuple[str, ...] = ()

    def lines(self) -> list[str]:
        """Return the lines under the title: model and predicted Dice, then facts and warnings."""
        dice = "" if self.predicted_dice is None else f", predicted Dice {self.predicted_dice:.2f}"
        warnings = (f"Warning: {warning}" for warning in self.warnings)
        return [f"{self.model}{dice}. Research only", *self.facts, *warnings]


def draw_contact_sheet(scan: Scan, mask: Mask, text: SheetText) -> Image.Image:
    """Return a sheet of up to 12 axial slices with the mask's outline; the title of an empty mask is "nothing found".

    Slices are numbered from below and shown in the radiological view: the patient's right is on the left.

    Args:
        scan: a volume, or slices without an affine.
        mask: bool, shape (z, y, x), on its grid.
        text: the title and the lines below it.
    """
    orientation = scan.axial
    spacing_mm = orientation.turn_spacing(scan.spacing_mm or (1.0, 1.0, 1.0))
    flair = scan.flair_index
    volume, drawn = orientation.turn(scan.voxels[..., flair]), orientation.turn(mask)
    areas = np.array([np.count_nonzero(plane) for plane in drawn])
    chosen = choose_slices(areas)
    shown = volume[chosen]
    levels = display_levels(shown)
    tiles = [_tile(plane, drawn[k], spacing_mm[1:]) for k, plane in zip(chosen, levels, strict=True)]
    unit_mm2 = scan.axial_pixel_mm2 or 1.0
    unit = "px" if scan.spacing_mm is None else "mm2"
    notes = [
        f"slice {k + 1} of {len(areas)}" + (f", {areas[k] * unit_mm2:.0f} {unit}" if areas[k] else "") for k in chosen
    ]
    slices = int(np.count_nonzero(areas))
    amount = f"{np.sum(areas):,} pixels" if text.volume_ml is None else f"{text.volume_ml:.1f} ml"
    found = f"{amount} in {counted(slices, 'slice')}" if slices else "nothing found"
    sides = ("R", "L") if scan.orientation else ("", "")
    return overlays.contact_sheet(
        tiles, notes=notes, heading=[f"{text.name}: {found}", *text.lines()], sides=sides, side_px=SIDE_PX
    )


def choose_slices(areas: NDArray[np.int64]) -> list[int]:
    """Return the indices of up to 12 slices, ascending, for the tumour area of each slice.

    All slices with tumour and one more on either side are chosen. If these are too many, slices are spread evenly
    over those with at least a tenth of the largest area and one more on either side, with the largest among them.
    Without tumour, slices are spread over the middle half.

    >>> choose_slices(np.array([0, 0, 5, 9, 0, 0]))
    [1, 2, 3, 4]
    """
    places = np.flatnonzero(areas)
    count = len(areas)
    if not places.size:
        first, last = count // 4, max(count // 4, count - 1 - count // 4)
        return sorted({round(place) for place in np.linspace(first, last, TILES)})
    if places[-1] - places[0] + 3 > TILES:
        places = np.flatnonzero(areas >= areas.max() / 10)
    first, last = max(int(places[0]) - 1, 0), min(int(places[-1]) + 1, count - 1)
    chosen = {round(place) for place in np.linspace(first, last, min(TILES, last - first + 1))}
    largest = int(areas.argmax())
    if largest not in chosen:
        chosen.remove(min(chosen - {first, last}, key=lambda place: abs(place - largest)))
        chosen.add(largest)
    return sorted(chosen)


def _tile(plane: Pixels, mask: Mask, spacing_mm: tuple[float, ...]) -> Pixels:
    """Return a slice with square pixels, at most `SIDE_PX` high and wide, and its outline: uint8 (y, x, 3)."""
    image, outlined = overlays.with_square_pixels(plane, mask, spacing_mm, side_px=SIDE_PX)
    return overlays.overlay(image[..., None], predicted=outlined)
