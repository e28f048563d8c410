"""The API as its page in the guide describes it, against a real server."""

from __future__ import annotations

import hashlib
import io
import tempfile
import time
import zipfile
from pathlib import Path
from typing import Any

import httpx
import nibabel as nib
import numpy as np
import pytest
import tifffile

from gliomaseg import read_scan
from gliomaseg.choices import PhantomFormat
from gliomaseg.phantoms import phantom_patient, write_phantoms
from gliomaseg.phantoms.writers import WRITERS
from gliomaseg.prediction import open_models
from gliomaseg.pretrained import find_models
from serve.conftest import Finish

Job = dict[str, Any]


@pytest.fixture(scope="module")
def volumes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write two small phantoms as NIfTI."""
    folder = tmp_path_factory.mktemp("serve")
    return write_phantoms(folder, patients=2, side_px=96, kind=PhantomFormat.nifti)


@pytest.fixture
def flair(volumes: Path) -> Path:
    return min(volumes.glob("*/*_flair.nii.gz"))


@pytest.fixture
def job(client: httpx.Client, flair: Path, finish: Finish) -> Job:
    """Return a finished job of one phantom."""
    done = finish(client.post("/segmentations", files={"flair": (flair.name, flair.read_bytes())}).json())
    assert done["state"] == "done", done
    return done


def test_a_volume_gives_a_mask_on_its_grid(client: httpx.Client, job: Job, flair: Path) -> None:
    result, path = job["result"], f"/segmentations/{job['id']}"
    assert job["name"] == result["input"] == flair.name
    mask = image_of(client.get(f"{path}/mask.nii.gz").content)
    source = nib.load(flair)
    assert mask.shape == source.shape
    assert np.array_equal(mask.affine, source.affine)
    assert np.count_nonzero(mask.dataobj) == result["tumour_voxels"] > 0
    assert result["tumour_volume_ml"] == pytest.approx(
        result["tumour_voxels"] * np.abs(np.linalg.det(source.affine[:3, :3])) / 1000, abs=1e-3
    )
    assert client.get(f"{path}/result.json").json() == result
    expected = open_models(find_models(None)).predict(read_scan(flair)).mirror_disagreement_px
    assert result["mirror_disagreement_voxels"] == np.rint(expected).tolist()
    assert len(expected) == result["shape_xyz"][2]
    assert sum(result["mirror_disagreement_voxels"]) > 0
    assert client.get(f"{path}/preview.png").content.startswith(b"\x89PNG")
    refused = client.get(f"{path}/seg.dcm")
    assert (refused.status_code, "nifti" in refused.json()["error"]) == (409, True)


def test_the_page_gets_flair_probability_and_mask_on_one_grid(client: httpx.Client, job: Job) -> None:
    path = f"/segmentations/{job['id']}"
    flair, probability = (image_of(client.get(f"{path}/{name}.nii.gz").content) for name in ("flair", "probability"))
    assert nib.aff2axcodes(flair.affine) == ("R", "A", "S")
    assert flair.shape == probability.shape == tuple(job["result"]["shape_xyz"])
    mask = np.frombuffer(client.get(f"{path}/mask.u8").content, np.uint8).reshape(flair.shape, order="F")
    assert np.array_equal(mask, image_of_mask(client, path).get_fdata())
    # Small components were removed from the mask; levels are rounded by half a level.
    lowest = np.asanyarray(probability.dataobj)[mask == 1].min()
    assert lowest >= 255 * job["result"]["threshold"] - 0.5


def test_a_mask_replaces_only_the_one_that_the_client_has(client: httpx.Client, job: Job) -> None:
    path = f"/segmentations/{job['id']}"
    mask = client.get(f"{path}/mask.u8").content
    former = {"former_sha256": hashlib.sha256(mask).hexdigest()}
    assert job["result"]["mask_sha256"] == former["former_sha256"]
    changed = bytes([1 - mask[0]]) + mask[1:]
    result = client.put(f"{path}/mask", content=changed, params=former).raise_for_status().json()["result"]
    assert result["mask_sha256"] == hashlib.sha256(changed).hexdigest()
    for refused in (
        client.put(f"{path}/mask", content=mask, params=former),
        client.delete(f"{path}/mask", params=former),
    ):
        assert (refused.status_code, client.get(f"{path}/mask.u8").content) == (409, changed)
    client.delete(f"{path}/mask", params={"former_sha256": result["mask_sha256"]}).raise_for_status()
    assert client.get(f"{path}/mask.u8").content == mask


def test_a_change_with_an_unknown_query_is_refused(client: httpx.Client, job: Job) -> None:
    path = f"/segmentations/{job['id']}"
    mask = client.get(f"{path}/mask.u8").content
    answer = client.put(f"{path}/mask", content=bytes(len(mask)), params={"former_sha": "0" * 64})
    reason = "a name of the query is former_sha, expected former_sha256; remove it"
    assert (answer.status_code, answer.json()["error"]) == (400, reason)
    answer = client.delete(path, params={"former_sha256": "0" * 64})
    reason = "a name of the query is former_sha256, expected no query; remove it"
    assert (answer.status_code, answer.json()["error"]) == (400, reason)
    twice = [("former_sha256", "0" * 64), ("former_sha256", hashlib.sha256(mask).hexdigest())]
    answer = client.put(f"{path}/mask", content=bytes(len(mask)), params=twice)
    reason = "former_sha256 is 2 times in the query; send it once"
    assert (answer.status_code, answer.json()["error"]) == (400, reason)
    assert client.get(f"{path}/mask.u8").content == mask


def image_of_mask(client: httpx.Client, path: str) -> nib.Nifti1Image:
    return nib.as_closest_canonical(image_of(client.get(f"{path}/mask.nii.gz").content))


def image_of(content: bytes) -> nib.Nifti1Image:
    import gzip

    return nib.Nifti1Image.from_bytes(gzip.decompress(content))


def test_a_corrected_mask_is_taken_away_where_it_was_drawn(client: httpx.Client, job: Job) -> None:
    path, (x, y, z) = f"/segmentations/{job['id']}", job["result"]["shape_xyz"]
    drawn = np.zeros((z, y, x), np.uint8)
    drawn[2, 3, 5] = 1
    corrected = client.put(f"{path}/mask", content=drawn.tobytes()).raise_for_status().json()["result"]
    assert (corrected["tumour_voxels"], corrected["corrected"]) == (1, True)
    assert corrected["changes"]["added_voxels"] + corrected["changes"]["removed_voxels"] > 0
    mask = image_of_mask(client, path)
    assert np.argwhere(mask.get_fdata()).tolist() == [[5, 3, 2]]
    assert client.get(f"{path}/mask.u8").content == drawn.tobytes()
    model = image_of(client.get(f"{path}/mask.nii.gz", params={"version": "model"}).content)
    assert np.count_nonzero(model.dataobj) == job["result"]["tumour_voxels"]
    back = client.delete(f"{path}/mask").json()["result"]
    assert (back["tumour_voxels"], back["changes"]) == (job["result"]["tumour_voxels"], None)


def test_a_correction_of_another_size_or_value_is_refused(client: httpx.Client, job: Job) -> None:
    path, count = f"/segmentations/{job['id']}/mask", int(np.prod(job["result"]["shape_xyz"]))
    for body in (b"", bytes(count - 1), bytes(count - 1) + b"\2"):
        assert client.put(path, content=body).status_code == 422


def test_strokes_change_the_mask_around_them(client: httpx.Client, job: Job) -> None:
    path, (x, y, z) = f"/segmentations/{job['id']}", job["result"]["shape_xyz"]
    before = np.frombuffer(client.get(f"{path}/mask.u8").content, np.uint8).reshape(z, y, x)
    strokes = np.zeros_like(before)
    slice_with_tumour = int(before.sum(axis=(1, 2)).argmax())
    inside = np.argwhere(before[slice_with_tumour])
    for row, column in inside[:: max(1, len(inside) // 20)]:
        strokes[slice_with_tumour, row, column] = 2
    answer = client.post(f"{path}/strokes", content=strokes.tobytes() + before.tobytes()).raise_for_status()
    after = np.frombuffer(answer.content, np.uint8).reshape(z, y, x)
    assert after[slice_with_tumour].sum() < before[slice_with_tumour].sum()
    assert not after[strokes == 2].any()
    assert client.post(f"{path}/strokes", content=b"\3" * (2 * before.size)).status_code == 422


def test_sequences_of_a_case_are_one_job(client: httpx.Client, volumes: Path, finish: Finish) -> None:
    case = next(volumes.glob("*/*_t1.nii.gz")).parent
    files = [("files", (f"{case.name}/{file.name}", file.read_bytes())) for file in sorted(case.iterdir())]
    job = finish(client.post("/segmentations", files=files).json())
    assert job["state"] == "done", job
    assert job["name"] == case.name
    # T1 is used. No bundled model takes T1ce, and `predict` gives the same warning.
    unused = [warning for warning in job["result"]["warnings"] if "not used" in warning]
    assert [warning.split(" was")[0] for warning in unused] == ["T1ce"]
    assert job["result"]["skipped"] == []


def test_one_of_several_scans_is_chosen(client: httpx.Client, volumes: Path, finish: Finish) -> None:
    flairs = sorted(volumes.glob("*/*_flair.nii.gz"))
    files = [("files", (file.name, file.read_bytes())) for file in flairs]
    job = finish(client.post("/segmentations", files=files).json())
    assert job["state"] == "choose"
    assert [(choice["number"], choice["title"]) for choice in job["choices"]] == [
        (1, flairs[0].name),
        (2, flairs[1].name),
    ]
    path = f"/segmentations/{job['id']}"
    assert client.get(f"{path}/choices/2.png").content.startswith(b"\x89PNG")
    assert client.get(f"{path}/result.json").status_code == 409
    assert client.post(f"{path}/choice", json={"choice": 3}).status_code == 422
    for body in (b"{", b"[2]", b'{"choice": "two"}', b'{"choice": 2, "more": "' + b"x" * 5_000 + b'"}'):
        assert client.post(f"{path}/choice", content=body).status_code == 422
    assert client.post(f"{path}/copies", json={"choice": 3}).status_code == 422
    copied = finish(client.post(f"{path}/copies", json={"choice": 1}).raise_for_status().json())
    assert (copied["state"], copied["name"]) == ("done", flairs[0].name)
    assert client.post(f"/segmentations/{copied['id']}/copies", json={"choice": 1}).status_code == 409
    client.delete(f"/segmentations/{copied['id']}").raise_for_status()
    chosen = client.post(f"{path}/choice", json={"choice": 2})
    assert chosen.status_code == 202
    assert finish(chosen.json())["state"] == "done"
    assert client.post(f"{path}/choice", json={"choice": 2}).status_code == 409


def test_slices_without_affine_give_a_mask_of_pages(client: httpx.Client, finish: Finish, tmp_path: Path) -> None:
    folder = write_phantoms(tmp_path, patients=1, side_px=96)
    files = [
        ("files", (f"{file.parent.name}/{file.name}", file.read_bytes()))
        for file in folder.glob("*/*.tif")
        if "_mask" not in file.name
    ]
    job = finish(client.post("/segmentations", files=files).json())
    assert job["state"] == "done", job
    result = job["result"]
    assert (result["tumour_volume_ml"], result["spacing_mm"], result["formats"]) == (None, None, ["tiff"])
    assert result["orientation_known"] is False
    pages = tifffile.imread(io.BytesIO(client.get(f"/segmentations/{job['id']}/mask.tif").content))
    assert (pages.shape, int((pages == 255).sum())) == ((len(files), 96, 96), result["tumour_voxels"])


def test_a_zip_of_dicom_files_gives_a_segmentation_object(client: httpx.Client, finish: Finish, tmp_path: Path) -> None:
    pydicom = pytest.importorskip("pydicom")
    folder = write_phantoms(tmp_path, patients=1, side_px=96, kind=PhantomFormat.dicom)
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for file in sorted(folder.glob("*/flair/*")):
            archive.write(file, file.name)
    job = finish(client.post("/segmentations", files={"files": ("Doe^Jane.zip", packed.getvalue())}).json())
    assert job["state"] == "done", job
    content = client.get(f"/segmentations/{job['id']}/seg.dcm").content
    assert pydicom.dcmread(io.BytesIO(content)).Modality == "SEG"


def test_t1_of_a_study_is_chosen_beside_flair(client: httpx.Client, finish: Finish, study_zip: bytes) -> None:
    files = {"files": ("study.zip", study_zip)}
    job = finish(client.post("/segmentations", files=files, data={"ask": "series"}).json())
    assert job["state"] == "choose", job
    named = [(one["number"], one["sequence"], one["usable_as"]) for one in job["choices"]]
    assert named == [(1, "flair", ["flair", "t1"]), (2, "t1", ["flair", "t1"]), (3, "t1ce", ["flair", "t1"])]
    path = f"/segmentations/{job['id']}/choice"
    for body, words in (
        ({"choice": 1, "t1": 4}, "t1 is 4, expected one of 1, 2, 3"),
        ({"choice": 1, "t1": 1}, "choice and t1 have one number, expected another series for each"),
        ({"choice": 1, "t1ce": 3}, "t1ce is 3, which is not usable as t1ce; leave it out"),
        ({"choice": 1, "t2": 3}, "the body is not a choice"),
    ):
        answer = client.post(path, json=body)
        assert (answer.status_code, words in answer.json()["error"]) == (422, True), answer.json()
    result = finish(client.post(path, json={"choice": 1, "t1": 2}).json())["result"]
    assert [line for line in result["left_out"] if "no T1" in line] == []
    assert "series 2" not in "".join(result["warnings"] + result["skipped"])
    # Without the question, FLAIR is segmented alone, and a warning names T1; the field names it too.
    alone = finish(client.post("/segmentations", files=files).json())["result"]
    advice = "series 2 looks like T1 (before contrast) and was not used; send 2 in the field t1_series to use it"
    assert advice in alone["warnings"]
    assert "glioma-t1-flair was left out: no T1 was given" in alone["left_out"]
    again = finish(client.post("/segmentations", files=files, data={"t1_series": "2"}).json())["result"]
    assert {name: value for name, value in again.items() if name != "seconds"} == {
        name: value for name, value in result.items() if name != "seconds"
    }


def test_t1_of_one_of_two_studies_is_chosen_after_the_study(
    client: httpx.Client, finish: Finish, tmp_path: Path
) -> None:
    pydicom = pytest.importorskip("pydicom")
    files = []
    for patient, name, sequence in ((1, "a.zip", "flair"), (0, "b.zip", "*")):
        study = tmp_path / name
        WRITERS[PhantomFormat.dicom](study, phantom_patient(patient, side_px=64, slices=4))
        packed, parts = io.BytesIO(), sorted(study.glob(f"{sequence}/*.dcm"))
        with zipfile.ZipFile(packed, "w") as archive:
            for file in parts:
                archive.write(file, file.relative_to(study))
        files.append(("files", (name, packed.getvalue())))
    job = finish(client.post("/segmentations", files=files, data={"ask": "series"}).json())
    assert [(one["title"], one["usable_as"]) for one in job["choices"]] == [("a.zip", ["flair"]), ("b.zip", ["flair"])]
    path = f"/segmentations/{job['id']}"
    # The list of series has the study that was chosen alone.
    series = finish(client.post(f"{path}/choice", json={"choice": 2}).json())
    assert series["state"] == "choose", series
    named = [(one["number"], one["sequence"], one["usable_as"]) for one in series["choices"]]
    assert named == [(1, "flair", ["flair", "t1"]), (2, "t1", ["flair", "t1"]), (3, "t1ce", ["flair", "t1"])]
    assert client.get(f"{path}/choices/3.png").content.startswith(b"\x89PNG")
    done = finish(client.post(f"{path}/choice", json={"choice": 1, "t1": 2}).json())
    assert done["state"] == "done", done
    assert [line for line in done["result"]["left_out"] if "no T1" in line] == []
    assert "t1_series" not in "".join(done["result"]["warnings"])
    # Another process writes a correction; it reads the same scan.
    client.put(f"{path}/mask", content=client.get(f"{path}/mask.u8").content).raise_for_status()
    written = pydicom.dcmread(io.BytesIO(client.get(f"{path}/seg.dcm").content))
    assert written.StudyInstanceUID == pydicom.dcmread(parts[0]).StudyInstanceUID


def test_a_t1_series_that_is_not_there_fails_with_those_that_are(
    client: httpx.Client, finish: Finish, study_zip: bytes
) -> None:
    files = {"files": ("study.zip", study_zip)}
    job = finish(client.post("/segmentations", files=files, data={"t1_series": "9"}).json())
    assert (job["state"], job["error"].split(";")[0]) == ("failed", "t1_series: is 9, expected 1 or 2 or 3")


def test_a_file_that_is_no_scan_fails_with_its_name_and_a_reason(client: httpx.Client, finish: Finish) -> None:
    job = finish(client.post("/segmentations", files={"files": ("Doe/notes.nii.gz", b"not a scan")}).json())
    assert job["state"] == "failed"
    assert job["error"].startswith("notes.nii.gz: ")
    assert "/tmp" not in job["error"]
    assert client.get(f"/segmentations/{job['id']}/mask.nii.gz").status_code == 409


def test_a_pickle_is_refused(client: httpx.Client, finish: Finish) -> None:
    job = finish(client.post("/segmentations", files={"files": ("scan.pkl", b"\x80\x04cos\nsystem\n.")}).json())
    assert job["state"] == "failed"


@pytest.mark.parametrize(
    ("options", "status"),
    [
        ({"data": {"example": "brain"}}, 400),
        ({"data": {"patient": "Doe"}}, 400),
        ({"files": [("flair", ("a.nii", b"1")), ("flair", ("b.nii", b"1"))]}, 400),
        ({"json": {}}, 400),
        ({"files": {"flair": (None, "text")}}, 400),
        ({"data": {"example": "phantom", "series": "1" * 65}}, 400),
        ({"files": {"files": ("a.dcm", b"DICM")}, "data": {"t1_series": "2", "t1ce_series": "2"}}, 400),
        ({"content": b"--x", "headers": {"Content-Type": "multipart/form-data"}}, 400),
    ],
)
def test_a_wrong_form_is_refused(client: httpx.Client, options: dict[str, Any], status: int) -> None:
    answer = client.post("/segmentations", **options)
    assert (answer.status_code, "error" in answer.json()) == (status, True)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"example": (None, "phantom"), "t1_series": (None, "1" * 65)}, "t1_series has 65 characters; "),
        ({"files": ("a.dcm", b"DICM"), "t1_series": (None, "")}, "t1_series is empty or not a word; "),
        ({"files": ("a.dcm", b"DICM"), "series": (None, " \n")}, "series is empty or not a word; "),
        ({"flair": ("a", b"1"), "t1_series": ("b", b"1")}, "t1_series is a file, expected text; "),
        ({"series": ("a", b"1")}, "series is a file, expected text; "),
        ([("files", ("a.dcm", b"DICM")), *[("series", (None, "3"))] * 2], "series is given 2 times; "),
        ({"example": (None, "phantom"), "ask": (None, "scan")}, "ask is scan, expected series"),
        ({"flair": ("a", b"1"), "t1": ("b", b"1"), "t1_series": (None, "2")}, "both t1 and t1_series are given; "),
        ({"example": (None, "phantom"), "t2_series": (None, "2")}, "field is t2_series, expected files, "),
    ],
)
def test_a_wrong_field_of_series_is_refused_with_the_reason(client: httpx.Client, fields: Any, words: str) -> None:
    answer = client.post("/segmentations", files=fields)
    assert (answer.status_code, answer.json()["error"].startswith(words)) == (400, True), answer.json()


def test_a_deleted_job_is_gone(client: httpx.Client, job: Job) -> None:
    assert [one["id"] for one in client.get("/segmentations").json()] == [job["id"]]
    assert client.delete(f"/segmentations/{job['id']}").status_code == 204
    assert client.get(f"/segmentations/{job['id']}").status_code == 404
    assert client.get("/segmentations").json() == []


def test_unknown_paths_and_methods_are_answered_with_what_to_do(client: httpx.Client) -> None:
    unknown, wrong = client.get("/scans"), client.put("/segmentations")
    assert (unknown.status_code, "openapi.json" in unknown.json()["error"]) == (404, True)
    assert (wrong.status_code, "expected DELETE, GET, POST; " in wrong.json()["error"]) == (405, True)
    assert wrong.headers["Allow"] == "DELETE, GET, POST"
    read_mask = client.get(f"/segmentations/{'a' * 22}/mask")
    assert (read_mask.status_code, read_mask.headers["Allow"]) == (405, "DELETE, PUT")


@pytest.mark.parametrize("path", ["/segmentations/short", "/segmentations/..%2f..%2fetc", "/segmentations/" + "a" * 22])
def test_unknown_jobs_are_not_found(client: httpx.Client, path: str) -> None:
    assert client.get(path).status_code == 404


def test_models_and_health_and_metrics(client: httpx.Client, server_address: str, job: Job) -> None:
    names = [model["model"] for model in client.get("/models").json()["models"]]
    assert "glioma-flair" in names
    assert httpx.get(f"{server_address}/health").json() == {"status": "ok", "queued": 0, "running": 0}
    text = httpx.get(f"{server_address}/metrics").text
    assert 'gliomaseg_jobs_total{state="done"}' in text
    assert job["id"] not in text


def test_a_job_that_is_deleted_during_a_correction_leaves_no_file(
    client: httpx.Client, server_address: str, job: Job
) -> None:
    from concurrent.futures import ThreadPoolExecutor

    path, count = f"/segmentations/{job['id']}", int(np.prod(job["result"]["shape_xyz"]))
    with ThreadPoolExecutor() as pool:
        strokes = pool.submit(
            httpx.post, f"{server_address}/v1{path}/strokes", content=b"\1" * count + bytes(count), timeout=60
        )
        time.sleep(0.2)
        assert client.delete(path).status_code == 204
        assert strokes.result().status_code in (200, 404, 422)
    left = list(Path(tempfile.gettempdir()).glob(f"gliomaseg-serve-*/{job['id']}"))
    assert left == []


def test_strokes_of_another_size_are_refused_with_the_size_that_is_expected(client: httpx.Client, job: Job) -> None:
    count = int(np.prod(job["result"]["shape_xyz"]))
    answer = client.post(f"/segmentations/{job['id']}/strokes", content=bytes(count))
    assert (answer.status_code, f"expected {2 * count:,}" in answer.json()["error"]) == (422, True)
    mask_of_five = client.post(f"/segmentations/{job['id']}/strokes", content=bytes(count) + b"\5" * count)
    assert mask_of_five.status_code == 422


def test_files_and_named_sequences_together_are_refused(client: httpx.Client) -> None:
    files = [("files", ("a.nii", b"1")), ("flair", ("b.nii", b"1"))]
    assert client.post("/segmentations", files=files).status_code == 400
