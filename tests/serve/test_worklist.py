"""A work list: segmented in the background, stored in a folder that survives the server, and trained on."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import tifffile

from gliomaseg.choices import PhantomFormat
from gliomaseg.cli.serve import serve
from gliomaseg.data.audit import audit
from gliomaseg.data.case import read_case
from gliomaseg.data.case_list import DataOptions
from gliomaseg.data.layouts import manifest, read_cases
from gliomaseg.data.tables import read_rows
from gliomaseg.errors import DataError, OutputExistsError, UsageError
from gliomaseg.phantoms import phantom_patient, write_phantoms
from gliomaseg.serve.job import State
from gliomaseg.serve.jobs import Jobs
from gliomaseg.serve.settings import ServeSettings
from gliomaseg.serve.worklist.correction_folder import CorrectionFolder
from gliomaseg.serve.worklist.folders import WorkFolders
from gliomaseg.serve.worklist.predictions import Predictions
from gliomaseg.serve.worklist.worklist import WorkList
from serve.work_server import WorkServer

SMALL = (
    "preprocessing.size_px=32", "network.base_features=4", "network.levels=2", "training.epochs=1",
)  # fmt: skip


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write two volumes, a folder of slices and a TIFF of several pages; and a file that is no scan."""
    data = tmp_path_factory.mktemp("cases")
    write_phantoms(data, patients=2, side_px=64, kind=PhantomFormat.nifti)
    patient = phantom_patient(3, side_px=64, slices=6)
    (data / "stack").mkdir()
    for number, image in enumerate(patient.image, start=7):
        tifffile.imwrite(data / "stack" / f"stack_{number}.tif", image, photometric="rgb")
    pages = phantom_patient(4, side_px=64, slices=6).image[..., 1]
    tifffile.imwrite(data / "pages.tif", pages, photometric="minisblack")
    (data / "broken.nii.gz").write_bytes(b"no scan")
    return data


@pytest.fixture(scope="module")
def before(data: Path) -> dict[Path, bytes]:
    """Return the content of all files of the user."""
    return {file: file.read_bytes() for file in data.rglob("*") if file.is_file()}


@pytest.fixture(scope="module")
def server(data: Path, before: dict[Path, bytes], tmp_path_factory: pytest.TempPathFactory) -> Iterator[WorkServer]:
    """Start a server whose cases are segmented."""
    started = WorkServer.start(data, tmp_path_factory.mktemp("work") / "out", "--reader", "anna")
    started.segmented()
    yield started
    started.stop()


def test_the_list_begins_with_the_lowest_predicted_dice(server):
    cases = server.cases()
    assert {case["case"] for case in cases} == {
        "PHANTOM_AA_1000_20000101", "PHANTOM_BB_1037_20000102", "stack", "pages", "broken",
    }  # fmt: skip
    dice = [case["predicted_dice"] for case in cases if case["predicted_dice"] is not None]
    assert dice == sorted(dice)
    assert len(dice) >= 2
    assert (cases[-1]["case"], cases[-1]["state"]) == ("broken", "failed")
    assert "broken.nii.gz: is not a readable NIfTI" in cases[-1]["error"]
    assert str(server.data) not in cases[-1]["error"]


def test_a_corrected_volume_is_stored_on_its_own_grid(server, before):
    case = server.case("PHANTOM_AA_1000_20000101")
    job = server.open(case)
    assert server.store(case).json()["state"] == "corrected"
    first = json.loads(server.store(case).text)
    assert (first["changed_voxels"], first["reader"]) == (0, "anna")
    drawn = server.draw(job, (5, 3, 2))
    row = server.store(case, 12.34, reader=" bo ").raise_for_status().json()
    # Two storings of 1.5 s, then one of 12.34 s.
    assert (row["changed_voxels"], row["reader"], row["seconds"]) == (1, "bo", 15.3)
    mask = nib.load(server.out / "PHANTOM_AA_1000_20000101_mask.nii.gz")
    assert np.array_equal(mask.affine, nib.load(min(server.data.rglob("*_flair.nii.gz"))).affine)
    on_page = nib.as_closest_canonical(mask).get_fdata().astype(np.uint8)
    assert on_page.tobytes(order="F") == drawn
    rows = [entry.row for entry in read_rows(server.out / "manifest.csv")]
    (own,) = [row for row in rows if row["case"] == case["case"]]
    assert own["patient"], own["site"] == ("PHANTOM_AA_1000", "AA")
    assert (server.out / own["flair"]).resolve() in before
    assert (server.out / own["t1"]).resolve() in before
    assert (own["seconds"], own["storings"], own["reader"], own["changed_voxels"]) == ("15.3", "3", "bo", "1")
    assert own["model"].startswith("glioma-")


@pytest.mark.parametrize("name", ["stack", "pages"])
def test_corrected_slices_are_cases_of_the_manifest(server, name):
    case = server.case(name)
    job = server.open(case)
    drawn = np.frombuffer(server.draw(job, (5, 3, 2)), np.uint8).reshape(job["result"]["shape_xyz"][::-1])
    server.store(case).raise_for_status()
    cases = manifest.read(server.out / "manifest.csv", DataOptions())
    assert cases.problems == ()
    loaded = read_case(next(one for one in cases.cases if one.name == name))
    # The page's y axis runs to the front, the rows of an image to the back.
    assert np.array_equal(loaded.reference, drawn[:, ::-1, ::-1])
    image = phantom_patient(3 if name == "stack" else 4, side_px=64, slices=6).image
    assert np.array_equal(loaded.scan.voxels, image if name == "stack" else image[..., 1:2])
    assert loaded.numbers == tuple(range(7, 13) if name == "stack" else range(1, 7))


def test_deleting_jobs_leaves_the_files_of_the_user(server, data, before):
    case = server.case("PHANTOM_BB_1037_20000102")
    job = server.open(case)
    server.client.delete(f"/segmentations/{job['id']}").raise_for_status()
    assert server.store(case).status_code == 409
    again = server.open(case)
    assert (again["state"], again["id"] != job["id"]) == ("done", True)
    server.client.delete("/segmentations").raise_for_status()
    assert {file: file.read_bytes() for file in data.rglob("*") if file.is_file()} == before


def test_requests_that_do_not_fit_are_refused(server):
    case = server.case("PHANTOM_AA_1000_20000101")
    server.open(case)
    for number in ("0", "99", "-1", "..%2f..", "x"):
        assert server.client.post(f"/worklist/{number}").status_code in (404, 405)
    for body in (
        {},
        {"seconds": -1},
        {"seconds": 1, "reader": ""},
        {"seconds": 1, "reader": "a\x1bb"},
        {"seconds": 1, "reader": "=1+1"},
        {"path": "/"},
    ):
        assert server.client.put(f"/worklist/{case['number']}/mask", json=body).status_code == 422, body


def test_a_mask_that_the_client_does_not_show_is_not_stored(server):
    case = server.case("PHANTOM_AA_1000_20000101")
    job = server.open(case)
    shown = server.draw(job, (5, 3, 2))
    server.store(case, mask_sha256=hashlib.sha256(shown).hexdigest(), reader="tab 1").raise_for_status()
    server.draw(job, (6, 3, 2))
    refused = server.store(case, mask_sha256=hashlib.sha256(shown).hexdigest(), reader="tab 2")
    assert (refused.status_code, server.case(case["case"])["reader"]) == (409, "tab 1")


def test_a_mask_that_another_program_changed_is_kept(server):
    case = server.case("PHANTOM_AA_1000_20000101")
    server.open(case)
    server.store(case).raise_for_status()
    file = server.out / "PHANTOM_AA_1000_20000101_mask.nii.gz"
    own = file.read_bytes()
    file.write_bytes(b"mine")
    refused = server.store(case)
    assert (refused.status_code, file.read_bytes()) == (422, b"mine")
    assert "was changed since serve wrote it" in refused.json()["error"]
    file.write_bytes(own)
    server.store(case).raise_for_status()


def test_a_scan_that_changed_is_segmented_again_before_it_is_stored(server, data):
    case = server.case("PHANTOM_BB_1037_20000102")
    job = server.open(case)
    server.store(case).raise_for_status()
    file = next(data.rglob("PHANTOM_BB*_flair.nii.gz"))
    state = file.stat()
    os.utime(file, ns=(state.st_atime_ns, state.st_mtime_ns + 1_000_000))
    refused = server.store(case, reader="bo")
    assert (refused.status_code, server.case(case["case"])["reader"]) == (422, "anna")
    assert refused.json()["error"].endswith("scan has changed since it was segmented; open it again")
    again = server.open(case)
    assert (again["state"], again["id"] != job["id"]) == ("done", True)
    assert server.open(case)["id"] == again["id"]
    assert server.store(case, reader="bo").raise_for_status().json()["reader"] == "bo"


def test_a_server_without_a_work_list_has_an_empty_one(client):
    assert client.get("/worklist").json() == {"reader": None, "cases": []}
    assert client.post("/worklist/1").status_code == 404


def test_a_second_server_on_the_folder_ends_with_3(server):
    command = [sys.executable, "-m", "gliomaseg", "serve", "--port", "0", "--cases", server.data, "--out", server.out]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, "another run is at work here" in done.stderr) == (3, True)


def test_one_folder_without_the_other_is_refused(data, tmp_path):
    with pytest.raises(UsageError, match="--out is missing"):
        serve(cases=data)
    with pytest.raises(UsageError, match="--cases is missing"):
        serve(out=tmp_path)


def test_folders_that_do_not_fit_are_refused(server, data, tmp_path):
    (tmp_path / "manifest.csv").write_text("case,patient,flair,mask\na,a,f.nii.gz,m.nii.gz\n", "utf-8")
    with pytest.raises(OutputExistsError, match="not the manifest of a work list"):
        WorkFolders.open(data, tmp_path)
    with pytest.raises(DataError, match="no such file"):
        WorkFolders.open(data / "nothing", tmp_path / "new")
    with pytest.raises(UsageError, match="reader is"):
        WorkFolders.open(data, tmp_path / "new", "x" * 101)
    assert not (tmp_path / "new").exists()
    case = server.case("PHANTOM_AA_1000_20000101")
    server.open(case)
    server.store(case).raise_for_status()
    moved = shutil.copytree(data, tmp_path / "moved")
    with pytest.raises(DataError, match="name another --out, or move the scans back"):
        WorkFolders.open(moved, server.out)


def test_a_killed_server_goes_on_where_it_was(data, tmp_path):
    data = data / "nifti"
    first = WorkServer.start(data, tmp_path / "out", "--reader", "anna")
    try:
        case = first.segmented()[0]
        drawn = first.draw(first.open(case), (5, 3, 2))
        first.store(case).raise_for_status()
        left = first.cases()[0]
        first.kill()
    finally:
        first.stop()
    second = WorkServer.start(data, tmp_path / "out")
    try:
        cases = second.cases()
        assert cases[0] == left, "its predicted Dice is known before it is segmented again"
        assert (cases[-1]["case"], cases[-1]["state"], cases[-1]["reader"]) == (case["case"], "corrected", "anna")
        job = second.open(cases[-1])
        assert job["result"]["changes"]["added_voxels"] + job["result"]["changes"]["removed_voxels"] == 1
        assert second.client.get(f"/segmentations/{job['id']}/mask.u8").content == drawn
    finally:
        second.stop()


def test_a_case_whose_mask_was_removed_opens_with_that_of_the_model(server):
    case = server.case("PHANTOM_BB_1037_20000102")
    model = server.open(case)["result"]["tumour_voxels"]
    server.draw(server.open(case), (5, 3, 2))
    server.store(case).raise_for_status()
    (server.out / "PHANTOM_BB_1037_20000102_mask.nii.gz").unlink()
    server.client.delete("/segmentations").raise_for_status()
    result = server.open(case)["result"]
    assert (result["tumour_voxels"], result["corrected"]) == (model, False)
    assert "the stored mask cannot be read" in result["warnings"][-1]
    server.store(case).raise_for_status()


def test_audit_and_train_take_the_manifest(server, tmp_path):
    for name in ("PHANTOM_AA_1000_20000101", "PHANTOM_BB_1037_20000102", "stack"):
        case = server.case(name)
        server.open(case)
        server.store(case).raise_for_status()
    file = server.out / "manifest.csv"
    found = audit(read_cases(file))
    assert (found.layout, found.problems, found.cases >= 3) == ("manifest", [], True)
    assert not any("not read" in note for note in manifest.read(file, DataOptions()).notes)
    settings = [word for setting in SMALL for word in ("--set", setting)]
    command = [sys.executable, "-m", "gliomaseg", "train", "unet_small", "--data", file, "--out", tmp_path / "run"]
    done = subprocess.run([*command, *settings], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "run" / "model" / "model.onnx").is_file()


def test_a_case_whose_series_a_person_chooses_is_not_read_again(data, tmp_path):
    folders = WorkFolders.open(data, tmp_path / "out", reader="anna")
    jobs = Jobs(tmp_path, ServeSettings())
    worklist = WorkList(jobs, folders, Predictions(tmp_path, []))
    first, *others = worklist.in_order()
    for entry in others:
        entry.error = "is not tried"
    job = asyncio.run(worklist.open(first))
    assert worklist._next() is first
    job.state = State.CHOOSE
    assert worklist._next() is None


def test_arrays_of_cases_far_from_their_turn_are_removed(data, tmp_path, monkeypatch):
    monkeypatch.setattr("gliomaseg.serve.worklist.worklist._KEPT_BYTES", 3_500)
    cases = [case for case in WorkFolders.open(data, tmp_path).cases if case.name != "broken"]
    folders = WorkFolders(data, CorrectionFolder(tmp_path / "out"), (*cases, *cases), "anna")
    jobs = Jobs(tmp_path / "jobs", ServeSettings())
    worklist = WorkList(jobs, folders, Predictions(tmp_path, []))
    entries = [worklist.get(number) for number in range(1, 9)]
    for dice, entry in enumerate(entries):
        entry.values = {"predicted_dice": dice / 10}
        entry.job = jobs.new(entry.case.name)
        entry.job.state = State.DONE
        (entry.job.folder / "array").write_bytes(bytes(1_000))
    opened = asyncio.run(worklist.open(entries[-1]))
    asyncio.run(worklist._free_disk())
    # The open one and the next two of the list are kept in any case; of the others, all that have no room go.
    assert [entry.job is not None for entry in entries] == [True, True, False, False, False, False, False, True]
    assert {folder.name for folder in (tmp_path / "jobs").iterdir()} == {
        entries[0].job.id,
        entries[1].job.id,
        opened.id,
    }
