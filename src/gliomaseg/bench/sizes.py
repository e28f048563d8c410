"""How much is measured: enough for figures in minutes, or just enough to see that it works."""

from __future__ import annotations

from dataclasses import dataclass

from gliomaseg.config import Recipe, read_recipe

QUICK_PX = 64


@dataclass(frozen=True)
class Sizes:
    """The sizes of a benchmark.

    Attributes:
        name: "quick", "normal" or "full".
        reference: the recipe that others are held against.
        small: the recipe that stands in for the shipped model where none is at hand.
        patients: phantoms to load and train on.
        side_px: of the phantoms' slices.
        pairs: turns each side has.
        budget_s: how long one figure takes before it has fewer turns.
        steps: training steps a turn, on a processor.
        reference_slices: slices a turn that the reference network predicts.
        small_slices: slices a turn that the small one predicts.
        starts: turns of cold starts.
        volume_slices: slices of a volume.
        grown: how many slices are predicted, from few to many.
        grown_pairs: turns of growth.
        evaluated: how many patients are evaluated, few and many.
        evaluated_slices: slices of each.
    """

    name: str
    reference: Recipe
    small: Recipe
    patients: int = 6
    side_px: int = 256
    pairs: int = 3
    budget_s: float = 30.0
    steps: int = 1
    reference_slices: int = 4
    small_slices: int = 32
    starts: int = 3
    volume_slices: int = 30
    grown: tuple[int, ...] = (100, 1_000)
    grown_pairs: int = 2
    evaluated: tuple[int, int] = (10, 100)
    evaluated_slices: int = 4


def sizes_for(*, quick: bool = False, full: bool = False) -> Sizes:
    """Return the plan for a first look, for figures, or for figures with 10,000 slices."""
    reference, small = read_recipe("fcn_resnet50"), read_recipe("residual_unet")
    if quick:
        size = [f"preprocessing.size_px={QUICK_PX}"]
        return Sizes(
            "quick",
            reference.with_settings(size),
            small.with_settings(size),
            patients=1,
            side_px=QUICK_PX,
            pairs=2,
            small_slices=4,
            starts=2,
            volume_slices=6,
            grown=(6, 24),
            grown_pairs=1,
            evaluated=(1, 3),
            evaluated_slices=2,
        )
    if full:
        return Sizes("full", reference, small, grown=(100, 1_000, 10_000))
    return Sizes("normal", reference, small)
