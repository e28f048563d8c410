"""The options that commands share, and the words they take."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from gliomaseg.choices import MaskFormat

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


class PatientGrouping(StrEnum):
    """What a split that does not leak keeps together."""

    patient = "patient"
    site = "site"


class DeviceName(StrEnum):
    """Where to train."""

    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"


class EngineName(StrEnum):
    """What runs the network."""

    onnxruntime = "onnxruntime"
    openvino = "openvino"
    torch = "torch"


class Weights(StrEnum):
    """What a model folder to give away holds."""

    onnx = "onnx"
    openvino = "openvino"
    safetensors = "safetensors"


Model = Annotated[Path | None, typer.Option("--model", help="A run, a model folder, or a shipped model's name.")]
Engine = Annotated[EngineName, typer.Option("--engine", help="What runs the network.")]
Splits = Annotated[Path | None, typer.Option("--splits", help="A file that `gliomaseg split` wrote.")]
Fold = Annotated[int, typer.Option("--fold", help="Which fold of the splits, from 0.")]
Folds = Annotated[
    int | None, typer.Option("--folds", min=2, help="As many folds, each patient validating once (default: 5).")
]
Recipe = Annotated[
    str, typer.Argument(metavar="RECIPE", help="A packaged recipe (see `gliomaseg models`) or a TOML file.")
]
TrainingData = Annotated[Path, typer.Option("--data", help="A folder in the Kaggle layout.")]
Sets = Annotated[
    list[str] | None, typer.Option("--set", metavar="section.key=value", help="Change a setting of the recipe.")
]
Device = Annotated[DeviceName, typer.Option("--device", help="Where to train.")]
Resume = Annotated[bool, typer.Option("--resume", help="Go on where it stopped.")]
Spacing = Annotated[
    tuple[float, float, float] | None,
    typer.Option("--spacing-mm", metavar="Z Y X", help="Between voxels: lengths are then in mm, volumes in ml."),
]
Tolerance = Annotated[
    float, typer.Option("--tolerance", min=0, help="Of surface_dice, in mm with --spacing-mm, else in pixels.")
]
FoldsBy = Annotated[
    PatientGrouping | None, typer.Option("--by", help="site leaves one site out a fold. Default: the recipe's.")
]
Tune = Annotated[
    bool, typer.Option("--tune", help="Choose threshold, temperature and smallest component, on other folds.")
]
Inputs = Annotated[
    list[Path] | None,
    typer.Argument(
        metavar="INPUT...", help="NIfTI, DICOM, TIFF or PNG files, folders of them, zips of DICOM, patients' folders."
    ),
]
Flair = Annotated[Path | None, typer.Option("--flair", help="One case by its sequences, in place of INPUT.")]
T1 = Annotated[Path | None, typer.Option("--t1", help="The same case before contrast.")]
T1ce = Annotated[Path | None, typer.Option("--t1ce", help="The same case after contrast.")]
Series = Annotated[
    str | None, typer.Option("--series", help="UID or number of the DICOM series (default: the one like FLAIR).")
]
MaskFormats = Annotated[
    list[MaskFormat] | None, typer.Option("--to", help="What masks are written as (default: as the input).")
]
Probabilities = Annotated[bool, typer.Option("--probabilities", help="Write probabilities too.")]
Deidentify = Annotated[
    bool, typer.Option("--deidentify", help="Leave the patient's name, id and dates out of DICOM segmentations.")
]
MaxMemory = Annotated[
    str, typer.Option("--max-memory", metavar="BYTES", help="Refuse inputs that need more, such as 2G or 800M.")
]
