"""Options and argument types that several commands share, and the check of their values."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from gliomaseg.choices import MaskFormat
from gliomaseg.cli.paths import Output

Data = Annotated[Path, typer.Argument(metavar="DATA", help="A folder of scans and masks, or a manifest file.")]
Layout = Annotated[
    str | None,
    typer.Option(
        "--layout",
        metavar="NAME",
        help="manifest, kaggle, brats, nnunet, bids, dicom or pairs (default: recognised by the file names).",
    ),
]
Labels = Annotated[
    str | None,
    typer.Option("--labels", metavar="1,2,4", help="Mask values that are tumour (default: every value above 0)."),
]
PatientPattern = Annotated[
    str | None,
    typer.Option(
        "--patient-pattern",
        metavar="REGEX",
        help="Finds the patient in the name of a case: group 1, or the whole match.",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print the result as one JSON document.")]
Overwrite = Annotated[
    bool,
    typer.Option("--overwrite", help="Replace files that this command wrote earlier. Foreign or changed files stay."),
]
Out = Annotated[Path, typer.Option("--out", help="Folder for the results."), Output.FOLDER]
Cache = Annotated[
    Path | None,
    typer.Option("--cache", help="Folder for preprocessed slices (default: the user's cache)."),
    Output.FOLDER,
]
Seed = Annotated[int, typer.Option("--seed", min=0)]


class Subset(StrEnum):
    """The sides of a split."""

    train = "train"
    validation = "validation"


class Grouping(StrEnum):
    """The unit that a split keeps on one side."""

    patient = "patient"
    site = "site"
    slice = "slice"


class PatientGrouping(StrEnum):
    """The unit that a split keeps on one side, if it does not leak patients."""

    patient = "patient"
    site = "site"


class DeviceName(StrEnum):
    """The device for training."""

    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"


class EngineName(StrEnum):
    """The library that runs the network."""

    onnxruntime = "onnxruntime"
    openvino = "openvino"
    torch = "torch"


class TrackerName(StrEnum):
    """The program that draws curves of runs."""

    tensorboard = "tensorboard"
    mlflow = "mlflow"
    wandb = "wandb"
    none = "none"


class Weights(StrEnum):
    """The format of exported weights."""

    onnx = "onnx"
    openvino = "openvino"
    safetensors = "safetensors"


Model = Annotated[Path | None, typer.Option("--model", help="A run folder, a model folder, or a bundled model's name.")]
Predictions = Annotated[
    Path | None,
    typer.Option(
        "--predictions", metavar="DIR", help="Measure the masks in this folder, made by any tool; no model runs."
    ),
]
Resample = Annotated[
    bool,
    typer.Option(
        "--resample", help="Resample masks of --predictions that are on another grid than their scan (nearest voxel)."
    ),
]
Engine = Annotated[EngineName, typer.Option("--engine", help="Library that runs the network.")]
Splits = Annotated[Path | None, typer.Option("--splits", help="A file that `gliomaseg split` wrote.")]
Fold = Annotated[int, typer.Option("--fold", help="Fold of the splits file, from 0.")]
Folds = Annotated[
    int | None, typer.Option("--folds", min=2, help="Number of folds; each patient validates once (default: 5).")
]
Recipe = Annotated[
    str, typer.Argument(metavar="RECIPE", help="A packaged recipe (see `gliomaseg models`) or a TOML file.")
]
TrainingData = Annotated[Path, typer.Option("--data", help="A folder of scans and masks, or a manifest file.")]
Sets = Annotated[
    list[str] | None, typer.Option("--set", metavar="section.key=value", help="Change one setting of the recipe.")
]
Device = Annotated[DeviceName, typer.Option("--device", help="Device for training.")]
Devices = Annotated[
    str | None,
    typer.Option("--devices", metavar="0,1,...", help="GPUs that train folds side by side, one fold on each."),
]
Jobs = Annotated[
    int, typer.Option("--jobs", min=1, metavar="N", help="Folds that train side by side; they share the cores.")
]
Tracker = Annotated[
    list[TrackerName] | None,
    typer.Option("--tracker", help="Program that draws curves; repeatable (default: tensorboard if installed)."),
]
Resume = Annotated[bool, typer.Option("--resume", help="Continue an interrupted run.")]
Spacing = Annotated[
    tuple[float, float, float] | None,
    typer.Option("--spacing-mm", metavar="Z Y X", help="Voxel spacing of images in mm; volumes have their own."),
]
Tolerance = Annotated[
    float, typer.Option("--tolerance", min=0, help="Tolerance of surface_dice, in mm if the spacing is known.")
]
FoldsBy = Annotated[
    PatientGrouping | None, typer.Option("--by", help="site: each fold leaves one site out (default: the recipe's).")
]
Tune = Annotated[
    bool, typer.Option("--tune", help="Fit threshold, temperature and smallest component on the other folds.")
]
Inputs = Annotated[
    list[Path] | None,
    typer.Argument(
        metavar="INPUT...",
        help="NIfTI, NRRD, MetaImage, DICOM, TIFF, PNG or JPEG files, folders of them, or zips of DICOM.",
    ),
]
Flair = Annotated[Path | None, typer.Option("--flair", help="FLAIR of one case, instead of INPUT.")]
T1 = Annotated[Path | None, typer.Option("--t1", help="T1 before contrast of the same case.")]
T1ce = Annotated[Path | None, typer.Option("--t1ce", help="T1 after contrast of the same case.")]
Series = Annotated[
    str | None, typer.Option("--series", help="UID or number of the DICOM series (default: the FLAIR series).")
]
T1Series = Annotated[
    str | None,
    typer.Option("--t1-series", metavar="NUMBER|UID", help="Series of the same DICOM files: T1 before contrast."),
]
T1ceSeries = Annotated[
    str | None,
    typer.Option("--t1ce-series", metavar="NUMBER|UID", help="Series of the same DICOM files: T1 after contrast."),
]
MaskFormats = Annotated[
    list[MaskFormat] | None, typer.Option("--to", help="Format of the masks (default: the input's format).")
]
Probabilities = Annotated[bool, typer.Option("--probabilities", help="Also write probabilities.")]
SkipExisting = Annotated[bool, typer.Option("--skip-existing", help="Do not predict scans whose results exist.")]
Part = Annotated[
    str | None,
    typer.Option("--part", metavar="I/N", help="Predict every N-th input of the sorted list, from the I-th."),
]
CsvFile = Annotated[
    Path | None, typer.Option("--csv", metavar="FILE", help="Also write a table with a row for each scan.")
]
Deidentify = Annotated[
    bool, typer.Option("--deidentify", help="Omit the patient's name, id and dates from DICOM segmentations.")
]
MaxMemory = Annotated[
    str, typer.Option("--max-memory", metavar="BYTES", help="Refuse inputs that need more memory, such as 2G or 800M.")
]


class StrictCommand(TyperCommand):
    """A command that refuses empty values, and options for one value that are given twice."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the arguments of the command line, as typer does.

        Raises:
            Exception: typer's usage error; an option for one value is given twice, or a value is empty.
        """
        values, _, order = self.make_parser(ctx).parse_args(args=list(args))
        left = super().parse_args(ctx, args)  # `--help` ends here
        for parameter in [] if ctx.resilient_parsing else order:  # a shell completes what may be unfinished
            name = parameter.opts[0] if parameter.opts[0].startswith("-") else (parameter.metavar or "").rstrip(".")
            given = values.get(str(parameter.name))
            if given == "" or (isinstance(given, list | tuple) and "" in given):
                ctx.fail(f"the value of {name} is empty")
            if isinstance(given, str) and order.count(parameter) > 1:
                ctx.fail(f"{name} is given more than once")
        return left
