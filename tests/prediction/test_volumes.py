"""Prediction of volumes: the mask has the grid of the input in every orientation, and the statistics are right."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from nibabel.nifti1 import Nifti1Image
from numpy.typing import NDArray
from PIL import Image
from scipy.spatial.transform import Rotation

from files import touch
from gliomaseg import overlays
from gliomaseg.errors import DataError, FormatError, ResourceError
from gliomaseg.formats import FileKind, Grid, write_picture, write_volume, written_suffixes
from gliomaseg.metrics import overlap
from gliomaseg.phantoms import write_phantoms
from gliomaseg.prediction import PredictOptions, Predictor, PredictRow, list_inputs, open_predictor
from gliomaseg.prediction.predict import predict
from gliomaseg.types import Batch, Probability
from orientation_cases import ALL_48, turn_affine, turn_back

SHAPE = (26, 90, 80)  # z, y, x
LPS = np.array([[-2.0, 0, 0, 79], [0, -2, 0, 89], [0, 0, 5, -60], [0, 0, 0, 1]])  # x, y, z; 2 x 2 x 5 mm


def head(shape: tuple[int, ...] = SHAPE, affine: NDArray[Any] = LPS) -> tuple[NDArray[np.int16], NDArray[np.bool_]]:
    """Return a head of 400 in noise below 20 with a tumour of 1,000, and the tumour: 25 mm around L30 A20 S10."""
    z, y, x = np.meshgrid(*(np.arange(length) for length in shape), indexing="ij")
    places = np.stack([x, y, z, np.ones_like(x)], axis=-1) @ affine.T
    volume = np.random.default_rng(0).integers(0, 20, shape)
    volume[np.linalg.norm(places[..., :3] / [70, 85, 62], axis=-1) < 1] += 400
    tumour = np.linalg.norm(places[..., :3] - [-30, 20, 10], axis=-1) < 25
    volume[tumour] += 600
    return volume.astype(np.int16), tumour


def save(path: Path, volume: NDArray[Any], affine: NDArray[Any] = LPS, **fields: Any) -> Path:
    """Write a volume (z, y, x) as NIfTI."""
    image = Nifti1Image(volume.T, affine)
    for name, value in fields.items():
        image.header[name] = value
    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(image, path)
    return path


@pytest.fixture(scope="module")
def predictor(bright: Path) -> Predictor:
    return open_predictor(bright)


def predicted(path: Path, out: Path, predictor: Predictor, **options: Any) -> PredictRow:
    (entry,) = list_inputs([path])
    return predict(entry, out, predictor, PredictOptions(**options))


def mask_of(out: Path, name: str = "scan") -> NDArray[np.bool_]:
    return (np.asarray(nibabel.load(out / f"{name}_mask.nii.gz").dataobj) > 0).T


# --- geometry


def test_the_mask_is_the_same_in_all_48_orientations(predictor: Predictor, tmp_path: Path) -> None:
    volume, tumour = head()
    masks = []
    for number, orientation in enumerate(ALL_48):
        affine = turn_affine(orientation, LPS, SHAPE)
        path = save(tmp_path / str(number) / "scan.nii", orientation.turn(volume), affine)
        row = predicted(path, tmp_path / str(number), predictor)
        assert row.error is None
        mask = mask_of(tmp_path / str(number))
        assert mask.shape == orientation.turn(volume).shape
        assert row.orientation == "".join(nibabel.aff2axcodes(affine))
        masks.append(turn_back(orientation, mask))
    assert all(np.array_equal(mask, masks[0]) for mask in masks)
    assert overlap.dice(reference=tumour, predicted=masks[0]) > 0.97


@pytest.mark.parametrize(
    ("shape", "affine"),
    [
        ((70, 90, 75), np.diag([-2.0, -2, 2, 1])),  # as thin as wide
        ((30, 180, 160), np.array([[0, 0, 5.0, 0], [-1, 0, 0, 0], [0, -1, 0, 0], [0, 0, 0, 1]])),  # sagittal, 5 mm
        ((36, 160, 150), np.array([[-1.0, 0, 0, 0], [0, 0, 5, 0], [0, -1, 0, 0], [0, 0, 0, 1]])),  # coronal, 5 mm
        ((14, 300, 270), np.diag([-0.6, -0.6, 10, 1])),  # fine pixels, thick slices
    ],
)
def test_acquisitions_of_every_geometry_give_the_volume_of_the_tumour(
    shape: tuple[int, int, int], affine: NDArray[Any], predictor: Predictor, tmp_path: Path
) -> None:
    affine = affine.copy()
    affine[:3, 3] = -affine[:3, :3] @ ((np.array(shape[::-1]) - 1) / 2)  # the head is in the middle
    volume, tumour = head(shape, affine)
    row = predicted(save(tmp_path / "scan.nii", volume, affine), tmp_path / "out", predictor)
    assert row.error is None
    assert overlap.dice(reference=tumour, predicted=mask_of(tmp_path / "out")) > 0.93
    true_ml = tumour.sum() * abs(np.linalg.det(affine[:3, :3])) / 1000
    assert row.tumour_volume_ml == pytest.approx(true_ml, rel=0.08)


@pytest.mark.parametrize("angles", [(10, 5, -8), (-20, 15, 30), (35, 0, 0)])
def test_the_tumour_is_segmented_in_oblique_scans(
    angles: tuple[float, ...], predictor: Predictor, tmp_path: Path
) -> None:
    affine = np.eye(4)
    affine[:3, :3] = Rotation.from_euler("xyz", angles, degrees=True).as_matrix() @ np.diag([-2.0, -2, 4])
    affine[:3, 3] = -affine[:3, :3] @ [44.5, 49.5, 21]
    volume, tumour = head((43, 100, 90), affine)
    row = predicted(save(tmp_path / "scan.nii.gz", volume, affine), tmp_path / "out", predictor)
    assert row.error is None
    assert overlap.dice(reference=tumour, predicted=mask_of(tmp_path / "out")) > 0.93


@pytest.mark.parametrize(("gain", "offset", "dtype"), [(1, 0, "f4"), (0.01, -3, "f8"), (30, -2000, "i4")])
def test_the_mask_does_not_depend_on_the_intensity_scale(
    gain: float, offset: float, dtype: str, predictor: Predictor, tmp_path: Path
) -> None:
    volume, _ = head()
    predicted(save(tmp_path / "scan.nii", volume), tmp_path / "a", predictor)
    predicted(save(tmp_path / "scan.nii", (volume * gain + offset).astype(dtype)), tmp_path / "b", predictor)
    assert overlap.dice(reference=mask_of(tmp_path / "a"), predicted=mask_of(tmp_path / "b")) > 0.99


def test_the_tumour_is_segmented_at_the_edge_of_a_large_field_of_view(predictor: Predictor, tmp_path: Path) -> None:
    volume, tumour = head()
    wide = np.pad(volume, ((0, 0), (0, 90), (100, 0)))
    row = predicted(save(tmp_path / "scan.nii", wide), tmp_path / "out", predictor)
    assert row.error is None
    truth = np.pad(tumour, ((0, 0), (0, 90), (100, 0)))
    assert overlap.dice(reference=truth, predicted=mask_of(tmp_path / "out")) > 0.97


def test_the_tumour_volume_of_a_phantom_is_measured(predictor: Predictor, tmp_path: Path) -> None:
    """The exact mask, given as a picture of itself: what is lost is what preparing and restoring lose."""
    root = write_phantoms(tmp_path, patients=3, side_px=128, kind="nifti")
    for folder in root.iterdir():
        path = folder / f"{folder.name}_seg.nii.gz"
        row = predicted(path, tmp_path / "out", predictor)
        truth = np.asarray(nibabel.load(path).dataobj).T > 0
        true_ml = truth.sum() * np.prod(nibabel.load(path).header.get_zooms()) / 1000
        assert row.tumour_volume_ml == pytest.approx(true_ml, rel=0.1)
        mask = mask_of(tmp_path / "out", f"{folder.name}_seg")
        assert overlap.dice(reference=truth, predicted=mask) > 0.93


# --- what is written


def test_the_mask_has_the_inputs_grid_and_no_names(predictor: Predictor, tmp_path: Path) -> None:
    names = {"descrip": b"MUSTERMANN^ERIKA", "aux_file": b"MUSTERMANN", "db_name": b"MUSTERMANN"}
    path = save(tmp_path / "scan.nii.gz", head()[0], qform_code=1, sform_code=4, xyzt_units=2, **names)
    row = predicted(path, tmp_path / "out", predictor, probabilities=True)
    before = nibabel.load(path)
    for name in ("scan_mask.nii.gz", "scan_probability.nii.gz"):
        after = nibabel.load(tmp_path / "out" / name)
        assert after.shape == before.shape
        for field in ("qform_code", "sform_code", "srow_x", "srow_y", "srow_z", "quatern_b", "qoffset_z", "xyzt_units"):
            assert np.array_equal(after.header[field], before.header[field]), field
        assert b"MUSTER" not in after.header.binaryblock
    assert nibabel.load(tmp_path / "out" / "scan_mask.nii.gz").get_data_dtype() == np.uint8
    likely = nibabel.load(tmp_path / "out" / "scan_probability.nii.gz")
    assert likely.get_data_dtype() == np.float32
    assert np.array_equal(np.asarray(likely.dataobj).T > 0.5, mask_of(tmp_path / "out"))
    assert [Path(output).name for output in row.outputs] == [
        "scan_mask.nii.gz", "scan_overlay.png", "scan_probability.nii.gz",
    ]  # fmt: skip
    assert "MUSTER" not in json.dumps(row.document())


@pytest.mark.parametrize("suffix", written_suffixes(FileKind.VOLUME))
def test_every_volume_format_gives_the_same_mask_on_its_grid(suffix: str, predictor: Predictor, tmp_path: Path) -> None:
    volume, _ = head()
    predicted(save(tmp_path / "nifti" / "scan.nii", volume), tmp_path / "expected", predictor)
    write_volume(tmp_path / f"scan{suffix}", volume, Grid(SHAPE, LPS), description="image")
    row = predicted(tmp_path / f"scan{suffix}", tmp_path / "out", predictor)
    assert row.error is None
    assert [Path(output).name for output in row.outputs] == ["scan_mask.nii.gz", "scan_overlay.png"]
    assert row.orientation == "LPS"
    assert np.array_equal(mask_of(tmp_path / "out"), mask_of(tmp_path / "expected"))
    assert np.allclose(nibabel.load(tmp_path / "out" / "scan_mask.nii.gz").affine, LPS)


def test_the_row_has_volume_and_position(predictor: Predictor, tmp_path: Path) -> None:
    row = predicted(save(tmp_path / "scan.nii", head()[0]), tmp_path / "out", predictor)
    mask = mask_of(tmp_path / "out")
    assert row.tumour_voxels == mask.sum()
    assert row.tumour_volume_ml == pytest.approx(mask.sum() * 0.02)
    assert row.tumour_slices == mask.any(axis=(1, 2)).sum()
    assert row.largest_area_mm2 == mask.sum(axis=(1, 2)).max() * 4
    assert row.components == 1
    assert row.bounding_box is not None
    for axis, across in (("x", (0, 1)), ("y", (0, 2)), ("z", (1, 2))):
        places = np.flatnonzero(mask.any(axis=across))
        assert row.bounding_box[axis] == [places[0], places[-1]]
    assert row.extent_mm == pytest.approx({"x": 50, "y": 50, "z": 50}, abs=5)


def test_label_files_are_written_beside_the_masks(predictor: Predictor, tmp_path: Path) -> None:
    predicted(save(tmp_path / "scan.nii", head()[0]), tmp_path / "out", predictor)
    lines = (tmp_path / "out" / "glioma_labels.txt").read_text().splitlines()
    assert [line.split() for line in lines if line.endswith('"glioma"')] == [
        ["1", "230", "159", "0", "1", "1", "1", '"glioma"']
    ]
    assert "1 glioma 230 159 0 255" in (tmp_path / "out" / "glioma_labels.ctbl").read_text()


def test_the_overlay_shows_the_slices_with_tumour_and_the_adjacent_slices(
    predictor: Predictor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: dict[str, Any] = {}
    draw = overlays.contact_sheet
    monkeypatch.setattr(
        overlays, "contact_sheet", lambda tiles, **words: (drawn.update(words), draw(tiles, **words))[1]
    )
    row = predicted(save(tmp_path / "scan.nii", head()[0]), tmp_path / "out", predictor)
    assert row.tumour_slices is not None
    assert len(drawn["notes"]) == min(12, row.tumour_slices + 2)
    assert drawn["sides"] == ("R", "L")
    assert f"{row.tumour_volume_ml:.1f} ml in {row.tumour_slices} slices" in drawn["heading"][0]
    sheet = np.asarray(Image.open(tmp_path / "out" / "scan_overlay.png"))
    assert (sheet == overlays.PREDICTED_COLOUR).all(axis=2).sum() > 200


class ZeroEngine:
    """An engine whose probabilities are all 0."""

    def probabilities(self, batch: Batch) -> Probability:
        return np.zeros((len(batch), *batch.shape[2:]), np.float32)


def test_the_overlay_of_an_empty_mask_is_titled_nothing_found(
    predictor: Predictor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: dict[str, Any] = {}
    draw = overlays.contact_sheet
    monkeypatch.setattr(
        overlays, "contact_sheet", lambda tiles, **words: (drawn.update(words), draw(tiles, **words))[1]
    )
    path = save(tmp_path / "scan.nii", head()[0])
    row = predicted(path, tmp_path / "out", Predictor(predictor.model, ZeroEngine()))
    assert "nothing found" in drawn["heading"][0]
    assert drawn["notes"][0] == "slice 7 of 26"
    assert not mask_of(tmp_path / "out").any()
    assert (row.tumour_voxels, row.tumour_volume_ml, row.largest_area_mm2, row.components) == (0, 0, 0, 0)
    assert (row.bounding_box, row.extent_mm, row.error) == (None, None, None)


def test_existing_results_are_kept_without_overwrite(predictor: Predictor, tmp_path: Path) -> None:
    path = save(tmp_path / "scan.nii", head()[0])
    out = tmp_path / "out"
    assert predicted(path, out, predictor).error is None
    assert "--overwrite" in (predicted(path, out, predictor).error or "")
    assert predicted(path, out, predictor, overwrite=True).error is None


def test_own_label_files_are_kept(predictor: Predictor, tmp_path: Path) -> None:
    path = save(tmp_path / "scan.nii", head()[0])
    out = tmp_path / "out"
    out.mkdir()
    (out / "glioma_labels.txt").write_text("my colours")
    assert predicted(path, out, predictor).error is None
    assert predicted(path, out, predictor, overwrite=True).error is None
    assert (out / "glioma_labels.txt").read_text() == "my colours"


def test_probabilities_of_pictures_are_pictures(predictor: Predictor, tmp_path: Path) -> None:
    write_picture(tmp_path / "a.png", np.full((20, 30), 255, np.uint8))
    row = predicted(tmp_path / "a.png", tmp_path / "out", predictor, probabilities=True)
    assert [Path(output).name for output in row.outputs] == ["a_mask.png", "a_overlay.png", "a_probability.png"]
    assert np.asarray(Image.open(tmp_path / "out" / "a_probability.png")).min() == 255


# --- what fails


def test_a_bad_volume_gives_a_row_with_its_reason_and_no_files(predictor: Predictor, tmp_path: Path) -> None:
    (tmp_path / "scan.nii.gz").write_bytes(b"\x1f\x8b")
    row = predicted(tmp_path / "scan.nii.gz", tmp_path / "out", predictor)
    assert isinstance(row.fault, FormatError)
    assert "cut short" in (row.error or "")
    assert row.document()["tumour_voxels"] is None
    assert not (tmp_path / "out").exists()


def test_a_volume_over_the_memory_limit_gives_a_row_with_the_error(predictor: Predictor, tmp_path: Path) -> None:
    row = predicted(save(tmp_path / "scan.nii", head()[0]), tmp_path / "out", predictor, max_bytes=1_000_000)
    assert isinstance(row.fault, ResourceError)
    assert "--max-memory" in (row.error or "")


# --- which files


def names(*paths: Path) -> list[str]:
    return sorted(entry.name for entry in list_inputs(list(paths)))


def test_a_folder_of_volumes_gives_one_input_for_each_volume(tmp_path: Path) -> None:
    assert names(touch(tmp_path, "a.nii", "b.nii.gz", "a_mask.nii.gz", "b_probability.nii.gz", "c.txt")) == ["a", "b"]


def test_only_flair_is_chosen_among_the_sequences_of_a_case(tmp_path: Path) -> None:
    touch(tmp_path, *(f"case-000-{kind}.nii.gz" for kind in ("t1n", "t1c", "t2w", "t2f", "seg")))
    assert names(tmp_path) == ["case-000-t2f"]
    assert names(touch(tmp_path, "other-t1c.nii.gz")) == ["case-000-t2f", "other-t1c"]


def test_cases_with_equal_file_names_are_named_after_their_folders(tmp_path: Path) -> None:
    touch(tmp_path, "anna/flair.nii.gz", "berta/flair.nii.gz", "berta/t1.nii.gz", "carla/carla_flair.nii")
    assert names(tmp_path) == ["anna_flair", "berta_flair", "carla_flair"]
    assert names(tmp_path / "anna", tmp_path / "berta") == ["anna_flair", "berta_flair"]


def test_an_empty_folder_names_the_known_formats(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"\.nii\.gz"):
        list_inputs([touch(tmp_path, "a.txt")])
