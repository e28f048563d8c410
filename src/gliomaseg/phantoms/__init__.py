"""Synthetic patients that resemble the LGG MRI data set, for tests, demonstrations and learning.

They contain no data of real persons. `anatomy`, `brain` and `tumour` draw a head from the solids of `shapes`,
`acquisition` simulates the scan, and `writers` writes the files.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gliomaseg.choices import PhantomFormat
from gliomaseg.errors import ConfigError
from gliomaseg.ownership import OutputFolder
from gliomaseg.phantoms.acquisition import draw_acquisition
from gliomaseg.phantoms.anatomy import Head, Image, cavity, draw_outside
from gliomaseg.phantoms.brain import paint_fluid, paint_rims, paint_tissue, shape_brain
from gliomaseg.phantoms.shapes import SliceGrid, Texture, inside
from gliomaseg.phantoms.tumour import Tumour, draw_tumour
from gliomaseg.phantoms.writers import DESCRIPTIONS, WRITERS, PhantomPatient

PREFIX = "PHANTOM_"
SITES = ("AA", "BB", "CC")
BLOCK_PATIENTS = 16  # in each block of patients, two lack t1ce and one lacks t1
MISSING_T1CE_PER_BLOCK = 2
MARGIN_PX = 2
MIN_BOX_PX = 4
FAT_SATURATED_SHARE = 0.4


def phantom_patient(index: int, *, seed: int = 0, side_px: int = 256, slices: int | None = None) -> PhantomPatient:
    """Return one synthetic patient: the same bytes for the same index, seed and sizes.

    On another processor or with another NumPy version, a few pixels may differ by one grey level.

    Args:
        index: number of the patient, from 0.
        seed: number of the set of patients, from 0.
        side_px: side of the square slices in pixels, at least 32.
        slices: number of slices; None draws 18 to 26.

    Raises:
        ConfigError: a number is too small.
    """
    _require_valid(index=index, seed=seed, side_px=side_px, slices=slices)
    shape_rng, tumour_rng, scan_rng = (np.random.default_rng(s) for s in np.random.SeedSequence((seed, index)).spawn(3))
    random_count = int(shape_rng.integers(18, 27))  # always drawn, so that `slices` does not change later draws
    count = random_count if slices is None else slices
    low_mm, high_mm = shape_rng.uniform(-36, -24), shape_rng.uniform(97, 105)
    head = _draw_head(shape_rng, slice_mm=(high_mm - low_mm) / count)
    tumour = draw_tumour(tumour_rng, head.texture, height_mm=high_mm - low_mm)
    acquisition = draw_acquisition(scan_rng)
    image = np.empty((count, side_px, side_px, 3), np.uint8)
    mask = np.zeros((count, side_px, side_px), np.bool_)
    for z, height_mm in enumerate(np.linspace(low_mm, high_mm, count)):
        grid = acquisition.grid(float(height_mm), side_px=side_px)
        signals, mask[z] = _draw_slice(head, tumour, grid)
        image[z] = acquisition.scan(signals, grid, scan_rng, low_mm=low_mm)
    missing = _missing_sequences(index, seed=seed)
    for sequence in missing:
        image[..., 0 if sequence == "t1" else 2] = image[..., 1]
    pixel_mm = acquisition.view_mm / side_px
    slice_mm = float(high_mm - low_mm) / max(1, count - 1)
    return PhantomPatient(_name(index, seed=seed), image, mask, missing, (slice_mm, pixel_mm, pixel_mm))


def _draw_slice(head: Head, tumour: Tumour, grid: SliceGrid) -> tuple[Image, NDArray[np.bool_]]:
    """Return the signals of one slice, float32 (3, y, x), and its tumour mask, bool (y, x)."""
    skull = cavity(grid)
    image = draw_outside(head, grid, skull)
    mask = np.zeros(skull.shape, np.bool_)
    rows, columns = np.flatnonzero((skull < 1).any(axis=1)), np.flatnonzero((skull < 1).any(axis=0))
    if min(rows.size, columns.size) < MIN_BOX_PX:
        return image, mask
    # Draw the brain in its bounding box only, because it fills less than half of a slice.
    box = (
        slice(max(int(rows[0]) - MARGIN_PX, 0), int(rows[-1]) + MARGIN_PX),
        slice(max(int(columns[0]) - MARGIN_PX, 0), int(columns[-1]) + MARGIN_PX),
    )
    brain = shape_brain(head, tumour.pushed(grid.cut(box), skull[box]), skull[box])
    brain_image = image[:, box[0], box[1]]
    paint_tissue(head, brain_image, brain)
    paint_rims(head, brain_image, brain)
    distance = tumour.distance(brain)
    tumour.paint(brain_image, brain, distance)
    paint_fluid(head, brain_image, brain, effaced=inside(distance, 3) * np.float32(0.75))
    mask[box] = distance < 0
    return image, mask


def _draw_head(rng: np.random.Generator, *, slice_mm: float) -> Head:
    """Return a random head; slice_mm is the thickness of its slices."""
    fat_saturated = rng.random() < FAT_SATURATED_SHARE
    fat = (
        rng.uniform(2.0, 3.0),
        rng.uniform(1.5, 2.4),
        rng.uniform(0.7, 1.1) if fat_saturated else rng.uniform(1.6, 2.4),
    )
    return Head(
        texture=Texture(rng),
        fat=fat,
        fluid_gap_mm=rng.uniform(0.6, 2.0),
        sulcus_mm=rng.uniform(0.5, 1.3),
        ventricle=rng.uniform(0.75, 1.3),
        bone_mm=rng.uniform(4.2, 6.2),
        rim=rng.uniform(0.3, 1.0),
        slice_mm=slice_mm,
    )


def _missing_sequences(index: int, *, seed: int) -> tuple[str, ...]:
    """Return the missing sequences: in each block of 16 patients, two lack t1ce and one lacks t1."""
    block, position = divmod(index, BLOCK_PATIENTS)
    generator = np.random.default_rng(np.random.SeedSequence((seed, block, 16)))
    rank = generator.permutation(BLOCK_PATIENTS)[position]
    if rank < MISSING_T1CE_PER_BLOCK:
        return ("t1ce",)
    return ("t1",) if rank == MISSING_T1CE_PER_BLOCK else ()


def _name(index: int, *, seed: int) -> str:
    """Return a name in the form of the data set: PHANTOM, site, number and a fictitious date."""
    number = 1000 + (index * 37 + seed * 101) % 9000
    return f"{PREFIX}{SITES[index % len(SITES)]}_{number:04d}_{20000101 + index % 28:08d}"


def _require_valid(*, index: int, seed: int, side_px: int, slices: int | None) -> None:
    for name, value, minimum in (("index", index, 0), ("seed", seed, 0), ("side_px", side_px, 32)):
        if value < minimum:
            raise ConfigError(f"{value} is too small", where=name, cure=f"give {minimum} or more")
    if slices is not None and slices < 1:
        raise ConfigError(f"{slices} is too small", where="slices", cure="give 1 or more")


def write_phantoms(  # noqa: PLR0913 - public API, keyword-only
    destination: Path,
    *,
    patients: int = 12,
    seed: int = 0,
    side_px: int = 256,
    overwrite: bool = False,
    progress: Callable[[str], None] | None = None,
    kind: PhantomFormat = PhantomFormat.tiff,
) -> Path:
    """Write synthetic patients in the layout of Kaggle's archive, or in another one, and return their folder.

    The files of a patient depend on `kind`. Missing sequences are copies of FLAIR in TIFF and for nnU-Net, and are not
    written in the other layouts.

    - TIFF: `kaggle_3m/<name>/<name>_<n>.tif` and `<name>_<n>_mask.tif` for each slice.
    - NIfTI: `nifti/<name>/<name>_flair.nii.gz` and so on for each sequence, and `<name>_seg.nii.gz`.
    - DICOM: a series in `dicom/<name>/flair` and so on for each sequence, and the segmentation `<name>_mask.dcm`.
    - BraTS: `brats/<name>/<name>-t2f.nii.gz`, `-t1n`, `-t1c` and `-seg`, as in 2023.
    - nnU-Net: `nnunet/imagesTr/<name>_0000.nii.gz` and so on, `nnunet/labelsTr/<name>.nii.gz` and `dataset.json`.
    - BIDS: `bids/sub-<label>/ses-<date>/anat/` with FLAIR and T1w, the masks in
      `bids/derivatives/masks/`, and the sites in `bids/participants.tsv`.

    Args:
        destination: the folder of the files above.
        patients: number of patients, at least 1. Patient k does not depend on this number.
        seed: number of the set of patients, from 0.
        side_px: side of the square slices in pixels, at least 32.
        overwrite: replace the phantoms of an earlier call, once the new ones are complete.
        progress: called with the name of each finished patient.
        kind: the file format or layout.

    Raises:
        ConfigError: a number is too small.
        OutputExistsError: the folder is not empty and overwrite is not set, or it has files that no earlier call
            wrote, or that were changed since.
        ResourceError: the disk is full.
        MissingExtraError: DICOM is chosen and its extra is not installed.
        GliomasegError: the folder cannot be written.
    """
    if patients < 1:
        raise ConfigError(f"{patients} is too small", where="patients", cure="give 1 or more")
    _require_valid(index=0, seed=seed, side_px=side_px, slices=None)
    root = Path(destination) / ("kaggle_3m" if kind == "tiff" else kind)
    # The manifest lies beside the patients' folders, not among them.
    output = OutputFolder(Path(destination), "phantom", option="folder")
    output.require_replaceable(root, overwrite=overwrite)
    drawn = (phantom_patient(index, seed=seed, side_px=side_px) for index in range(patients))
    with output.new_folder(root, overwrite=overwrite) as folder:
        _write_patients(drawn, folder, PhantomFormat(kind), progress or (lambda _name: None))
    return root


def _write_patients(
    patients: Iterable[PhantomPatient], folder: Path, kind: PhantomFormat, progress: Callable[[str], None]
) -> None:
    """Write patients in folders of their own, or all of them as one data set with a description."""
    for patient in patients:
        place = folder if kind in DESCRIPTIONS else folder / patient.name
        place.mkdir(exist_ok=True)
        WRITERS[kind](place, patient)
        progress(patient.name)
    if kind in DESCRIPTIONS:
        DESCRIPTIONS[kind](folder)
