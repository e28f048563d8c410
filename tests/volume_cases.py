"""Small volumes and data sets of volumes, and a test that such a data set trains and is scored."""

from dataclasses import replace
from pathlib import Path

import nibabel
import numpy as np
from nibabel.nifti1 import Nifti1Image

from gliomaseg.geometry import Orientation
from gliomaseg.phantoms import phantom_patient
from gliomaseg.prediction import Predictor
from gliomaseg.types import Sequence
from orientation_cases import turn_affine

FILES = {Sequence.FLAIR: "flair.nii.gz", Sequence.T1: "t1.nii.gz"}
MASK = "mask.nii.gz"
SHAPE = (6, 5, 4)
AFFINE = np.diag([-1.0, -1.0, 3.0, 1.0])
AXIAL, CORONAL = Orientation(), Orientation((1, 0, 2), (False, True, False))
SAGITTAL = Orientation((2, 1, 0), (True, False, False))
# Orientation, slices that each slice is repeated to, side in pixels, and whether there is T1.
KINDS = (
    (AXIAL, 1, 64, True),
    (CORONAL, 1, 64, True),
    (SAGITTAL, 1, 80, False),
    (AXIAL, 4, 64, True),
    (Orientation((0, 1, 2), (True, False, True)), 1, 96, False),
    (AXIAL, 1, 72, True),
)


def noise(seed: int) -> np.ndarray:
    """Return int16 voxels (x, y, z) of `SHAPE`."""
    return np.random.default_rng(seed).integers(0, 900, SHAPE).astype(np.int16)


def save(path: Path, voxels: np.ndarray, affine: np.ndarray = AFFINE) -> Path:
    """Write voxels (x, y, z) or (x, y, z, channel) as NIfTI."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Nifti1Image(voxels, affine).to_filename(path)
    return path


def taking_t1(predictor: Predictor) -> Predictor:
    """Return a predictor whose model lists T1 among its input sequences; its network stays the same."""
    config = predictor.model.config.model_copy(update={"sequences": ("t1", "flair")})
    return Predictor(replace(predictor.model, config=config), predictor._engine)


def require_training_and_scores(data: Path, folder: Path, *, cases: int) -> None:
    """Train one epoch on a data set whose cases have tumour, score it, and check that all cases have scores."""
    from gliomaseg.config import read_recipe
    from gliomaseg.evaluation import EvaluateOptions, evaluate_into
    from gliomaseg.prediction.predictor import open_predictor
    from gliomaseg.training.run_folder import TrainOptions
    from gliomaseg.training.train import train

    settings = [
        "preprocessing.size_px=64",
        "network.levels=2",
        "network.base_features=4",
        "training.epochs=1",
        "training.batch=8",
    ]
    recipe = read_recipe("unet_small").with_settings([*settings, 'training.precision="fp32"'])
    model = train(TrainOptions(recipe, data, folder / "run", cache=folder / "cache"), say=lambda _text: None)
    result = evaluate_into(EvaluateOptions(data, folder / "scores"), open_predictor(model))
    assert [row.error for row in result.patients] == [None] * cases
    assert all(row["reference_ml"] > 0 for row in result.patients)
    assert (folder / "scores" / "metrics.json").is_file()


def write_volume_cases(root: Path, *, count: int = len(KINDS), slices: int = 16, tumour: int = 1) -> Path:
    """Write `root/case-<n>/`, as BraTS folders, with NIfTI volumes of phantoms.

    They have different sizes, orientations, slice spacings and sequences. `tumour` is the value of the masks.
    """
    for index in range(count):
        orientation, repeats, side, has_t1 = KINDS[index % len(KINDS)]
        patient = phantom_patient(index, side_px=side, slices=slices)
        z, y, x = patient.spacing_mm
        affine = np.diag([-x, -y, z / repeats, 1.0])
        shape = (slices * repeats, side, side)
        affine[:3, 3] = -affine[:3, :3] @ ((np.array(shape[::-1]) - 1) / 2)
        folder = root / f"case-{index}"
        folder.mkdir(parents=True)
        arrays = {FILES[Sequence.FLAIR]: patient.image[..., 1], MASK: patient.mask * np.uint8(tumour)}
        if has_t1:
            arrays[FILES[Sequence.T1]] = patient.image[..., 0]
        for name, array in arrays.items():
            turned = orientation.turn(np.repeat(array, repeats, axis=0))
            image = Nifti1Image(np.ascontiguousarray(turned.T), turn_affine(orientation, affine, shape))
            nibabel.save(image, folder / name)
    return root
