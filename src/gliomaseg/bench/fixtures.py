"""What the sections work on, made when it is first asked for, in a folder that goes away."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from gliomaseg.config import Preprocessing, Recipe, read_recipe
from gliomaseg.data.index import DataIndex, read_index
from gliomaseg.errors import import_extra
from gliomaseg.formats import Grid, write_volume
from gliomaseg.model import CONFIG, METRICS, load_model
from gliomaseg.phantoms import phantom_patient, write_phantoms
from gliomaseg.preprocessing import prepare
from gliomaseg.pretrained import MODELS, find_model
from gliomaseg.scan import Scan
from gliomaseg.types import Batch

BATCH = 4  # as the predictor has it, and the reference
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


class Fixtures:
    """Phantoms and models of one benchmark."""

    def __init__(self, folder: Path, plan: Sizes, *, model: Path | None, log: Callable[[str], None]) -> None:
        self.folder = folder
        self.plan = plan
        self.log = log
        self._model = model or shipped_model()

    @cached_property
    def index(self) -> DataIndex:
        """Patients in the Kaggle layout."""
        self.log(f"making {self.plan.patients} phantom patients")
        return read_index(write_phantoms(self.folder / "data", patients=self.plan.patients, side_px=self.plan.side_px))

    @cached_property
    def scan(self) -> Scan:
        """One patient's slices as pictures."""
        count = max(self.plan.reference_slices, self.plan.small_slices)
        return Scan(phantom_patient(0, side_px=self.plan.side_px, slices=count).image, source="phantom")

    @cached_property
    def volume(self) -> Path:
        """One FLAIR volume as NIfTI."""
        patient = phantom_patient(1, side_px=self.plan.side_px, slices=self.plan.volume_slices)
        z_mm, y_mm, x_mm = patient.spacing_mm
        z, y, x = patient.mask.shape
        grid = Grid((z, y, x), np.diag([-x_mm, -y_mm, z_mm, 1.0]))
        path = self.folder / "volume_flair.nii.gz"
        write_volume(path, patient.image[..., 1].astype(np.int16), grid, description="image")
        return path

    @cached_property
    def reference(self) -> Path:
        """The model folder of the reference network, untrained."""
        return self._untrained(self.plan.reference, "reference")

    @cached_property
    def small(self) -> Path:
        """The model folder that the user names, or that ships; else that of the small network, untrained."""
        return self._model or self._untrained(self.plan.small, "small")

    @cached_property
    def small_for_both(self) -> Path:
        """The small network's model folder in fp32 with weights for PyTorch; untrained where the model is not so."""
        model = load_model(self.small)
        whole = model.weights.is_file() and model.config.onnx_precision == "fp32"
        return self.small if whole else self._untrained(self.plan.small, "small")

    def _untrained(self, recipe: Recipe, name: str) -> Path:
        module = with_torch("gliomaseg.bench.random_models")
        self.log(f"exporting {recipe.network.name}, untrained")
        folder: Path = module.export_untrained(recipe, self.folder / name)
        return folder


def with_torch(module: str) -> Any:
    """Import a module that needs the extra `train`.

    Raises:
        MissingExtraError: the extra is not installed.
    """
    return import_extra(module, "train", purpose="this figure")


def shipped_model() -> Path | None:
    """Return the folder of the default model that ships with the package; None where there is none."""
    return find_model(None) if MODELS else None


def scored(model: Path) -> float | None:
    """Return the mean `dice_volume` that a model folder says of its model; None where it says nothing."""
    folder = model / "model" if (model / "model" / CONFIG).is_file() else model
    try:
        value: float = json.loads((folder / METRICS).read_text("utf-8"))["summary"]["dice_volume"]["mean"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return value


def batches_of(scan: Scan, settings: Preprocessing, count: int) -> list[Batch]:
    """Return the first `count` slices of a scan as network input, in batches of four."""
    return list(prepare(scan, settings).batches(BATCH, np.arange(count)))
