from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gliomaseg.errors import DataError
from gliomaseg.formats import read_orientation, read_pages, read_picture, write_pages, write_picture
from gliomaseg.prediction import PredictOptions, list_inputs, open_predictor
from gliomaseg.prediction.predict import predict


@pytest.fixture(scope="module")
def predictor(trained):
    return open_predictor(trained)


@pytest.fixture
def patient(phantoms):
    return next(folder for folder in sorted(phantoms.iterdir()))


def first_slice(patient):
    return patient / f"{patient.name}_1.tif"


def test_a_case_folder_gives_one_row_with_a_mask_and_an_overlay_for_each_slice(patient, predictor, tmp_path):
    (entry,) = list_inputs([patient])
    row = predict(entry, tmp_path / "out", predictor)
    assert row.error is None
    assert len(row.outputs) == 16
    assert len(list((tmp_path / "out" / patient.name).iterdir())) == 16
    masks = [read_picture(tmp_path / "out" / patient.name / f"{patient.name}_{n}_mask.tif") for n in range(1, 9)]
    assert row.tumour_voxels == sum(int((mask > 0).sum()) for mask in masks)
    assert set(np.unique(np.stack(masks))) <= {0, 255}
    assert row.tumour_volume_ml is None


def test_slices_are_sorted_by_number(tmp_path):
    folder = tmp_path / "A_XX_1_20000101"
    folder.mkdir()
    for number in (1, 2, 10):
        write_picture(folder / f"{folder.name}_{number}.tif", np.zeros((8, 8, 3), np.uint8))
        write_picture(folder / f"{folder.name}_{number}_mask.tif", np.zeros((8, 8), np.uint8))
    (entry,) = list_inputs([folder])
    assert [file.stem.rsplit("_", 1)[1] for file in entry.pictures] == ["1", "2", "10"]


@pytest.mark.parametrize("suffix", [".tif", ".png"])
@pytest.mark.parametrize("shape", [(64, 64, 3), (50, 80, 3), (100, 40)])
def test_a_mask_has_the_size_and_format_of_its_image(suffix, shape, predictor, tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    write_picture(tmp_path / f"slice{suffix}", pixels)
    (entry,) = list_inputs([tmp_path / f"slice{suffix}"])
    row = predict(entry, tmp_path / "out", predictor)
    assert row.error is None
    assert read_picture(tmp_path / "out" / f"slice_mask{suffix}").shape == (*shape[:2], 1)
    assert read_picture(tmp_path / "out" / "slice_overlay.png").shape == (*shape[:2], 3)


def test_png_and_tiff_of_the_same_image_give_the_same_mask(patient, predictor, tmp_path):
    pixels = read_picture(first_slice(patient))
    masks = []
    for suffix in (".tif", ".png"):
        write_picture(tmp_path / f"s{suffix}", pixels)
        predict(list_inputs([tmp_path / f"s{suffix}"])[0], tmp_path / suffix, predictor)
        masks.append(read_picture(tmp_path / suffix / f"s_mask{suffix}"))
    assert np.array_equal(*masks)


def test_the_written_mask_is_true_above_the_threshold(patient, predictor):
    from gliomaseg.data.case import stack_slices

    scan = stack_slices([read_picture(first_slice(patient))], [first_slice(patient)])
    assert np.array_equal(predictor.mask(scan), predictor.probability(scan) > 0.5)


def test_a_damaged_image_gives_a_row_with_its_reason_and_no_files(predictor, tmp_path):
    (tmp_path / "bad.tif").write_bytes(b"no picture at all")
    (entry,) = list_inputs([tmp_path / "bad.tif"])
    row = predict(entry, tmp_path / "out", predictor)
    assert "not a readable TIFF" in row.error
    assert row.tumour_voxels is None
    assert not (tmp_path / "out").exists()


def test_slices_of_two_sizes_in_one_patient_are_refused(predictor, tmp_path):
    folder = tmp_path / "A_XX_1_20000101"
    folder.mkdir()
    write_picture(folder / f"{folder.name}_1.tif", np.zeros((8, 8, 3), np.uint8))
    write_picture(folder / f"{folder.name}_2.tif", np.zeros((9, 8, 3), np.uint8))
    row = predict(list_inputs([folder])[0], tmp_path / "out", predictor)
    assert "the first slice" in row.error
    assert not (tmp_path / "out" / folder.name).exists()


def test_existing_results_are_kept_without_overwrite(predictor, tmp_path):
    write_picture(tmp_path / "s.png", np.zeros((16, 16), np.uint8))
    (entry,) = list_inputs([tmp_path / "s.png"])
    out = tmp_path / "out"
    assert predict(entry, out, predictor).error is None
    assert "exists already; pass --overwrite, or another --out" in predict(entry, out, predictor).error
    assert predict(entry, out, predictor, PredictOptions(overwrite=True)).error is None


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("name", ["s_mask.png", "s_overlay.png"])
def test_a_result_that_was_changed_or_is_foreign_is_kept(predictor, tmp_path, name, overwrite):
    write_picture(tmp_path / "s.png", np.zeros((16, 16), np.uint8))
    (entry,) = list_inputs([tmp_path / "s.png"])
    out = tmp_path / "out"
    out.mkdir()
    (out / name).write_text("mine")
    error = predict(entry, out, predictor, PredictOptions(overwrite=overwrite)).error
    assert error == f"{out / name}: is not ours: predict did not write it; move it, or pass another --out"
    assert [file.name for file in out.iterdir()] == [name]
    (out / name).unlink()
    predict(entry, out, predictor)
    (out / name).write_text("corrected")
    error = predict(entry, out, predictor, PredictOptions(overwrite=overwrite)).error
    assert error == f"{out / name}: was changed since predict wrote it; move it, or pass another --out"
    assert (out / name).read_text() == "corrected"


def test_a_stack_with_a_foreign_file_among_its_results_is_kept(predictor, patient, tmp_path):
    (entry,) = list_inputs([patient])
    assert predict(entry, tmp_path, predictor).error is None
    assert predict(entry, tmp_path, predictor, PredictOptions(overwrite=True)).error is None
    mine = tmp_path / patient.name / f"{patient.name}_99_mask.tif"
    mine.write_text("mine")
    error = predict(entry, tmp_path, predictor, PredictOptions(overwrite=True)).error
    assert error.startswith(f"{mine}: is not ours")
    assert mine.read_text() == "mine"


def test_overwriting_with_fewer_formats_leaves_no_mask_of_before(predictor, tmp_path):
    write_picture(tmp_path / "s.png", np.zeros((16, 16), np.uint8))
    (entry,) = list_inputs([tmp_path / "s.png"])
    out = tmp_path / "out"
    predict(entry, out, predictor, PredictOptions(to=("png", "tiff"), probabilities=True))
    (out / "s2_mask.tif").write_text("another input's")
    assert predict(entry, out, predictor, PredictOptions(overwrite=True)).error is None
    assert sorted(file.name for file in out.glob("s*")) == ["s2_mask.tif", "s_mask.png", "s_overlay.png"]


def test_overwriting_with_fewer_formats_keeps_a_mask_that_was_corrected(predictor, tmp_path):
    write_picture(tmp_path / "s.png", np.zeros((16, 16), np.uint8))
    (entry,) = list_inputs([tmp_path / "s.png"])
    out = tmp_path / "out"
    predict(entry, out, predictor, PredictOptions(to=("png", "tiff")))
    (out / "s_mask.tif").write_text("corrected")
    assert predict(entry, out, predictor, PredictOptions(overwrite=True)).error is None
    assert (out / "s_mask.tif").read_text() == "corrected"


def test_masks_and_overlays_are_not_taken_for_pictures(predictor, tmp_path):
    write_picture(tmp_path / "s.png", np.zeros((16, 16), np.uint8))
    predict(list_inputs([tmp_path])[0], tmp_path, predictor)
    assert [entry.path.name for entry in list_inputs([tmp_path])] == ["s.png"]


def test_a_folder_of_cases_gives_one_row_for_each_case(phantoms):
    assert len(list_inputs([phantoms])) == 5


def test_an_input_given_twice_is_predicted_once(patient):
    assert len(list_inputs([patient, patient])) == 1


def test_two_images_of_one_name_are_written_under_the_names_of_their_folders(predictor, tmp_path):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        write_picture(tmp_path / folder / "s.png", np.zeros((16, 16), np.uint8))
    for entry in list_inputs([tmp_path / "a", tmp_path / "b"]):
        assert predict(entry, tmp_path / "out", predictor).error is None
    names = sorted(file.name for file in (tmp_path / "out").glob("[!.]*"))
    assert names == ["a_s_mask.png", "a_s_overlay.png", "b_s_mask.png", "b_s_overlay.png"]


@pytest.mark.parametrize("make", [False, True])
def test_a_folder_without_inputs_is_refused(make, tmp_path):
    place = tmp_path / "place"
    if make:
        place.mkdir()
    with pytest.raises(DataError):
        list_inputs([place])


def test_a_row_has_warnings_and_predicted_dice(predictor, tmp_path):
    write_picture(tmp_path / "black.png", np.zeros((64, 64), np.uint8))
    row = predict(list_inputs([tmp_path / "black.png"])[0], tmp_path / "out", predictor)
    assert row.error is None
    assert row.document()["warnings"] == ["is almost black or constant: no head is visible"]
    assert row.document()["predicted_dice"] is None


@pytest.mark.parametrize("tag", [3, 6])
def test_the_mask_of_a_turned_tiff_lies_on_it_as_viewers_show_it(patient, predictor, tag, tmp_path):
    upright = read_picture(first_slice(patient))
    write_picture(tmp_path / "up.tif", upright)
    write_picture(tmp_path / "turned.tif", upright, orientation=tag)
    for name in ("up", "turned"):
        assert predict(list_inputs([tmp_path / f"{name}.tif"])[0], tmp_path / "out", predictor).error is None
    expected = read_picture(tmp_path / "out" / "up_mask.tif")
    assert np.array_equal(read_picture(tmp_path / "out" / "turned_mask.tif"), expected)
    assert read_orientation(tmp_path / "out" / "turned_mask.tif") == tag  # the same stored order, and the same tag
    overlays = [read_picture(tmp_path / "out" / f"{name}_overlay.png") for name in ("up", "turned")]
    assert np.array_equal(*overlays)


def test_the_pages_of_a_turned_tiff_get_its_tag(patient, predictor, tmp_path):
    slices = np.stack([read_picture(first_slice(patient))[..., 1]] * 2)
    write_pages(tmp_path / "pages.tif", slices, orientation=6)
    assert predict(list_inputs([tmp_path / "pages.tif"])[0], tmp_path / "out", predictor).error is None
    assert read_orientation(tmp_path / "out" / "pages_mask.tif") == 6
    assert read_pages(tmp_path / "out" / "pages_mask.tif", max_bytes=2**24).shape[:3] == slices.shape


@pytest.mark.parametrize("suffix", [".jpg", ".JPEG"])
def test_the_mask_of_a_jpeg_is_an_upright_png(patient, predictor, suffix, tmp_path):
    exif = Image.Exif()
    exif[274] = 6
    Image.fromarray(read_picture(first_slice(patient))[:40]).save(tmp_path / f"s{suffix}", exif=exif)
    row = predict(list_inputs([tmp_path])[0], tmp_path / "out", predictor)
    assert row.error is None
    assert [Path(file).name for file in row.outputs] == ["s_mask.png", "s_overlay.png"]
    assert read_picture(tmp_path / "out" / "s_mask.png").shape == (64, 40, 1)


def test_a_folder_of_numbered_jpegs_is_a_stack(patient, predictor, tmp_path):
    folder = tmp_path / "anna"
    folder.mkdir()
    for number in (1, 2, 3):
        Image.fromarray(read_picture(patient / f"{patient.name}_{number}.tif")).save(folder / f"anna_{number}.jpg")
    row = predict(list_inputs([folder])[0], tmp_path / "out", predictor)
    assert row.error is None
    assert sorted(file.name for file in (tmp_path / "out" / "anna").glob("*_mask.png")) == [
        "anna_1_mask.png",
        "anna_2_mask.png",
        "anna_3_mask.png",
    ]
