"""What two models are worth together: two cross-validations as one evaluation, each patient by a fold of both.

    python benchmarks/ensemble.py crossed crossed-t1 --data lgg --out both
    gliomaseg compare crossed both

Both cross-validations were tuned and have the same folds. Each patient is predicted as the models that ship do it, by
the two networks that have not seen it; what they decide by, and what Dice is expected of them, comes from the patients
of other folds. `both/metrics.json` is an evaluation, for `benchmarks/card_tables.py`, `gliomaseg compare` and
`gliomaseg report`; what is printed says, too, how well the Dice to expect tells the Dice.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from gliomaseg.atomic import write_text
from gliomaseg.config import Decision
from gliomaseg.data.index import Case, read_index
from gliomaseg.data.split import read_splits, select
from gliomaseg.evaluation import Grid, assemble, dumps, measure_cases
from gliomaseg.evaluation.document import FILE
from gliomaseg.evaluation.patient import Measured
from gliomaseg.evaluation.quality import fit_quality, measure_trust
from gliomaseg.model import SPLITS, Model, load_model
from gliomaseg.prediction import WeightedEnsemble
from gliomaseg.prediction.predictor import AND

Row = dict[str, Any]


def say(text: str) -> None:
    """Tell what goes on."""
    sys.stderr.write(f"{text}\n")


def model_of(crossed: Path, document: Mapping[str, Any], fold: int) -> Model:
    """Return a fold's model as if it shipped: it decides and expects by what the other folds taught."""
    model = load_model(crossed / f"fold-{fold}")
    others = [row for row in document["patients"] if row["fold"] != fold]
    learned = {
        "name": crossed.resolve().name,
        "decision": Decision.model_validate(document["decisions_by_fold"][fold]),
        "quality": fit_quality(others).quality,
    }
    return replace(model, config=model.config.model_copy(update=learned))


def fold_ensembles(
    crossed: Sequence[Path], documents: Sequence[Mapping[str, Any]], data: Path
) -> Iterator[tuple[int, Sequence[Case], WeightedEnsemble]]:
    """Give each fold's number, its patients, and the networks that have not seen them.

    Raises:
        ValueError: the folds differ.
    """
    index, splits = read_index(data), read_splits(crossed[0] / SPLITS)
    if any(read_splits(folder / SPLITS) != splits for folder in crossed):
        raise ValueError(f"{' and '.join(map(str, crossed))} have other folds")
    for number, fold in enumerate(splits.folds):
        models = [model_of(folder, document, number) for folder, document in zip(crossed, documents, strict=True)]
        yield number, select(index, fold.validation), WeightedEnsemble(models)


def read_tuned(crossed: Sequence[Path]) -> list[dict[str, Any]]:
    """Return what cross-validations measured.

    Raises:
        ValueError: one of them was not tuned.
    """
    documents = [json.loads((folder / FILE).read_text("utf-8")) for folder in crossed]
    for folder, document in zip(crossed, documents, strict=True):
        if "decisions_by_fold" not in document:
            raise ValueError(f"{folder} is not of `gliomaseg crossvalidate --tune`")
    return documents


def trust_of(rows: Sequence[Row]) -> dict[str, Any]:
    """Return how well the Dice to expect tells the Dice; where nothing was found, 0 is expected."""
    scored = [row for row in rows if row.get("dice_volume") is not None]
    dice = np.array([row["dice_volume"] for row in scored])
    guess = np.array([row["predicted_dice"] or 0.0 for row in scored])
    return measure_trust(guess, dice) | {"bias": float((guess - dice).mean())}


def main() -> None:
    """Predict, write, and print what came out."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("first", type=Path, help="a cross-validation of the model that is enough for any scan")
    parser.add_argument("second", type=Path, help="of the model of T1 and FLAIR, the same folds")
    for name in ("--data", "--out"):
        parser.add_argument(name, type=Path, required=True)
    arguments = parser.parse_args()
    if arguments.out.exists():
        parser.error(f"{arguments.out} exists: name another folder")
    start = time.perf_counter()
    crossed = [arguments.first, arguments.second]
    measured: list[Measured] = []
    try:
        documents = read_tuned(crossed)
        for number, cases, ensemble in fold_ensembles(crossed, documents, arguments.data):
            measured += measure_cases(cases, ensemble, grid=Grid(), fold=number, progress=say)
    except ValueError as fault:
        parser.error(str(fault))
    setting = {**documents[0]["setting"], "model": AND.join(folder.resolve().name for folder in crossed)}
    setting |= {"model_digests": None, "threshold": None}
    both = assemble(measured, setting=setting, grid=Grid(), seconds=time.perf_counter() - start)
    arguments.out.mkdir(parents=True)
    write_text(arguments.out / FILE, dumps(both))
    report = {
        "first": documents[0]["summary"]["dice_volume"],
        "second": documents[1]["summary"]["dice_volume"],
        "both": both["summary"]["dice_volume"],
        "expected Dice": trust_of(both["patients"]),
    }
    sys.stdout.write(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
