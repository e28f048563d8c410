"""Runs are trained from a pack, without the data set, and scored with it."""

import json
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from safetensors.numpy import load_file

from gliomaseg.config import Split
from gliomaseg.data.cache import open_cache
from gliomaseg.data.layouts import read_cases
from gliomaseg.data.split import split_data, write_splits
from gliomaseg.errors import DataError, Interrupted, PartlyDoneError, TrainingError, UsageError
from gliomaseg.training.run_folder import TrainOptions
from gliomaseg.training.train import train

SCRIPT = Path(__file__).parents[2] / "studies" / "train_bundled.py"
SMALL = ["preprocessing.size_px=64", "network.levels=2", "training.epochs=1", "training.batch=4", "training.ema=0.9"]
STRIPPED = [*SMALL, "augmentation.preset=strong", "augmentation.skull_strip=0.3"]
FLAIR = {"name": "flair", "recipe": "unet_small", "settings": STRIPPED, "folds": ["all"]}
T1 = {"name": "t1", "recipe": "unet_small", "settings": [*SMALL, "preprocessing.input=t1_flair"], "folds": [1]}


def write_variants(file, *variants):
    """Write the TOML file of variants; JSON's lists and strings are TOML too."""
    tables = ("[[variant]]\n" + "".join(f"{k} = {json.dumps(v)}\n" for k, v in variant.items()) for variant in variants)
    file.write_text("\n".join(tables))
    return file


@pytest.fixture(scope="module")
def script(load_script):
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(SCRIPT.parent)
        yield load_script(SCRIPT)


@pytest.fixture(scope="module")
def place(tmp_path_factory, phantoms):
    """Return a folder with the splits of two folds."""
    folder = tmp_path_factory.mktemp("bundled")
    write_splits(split_data(read_cases(phantoms), Split(folds=2)), folder / "two.json")
    return folder


@pytest.fixture(scope="module")
def pack(script, place, phantoms):
    """Return a pack of FLAIR on all five patients, and T1 and FLAIR on fold 1."""
    variants = write_variants(place / "variants.toml", FLAIR, T1)
    script.files.write_pack(variants, phantoms, place / "two.json", place / "pack", place / "cache", script.say)
    return place / "pack"


@pytest.fixture(scope="module")
def resumed(script, place, pack):
    """Return the folder of two runs that were cut off after one batch each; the second ended in its own process."""
    work = place / "work"
    plan = script.read_plan(pack)
    script.files.unpack(plan, pack, work / "cache")
    for number in range(2):
        with pytest.raises(Interrupted, match="stopped after batch 1 of epoch 1"):
            script.train_one(pack, work, number, time.time() - 1, "cpu")
    assert not any(script.is_trained(job, work) for job in plan.jobs)
    script.train_one(pack, work, 0, time.time() + 300, "cpu")  # a process takes seconds to start
    script.train_all(given(pack, work, place / "results", minutes=5))
    return work


@pytest.fixture(scope="module")
def scored(script, place, resumed, phantoms):
    script.score_all([place / "results"], phantoms, place / "scored", place / "cache")
    return place / "scored"


def given(pack, work, out, minutes):
    """Return the arguments of the step `train`."""
    return SimpleNamespace(pack=pack, work=work, out=out, minutes=minutes, device="cpu", side_by_side=2, part=1)


def weights_of(run):
    return load_file(run / "checkpoint" / "last.safetensors")


def test_unpacked_slices_are_those_of_the_cache(script, pack, phantoms, tmp_path):
    plan = script.read_plan(pack)
    script.files.unpack(plan, pack, tmp_path)
    for job in plan.jobs:
        options = {"brain": True, "progress": pytest.fail}  # it prints before it builds
        unpacked = open_cache(read_cases(phantoms), job.recipe.preprocessing, folder=tmp_path, **options)
        built = open_cache(read_cases(phantoms), job.recipe.preprocessing, folder=pack.parent / "cache", **options)
        assert (unpacked.digest, unpacked.names) == (built.digest, built.names)
        for name in ("images", "masks", "brain"):
            assert np.array_equal(getattr(unpacked, name), getattr(built, name)), name


def test_what_two_caches_share_is_packed_once(script, pack):
    flair, both = script.read_plan(pack).caches.values()
    assert both.channels[1:] == flair.channels
    assert (both.masks, both.brain) == (flair.masks, flair.brain)
    assert len(list(pack.glob("*.xz"))) == 4  # T1, FLAIR, masks, brains


def test_a_damaged_pack_is_refused(script, pack, tmp_path):
    plan = script.read_plan(pack)
    for file in pack.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes()[: -1 if file.suffix == ".xz" else None])
    with pytest.raises(DataError, match=r"\.xz: is missing or damaged; pack again"):
        script.files.unpack(plan, tmp_path, tmp_path / "cache")


def test_a_run_that_the_budget_has_cut_off_ends_with_the_weights_of_gliomaseg_train(
    script, place, pack, resumed, phantoms, monkeypatch
):
    monkeypatch.setattr("gliomaseg.training.train.write_artifacts", lambda _run, _setting: None)
    recipe = script.read_plan(pack).jobs[1].recipe
    out = place / "uncut"
    train(TrainOptions(recipe, phantoms, out, place / "two.json", 1, "cpu", cache=place / "cache"), say=script.say)
    cut, uncut = weights_of(resumed / "runs" / "t1" / "fold-1"), weights_of(out)
    assert cut.keys() == uncut.keys()
    assert all(np.array_equal(cut[name], uncut[name]) for name in uncut)


def test_without_time_it_starts_no_run_and_writes_no_weights(script, pack, tmp_path):
    with pytest.raises(PartlyDoneError, match="not all runs are finished"):
        script.train_all(given(pack, tmp_path / "work", tmp_path / "results", minutes=0))
    script.files.read_results(tmp_path / "results", tmp_path / "received")
    assert [file.name for file in (tmp_path / "received").rglob("*.*")] == ["plan.json"]
    assert not (tmp_path / "work" / "output").exists()


def test_a_failed_run_is_named_with_its_last_line(script, pack, tmp_path, monkeypatch, capsys):
    def fail(arguments, job, _number, _until):
        output = arguments.work / "output" / f"{job.name}.txt"
        output.parent.mkdir(parents=True)
        output.write_text("first\nout of memory\n")
        return subprocess.Popen([sys.executable, "-S", "-c", "raise SystemExit(5)"])

    monkeypatch.setattr(script, "start_one", fail)
    with pytest.raises(TrainingError, match=r"output: 2 run\(s\) failed"):
        script.train_all(given(pack, tmp_path / "work", tmp_path / "results", minutes=5))
    assert "t1/fold-1 failed: out of memory\n" in capsys.readouterr().err


def test_the_runs_of_another_pack_are_refused(script, pack, resumed, place, phantoms):
    variants = write_variants(place / "other.toml", T1 | {"folds": [0]})
    script.files.write_pack(variants, phantoms, place / "two.json", place / "other", place / "cache", script.say)
    with pytest.raises(UsageError, match="work: has the runs of another pack"):
        script.train_all(given(place / "other", resumed, place / "none", minutes=5))


def test_the_weights_of_a_scored_model_are_the_trained_ones_in_16_bits(resumed, scored):
    trained = weights_of(resumed / "runs" / "t1" / "fold-1")
    model = load_file(scored / "t1" / "fold-1" / "model" / "model.safetensors")
    for name, weights in model.items():
        average = trained[f"average.{name}"]
        assert np.array_equal(weights, average.astype(np.float16) if average.ndim > 1 else average), name


def test_a_fold_is_scored_on_its_validation_side(script, pack, scored):
    metrics = json.loads((scored / "t1" / "fold-1" / "model" / "metrics.json").read_text())
    validation = script.read_plan(pack).splits.folds[1].validation
    assert [row["case"] for row in metrics["patients"]] == list(validation)
    assert (metrics["setting"]["fold"], metrics["setting"]["patients_seen"]) == (1, 0)


def test_a_model_of_all_patients_warns_that_its_scores_are_too_high(script, scored):
    model = scored / "flair" / "all" / "model"
    assert len(json.loads((model / "config.json").read_text())["trained_on"]) == 5
    setting = json.loads((model / "metrics.json").read_text())["setting"]
    # Every second of five patients.
    assert (setting["warning"], setting["patients_seen"], setting["subset"]) == (script.SEEN, 3, "train")


def test_runs_that_do_not_fit_are_in_the_next_part(script, pack, resumed, tmp_path, monkeypatch):
    plan = script.read_plan(pack)
    monkeypatch.setattr(script.files, "LOG_BYTES", 0)
    monkeypatch.setattr(script.files, "PIECE_BYTES", 30_000)  # 4 pieces are less than the weights of two runs
    for part in (1, 2):
        script.files.write_part(plan, resumed, tmp_path / "results", part)
    sizes = [file.stat().st_size for file in (tmp_path / "results").rglob("*.zip.*")]
    assert len(sizes) > 2
    assert max(sizes) == 30_000
    assert script.files.read_results(tmp_path / "results", tmp_path / "received") == plan
    assert len(list((tmp_path / "received").rglob("weights.safetensors"))) == 2
    with pytest.raises(UsageError, match="--part: part is 3, expected 1 to 2"):
        script.files.write_part(plan, resumed, tmp_path / "results", 3)


def test_results_without_a_piece_are_refused(script, pack, resumed, tmp_path, monkeypatch):
    monkeypatch.setattr(script.files, "PIECE_BYTES", 30_000)
    script.files.write_part(script.read_plan(pack), resumed, tmp_path / "results", 1)
    (tmp_path / "results" / "part-1" / "runs.zip.1").unlink()
    with pytest.raises(DataError, match="part-1: is not complete; copy all of its pieces"):
        script.files.read_results(tmp_path / "results", tmp_path / "received")


@pytest.mark.parametrize(
    ("variants", "message"),
    [
        ([T1 | {"settings": ['training.start_from="glioma-flair"']}], "t1: starts from other weights"),
        ([FLAIR | {"settings": ['training.exported_checkpoint="best"']}], "flair: exports the best epoch"),
        ([T1, T1], "two runs have the same name"),
    ],
)
def test_variants_that_cannot_be_trained_are_refused(script, place, phantoms, tmp_path, variants, message):
    file = write_variants(tmp_path / "variants.toml", *variants)
    with pytest.raises(UsageError, match=message):
        script.files.write_pack(file, phantoms, place / "two.json", tmp_path / "pack", place / "cache", script.say)
    assert not (tmp_path / "pack").exists()


def test_missing_packages_are_named_in_one_line():
    # Without `site`, Python finds no installed package.
    done = subprocess.run([sys.executable, "-S", "-E", SCRIPT, "train"], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "packages are missing: accelerate, annotated_types, " in done.stderr
    assert done.stderr.count("\n") == 1
