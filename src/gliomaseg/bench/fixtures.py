"""Phantoms and models for the sections: written at first use, in the benchmark's temporary folder."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gliomaseg.config import Preprocessing, Recipe, read_recipe
from gliomaseg.data.case_list import CaseList
from gliomaseg.data.layouts import read_cases
from gliomaseg.errors import import_extra
from gliomaseg.formats import Grid, write_volume
from gliomaseg.model import CONFIG, METRICS, load_model, write_digests
from gliomaseg.phantoms import phantom_patient, write_phantoms
from gliomaseg.preprocessing import prepare
from gliomaseg.pretrained import MODELS, find_model
from gliomaseg.scan import Scan
from gliomaseg.types import Batch

if TYPE_CHECKING:
    from torch import Tensor, nn

BATCH = 4  # slices in a batch, as in prediction and in the reference recipe
QUICK_PX = 64
TUMOUR_SHARE = 0.01  # of all pixels, as in the LGG data set


@dataclass(frozen=True)
class Sizes:
    """The recipes, and the numbers of patients, slices and turns of a benchmark.

    Attributes:
        name: "quick", "normal" or "full".
        reference_recipe: recipe of the reference network, the baseline of other networks.
        small_recipe: recipe of the small network, if no model is named or bundled.
        patients: number of phantom patients in the data set.
        side_px: width and height of the phantoms' slices.
        turns: number of turns of each side.
        budget_s: seconds for one figure, after which no further turn starts.
        training_steps: training steps a turn, on a CPU.
        reference_slices: slices a turn that the reference network predicts.
        small_slices: slices a turn that the small network predicts.
        startup_turns: number of turns of each cold start.
        volume_slices: number of slices of the NIfTI volume.
        scaling_slices: numbers of slices to predict, in ascending order.
        scaling_turns: number of turns of each number of slices or patients.
        scaling_patients: small and large number of patients to evaluate.
        slices_per_patient: slices of each evaluated patient.
    """

    name: str
    reference_recipe: Recipe
    small_recipe: Recipe
    patients: int = 6
    side_px: int = 256
    turns: int = 3
    budget_s: float = 30.0
    training_steps: int = 1
    reference_slices: int = 4
    small_slices: int = 32
    startup_turns: int = 3
    volume_slices: int = 30
    scaling_slices: tuple[int, ...] = (100, 1_000)
    scaling_turns: int = 2
    scaling_patients: tuple[int, int] = (10, 100)
    slices_per_patient: int = 4


def sizes_for(*, quick: bool = False, full: bool = False) -> Sizes:
    """Return the sizes of the options `--quick` or `--full`; realistic sizes without them."""
    reference, small = read_recipe("fcn_resnet50"), read_recipe("residual_unet")
    if quick:
        size = [f"preprocessing.size_px={QUICK_PX}"]
        return Sizes(
            "quick",
            reference.with_settings(size),
            small.with_settings(size),
            patients=1,
            side_px=QUICK_PX,
            turns=2,
            small_slices=4,
            startup_turns=2,
            volume_slices=6,
            scaling_slices=(6, 24),
            scaling_turns=1,
            scaling_patients=(1, 3),
            slices_per_patient=2,
        )
    if full:
        return Sizes("full", reference, small, scaling_slices=(100, 1_000, 10_000))
    return Sizes("normal", reference, small)


class Fixtures:
    """The phantoms and models of one benchmark.

    Attributes:
        folder: the temporary folder.
        sizes: recipes and numbers.
        log: is called with one line of progress for each step.
    """

    def __init__(self, folder: Path, sizes: Sizes, *, model: Path | None, log: Callable[[str], None]) -> None:
        """Keep the settings. `model` replaces the small network; without it, the default bundled model does."""
        self.folder = folder
        self.sizes = sizes
        self.log = log
        self._model = model or bundled_model()

    @cached_property
    def index(self) -> CaseList:
        """Phantom patients as a data set in the Kaggle layout."""
        sizes = self.sizes
        self.log(f"making {sizes.patients} phantom patients")
        return read_cases(write_phantoms(self.folder / "data", patients=sizes.patients, side_px=sizes.side_px))

    @cached_property
    def image_files(self) -> list[tuple[Path, Path]]:
        """Image and mask file of each slice of the data set."""
        return [(entry.image, entry.mask) for case in self.index.cases for entry in case.slices]

    @cached_property
    def scan(self) -> Scan:
        """Slices of one phantom patient without an affine, as many as the largest turn of prediction needs."""
        count = max(self.sizes.reference_slices, self.sizes.small_slices)
        return Scan(phantom_patient(0, side_px=self.sizes.side_px, slices=count).image, source="phantom")

    @cached_property
    def volume(self) -> Path:
        """A FLAIR volume of one phantom patient as a NIfTI file."""
        patient = phantom_patient(1, side_px=self.sizes.side_px, slices=self.sizes.volume_slices)
        z_mm, y_mm, x_mm = patient.spacing_mm
        z, y, x = patient.mask.shape
        grid = Grid((z, y, x), np.diag([-x_mm, -y_mm, z_mm, 1.0]))
        path = self.folder / "volume_flair.nii.gz"
        write_volume(path, patient.image[..., 1].astype(np.int16), grid, description="image")
        return path

    @cached_property
    def reference_model(self) -> Path:
        """Model folder of the reference network, with random weights."""
        return self._export_untrained(self.sizes.reference_recipe, "reference")

    @cached_property
    def small_model(self) -> Path:
        """Folder of the user's model or of the bundled model; else of the small network, with random weights."""
        return self._model or self._export_untrained(self.sizes.small_recipe, "small")

    @cached_property
    def small_fp32_model(self) -> Path:
        """`small_model` if it is fp32 and has weights for PyTorch; else the small network with random weights."""
        model = load_model(self.small_model)
        usable = model.weights.is_file() and model.config.onnx_precision == "fp32"
        return self.small_model if usable else self._export_untrained(self.sizes.small_recipe, "small")

    def _export_untrained(self, recipe: Recipe, name: str) -> Path:
        import_train_extra("gliomaseg.training.onnx_export")
        self.log(f"exporting {recipe.network.name}, untrained")
        return export_untrained(recipe, self.folder / name)


def export_untrained(recipe: Recipe, folder: Path) -> Path:
    """Write a recipe's network with random weights as a new model folder, and return the folder.

    An untrained network takes the same time as a trained one. The statistics of its batch normalisation come from a
    phantom. Its last bias makes a hundredth of the phantom's pixels tumour, so that masks have borders, where rounding
    can change pixels.
    """
    import torch
    from torch import nn

    from gliomaseg.networks import build_network
    from gliomaseg.training.onnx_export import export_network

    settings = recipe.network.without_pretrained_weights()  # works offline
    torch.manual_seed(0)
    network = build_network(settings, recipe.preprocessing.inputs)
    batch = torch.from_numpy(_phantom_batch(recipe))
    with torch.no_grad():
        for layer in network.modules():
            if isinstance(layer, nn.BatchNorm2d):
                layer.momentum = None  # the running statistics become those of this batch
        network.train()(batch)
        logits = network.eval()(batch)
        difference = (logits[:, 1] - logits[:, 0]).flatten()
        quantile = difference.kthvalue(round((1 - TUMOUR_SHARE) * len(difference))).values
        _last_bias(network)[1] -= quantile
    folder.mkdir()
    export_network(network, recipe.model_copy(update={"network": settings}), folder, name="untrained")
    write_digests(folder)
    return folder


def _phantom_batch(recipe: Recipe) -> Batch:
    side_px = min(256, recipe.preprocessing.size_px)
    patient = phantom_patient(2, side_px=side_px, slices=6)
    prepared = prepare(Scan(patient.image, source="phantom"), recipe.preprocessing)
    return next(prepared.batches(3, np.arange(2, 5)))


def _last_bias(network: nn.Module) -> Tensor:
    """Return the bias, shape (2,), of the layer that computes the logits; of the finest level if there are several."""
    from torch import nn

    layers = [layer for layer in network.modules() if isinstance(layer, nn.Conv2d) and layer.out_channels == 2]
    if not layers or layers[0].bias is None:
        raise ValueError("the network has no convolution with two outputs and a bias")
    return layers[0].bias


def import_train_extra(module: str) -> Any:
    """Import a module that needs the extra `train`.

    Raises:
        MissingExtraError: the extra is not installed.
    """
    return import_extra(module, "train", purpose="this figure")


def bundled_model() -> Path | None:
    """Return the folder of the default bundled model; None if no model is bundled."""
    return find_model(None) if MODELS else None


def read_dice_volume(model: Path) -> float | None:
    """Return the mean `dice_volume`, 0 to 1, from the metrics of a run or model folder; None if it is missing."""
    folder = model / "model" if (model / "model" / CONFIG).is_file() else model
    try:
        value: float = json.loads((folder / METRICS).read_text("utf-8"))["summary"]["dice_volume"]["mean"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return value


def first_batches(scan: Scan, settings: Preprocessing, count: int) -> list[Batch]:
    """Return the first `count` slices of a scan as normalised batches of at most four, float32, (n, c, y, x)."""
    return list(prepare(scan, settings).batches(BATCH, np.arange(count)))
