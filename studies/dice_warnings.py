"""Count how often the warning of a low predicted Dice is right, for the bundled models: docs/results/plausibility.md.

    python studies/dice_warnings.py --limits 0.5 0.6 0.7

The masks are those of the cross-validations in the models' `metrics.json`: their networks have not seen the patients.
The Dice estimator was fitted to the same rows.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from gliomaseg.evaluation.dice_estimation import CONFIDENCE_FEATURES, FAILED_BELOW
from gliomaseg.model import load_model
from gliomaseg.prediction.input_checks import LOWEST_DICE
from gliomaseg.pretrained import MODELS, find_model


def rows_of(name: str) -> Iterator[tuple[str, list[tuple[float, float]]]]:
    """Yield the patients and the changed copies of a model's evaluation: predicted and true Dice of each mask."""
    folder = find_model(Path(name))
    estimator = load_model(folder).config.dice_estimator
    if estimator is None:
        return
    document: dict[str, Any] = json.loads((folder / "metrics.json").read_text("utf-8"))
    for key in ("patients", "copies"):
        found = [
            (estimator.predicted_dice({feature: row[feature] for feature in CONFIDENCE_FEATURES}), row["dice_volume"])
            for row in document.get(key) or ()
        ]
        if found:
            yield key, [(predicted, dice or 0.0) for predicted, dice in found if predicted is not None]


def main(arguments: Sequence[str]) -> None:
    """Print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--limits", type=float, nargs="+", default=[LOWEST_DICE])
    limits = parser.parse_args(arguments).limits
    sys.stdout.write(
        f"| model | masks | limit | warned | of these, Dice below {FAILED_BELOW:g} | not warned, below |\n"
    )
    sys.stdout.write("|---|---|---|---|---|---|\n")
    for name in MODELS:
        for key, masks in rows_of(name):
            for limit in limits:
                warned = [dice for predicted, dice in masks if predicted < limit]
                right = sum(dice < FAILED_BELOW for dice in warned)
                missed = sum(dice < FAILED_BELOW for _, dice in masks) - right
                cells = (f"`{name}`", f"{len(masks)} {key}", f"{limit:g}", len(warned), right, missed)
                sys.stdout.write("| " + " | ".join(map(str, cells)) + " |\n")


if __name__ == "__main__":
    main(sys.argv[1:])
