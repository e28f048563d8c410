"""The options that commands share, and the words they take."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

Data = Annotated[
    Path, typer.Argument(metavar="DATA", help="A folder in the Kaggle layout: the archive's root or its kaggle_3m.")
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace what is already there.")]
Out = Annotated[Path, typer.Option("--out", help="Where the results go.")]
Cache = Annotated[
    Path | None, typer.Option("--cache", help="Where prepared slices are kept (default: the user's cache).")
]
Seed = Annotated[int, typer.Option("--seed", min=0)]


class Subset(StrEnum):
    """The sides of a split."""

    train = "train"
    validation = "validation"


class Grouping(StrEnum):
    """What a split keeps together."""

    patient = "patient"
    site = "site"
    slice = "slice"


class PhantomFormat(StrEnum):
    """What phantoms are written as."""

    tiff = "tiff"


class Device(StrEnum):
    """Where to train."""

    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"


class EngineName(StrEnum):
    """What runs the network."""

    onnxruntime = "onnxruntime"
    torch = "torch"


Model = Annotated[Path | None, typer.Option("--model", help="A run or a model folder.")]
Engine = Annotated[EngineName, typer.Option("--engine", help="What runs the network.")]
Splits = Annotated[Path | None, typer.Option("--splits", help="A file that `gliomaseg split` wrote.")]
Fold = Annotated[int, typer.Option("--fold", help="Which fold of the splits, from 0.")]
