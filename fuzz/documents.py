"""Text files and model folders: recipes, manifests, splits, `metrics.json`, model settings, networks."""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path

import numpy as np
from mutate import Original

from gliomaseg.config import read_recipe, recipe_names
from gliomaseg.data.split import read_splits
from gliomaseg.data.tables import read_rows
from gliomaseg.engines.onnx_file import require_own_tensors
from gliomaseg.evaluation.documents import read_evaluation
from gliomaseg.model import CONFIG, DIGESTS, ONNX, load_model, write_digests
from gliomaseg.pretrained import find_model

_TABLE = "case,patient,site,flair,mask\na,p1,s,a.nii.gz,a-seg.nii.gz\nb,p2,s,b.nii.gz,b-seg.nii.gz\n"
_SPLITS = {"format": 1, "by": "patient", "seed": 1, "folds": [{"train": ["a", "b"], "validation": ["c"]}]}


def originals(_generator: np.random.Generator) -> list[Original]:
    """Return the files and their readers."""
    header, *lines = _TABLE.split()
    rows = [dict(zip(header.split(","), line.split(","), strict=True)) for line in lines]
    model = find_model(Path("glioma-flair"))
    recipes = resources.files("gliomaseg").joinpath("recipes")
    return [
        Original("a.csv", _TABLE.encode(), read_rows),
        Original("a.tsv", _TABLE.replace(",", "\t").encode("utf-16"), read_rows),
        Original("a.json", json.dumps(rows).encode(), read_rows),
        Original("splits.json", json.dumps(_SPLITS).encode(), read_splits),
        Original("metrics.json", (model / "metrics.json").read_bytes(), lambda file: read_evaluation(file.parent)),
        Original(CONFIG, (model / CONFIG).read_bytes(), read_settings),
        Original(ONNX, (model / ONNX).read_bytes(), require_own_tensors),
        Original(DIGESTS, (model / DIGESTS).read_bytes(), read_digests),
        *(
            Original("a.toml", recipes.joinpath(f"{name}.toml").read_bytes(), lambda file: read_recipe(str(file)))
            for name in recipe_names()
        ),
    ]


def read_settings(file: Path) -> None:
    """Read the settings of a model whose checksums are right."""
    (file.parent / ONNX).write_bytes(b"")
    write_digests(file.parent)
    load_model(file.parent)


def read_digests(file: Path) -> None:
    """Read a model folder with damaged checksums."""
    (file.parent / CONFIG).write_text("{}")
    load_model(file.parent)
