"""Trackers: each gets every epoch once, and the stored numbers are those of `log.jsonl`."""

import json
import shutil
import struct
from dataclasses import replace
from importlib.util import find_spec
from typing import ClassVar

import pytest

from gliomaseg.cli.options import TrackerName
from gliomaseg.config import read_recipe
from gliomaseg.errors import GliomasegError, MissingExtraError, UsageError
from gliomaseg.training import trackers
from gliomaseg.training.checkpoint import EpochRecord, Progress
from gliomaseg.training.run_folder import TrainOptions
from gliomaseg.training.trackers import TRACKERS, TrackedRun, Trackers, choose_trackers, open_trackers
from gliomaseg.training.train import train

SCORES = {"dice_volume": None, "dice_tumour_slices": 0.1}
FIRST = EpochRecord(1, 0.4, 0.5, SCORES, images=8, train_seconds=2.0, validation_seconds=1.0, images_per_s=4.0)
SECOND = replace(FIRST, epoch=2, train_loss=0.3, scores={**SCORES, "dice_volume": 0.25})
RECIPE = read_recipe("unet_small")


def quiet(_text: str) -> None:
    pass


def installed(name: str) -> bool:
    return all(find_spec(package) for package in TRACKERS[name].needs)


class Memory:
    """A tracker that keeps the numbers of the epochs; `broken` raises on write."""

    needs = ()
    extra = "memory"
    epochs: ClassVar[list[int]] = []
    closed = 0
    broken = False

    def __init__(self, run):
        self.run = run

    def write(self, record):
        if self.broken:
            raise ConnectionError("no answer")
        Memory.epochs.append(record.epoch)

    def close(self):
        Memory.closed += 1


@pytest.fixture
def memory(monkeypatch):
    monkeypatch.setitem(TRACKERS, "memory", Memory)
    monkeypatch.setattr(Memory, "epochs", [])
    monkeypatch.setattr(Memory, "closed", 0)
    return Memory


def test_every_tracker_is_a_choice_of_the_command():
    assert {*TRACKERS, "none"} == set(TrackerName), "add the tracker to TRACKERS and to cli/options.py"


def test_a_resumed_run_writes_each_epoch_once(memory, tmp_path):
    options = TrainOptions(RECIPE, tmp_path, tmp_path, trackers=("memory",))
    with open_trackers(options, Progress(), quiet) as opened:
        opened.write([FIRST])
    with open_trackers(options, Progress(history=[FIRST]), quiet) as opened:
        opened.write([FIRST, SECOND])
    assert memory.epochs == [1, 2]
    assert memory.closed == 2


def test_a_tracker_that_is_chosen_later_gets_the_earlier_epochs(memory, tmp_path):
    options = TrainOptions(RECIPE, tmp_path, tmp_path, trackers=("memory",))
    with open_trackers(options, Progress(history=[FIRST, SECOND]), quiet):
        assert memory.epochs == [1, 2]


def test_a_tracker_that_fails_is_closed_with_a_warning_and_catches_up_on_resume(memory, tmp_path, monkeypatch):
    lines = []
    monkeypatch.setattr(memory, "broken", True)
    opened = Trackers(tmp_path, RECIPE, ("memory",), lines.append)
    opened.write([FIRST])
    opened.write([FIRST, SECOND])
    opened.close()
    assert lines == ["warning: the tracker memory has failed (no answer); log.jsonl has all epochs"]
    monkeypatch.setattr(memory, "broken", False)
    Trackers(tmp_path, RECIPE, ("memory",), quiet).write([FIRST, SECOND])
    assert memory.epochs == [1, 2]


def test_a_tracker_that_cannot_be_opened_raises(memory, tmp_path, monkeypatch):
    def fail(self, run):
        raise OSError("no server")

    monkeypatch.setattr(memory, "__init__", fail)
    with pytest.raises(GliomasegError, match=r"the tracker memory cannot be opened \(no server\)"):
        Trackers(tmp_path, RECIPE, ("memory",), quiet)


def test_the_settings_name_the_start_without_its_folder(tmp_path):
    recipe = RECIPE.with_settings(["training.start_from=/data/anna/run"])
    assert TrackedRun(tmp_path, recipe, "0").settings["training.start_from"] == "run"


def test_a_run_keeps_its_identifier(memory, tmp_path):
    Trackers(tmp_path, RECIPE, ("memory",), quiet).write([FIRST])
    seen = [Trackers(tmp_path, RECIPE, ("memory",), quiet)._open["memory"].run for _ in range(2)]
    assert seen[0].identifier == seen[1].identifier
    assert seen[0].written == 1
    assert seen[0].settings["training.batch"] == RECIPE.training.batch


@pytest.mark.parametrize("name", ["mlflow", "wandb"])
def test_a_tracker_without_its_package_names_the_extra(name, monkeypatch, tmp_path):
    monkeypatch.setattr(trackers, "find_spec", lambda _name: None)
    options = TrainOptions(RECIPE, tmp_path / "absent", tmp_path / "run", trackers=(name,))
    with pytest.raises(MissingExtraError) as caught:
        train(options, say=quiet)
    assert caught.value.line() == f'the tracker {name} needs {name}; pip install "gliomaseg[{name}]"'
    assert not (tmp_path / "run").exists()


def test_an_unknown_tracker_raises():
    with pytest.raises(UsageError, match="tracker is 'aim', expected tensorboard, mlflow, wandb, or none alone"):
        choose_trackers(["aim"])


def test_none_is_no_tracker_and_does_not_go_with_others():
    assert choose_trackers(["none"]) == ()
    with pytest.raises(UsageError, match="tracker is 'none'"):
        choose_trackers(["none", "tensorboard"])


def test_without_tensorboard_and_without_a_choice_there_is_no_tracker(monkeypatch):
    monkeypatch.setattr(trackers, "find_spec", lambda _name: None)
    assert choose_trackers(None) == ()


@pytest.fixture(scope="module")
def tracked(phantoms, tmp_path_factory):
    """Train one epoch and then, resumed, a second one, with every tracker that is installed."""
    folder = tmp_path_factory.mktemp("tracked")
    small = ["preprocessing.size_px=64", "network.base_features=4", "network.levels=2"]
    small += ['training.schedule="constant"', "training.warmup=0", "training.epochs=1"]
    recipe = RECIPE.with_settings(small)
    names = tuple(name for name in TRACKERS if installed(name))
    options = TrainOptions(recipe, phantoms, folder / "run", cache=folder / "cache", trackers=names)
    with pytest.MonkeyPatch.context() as patch:
        for name in ("MLFLOW_TRACKING_URI", "WANDB_MODE"):
            patch.delenv(name, raising=False)
        train(options, say=quiet)
        train(replace(options, recipe=recipe.with_settings(["training.epochs=2"]), resume=True), say=quiet)
    return options


def logged(options) -> dict[str, list[float]]:
    """Return the values of each number in `log.jsonl`, by epoch."""
    lines = [json.loads(line) for line in (options.out / "log.jsonl").read_text().splitlines()]
    assert [line.pop("epoch") for line in lines] == [1, 2]
    return {name: [line[name] for line in lines] for name in lines[0]}


# MLflow and wandb use names that their own dependencies deprecate.
@pytest.mark.filterwarnings("ignore")
def test_tensorboard_has_the_numbers_of_the_log(tracked):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(tracked.out / "tensorboard")).Reload()
    for name, values in logged(tracked).items():
        assert [event.step for event in events.Scalars(name)] == [1, 2]
        assert [event.value for event in events.Scalars(name)] == pytest.approx(values, rel=1e-6)  # 32 bits


@pytest.mark.skipif(not installed("mlflow"), reason="the extra mlflow is not installed")
@pytest.mark.filterwarnings("ignore")
def test_mlflow_has_the_numbers_of_the_log_and_the_settings(tracked):
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=f"sqlite:///{tracked.out.as_posix()}/mlruns/mlflow.db")
    (run,) = client.search_runs([client.get_experiment_by_name("gliomaseg").experiment_id])
    assert run.info.run_name == "run"
    assert run.info.status == "FINISHED"
    assert run.data.params["network.base_features"] == "4"
    log = logged(tracked)
    assert set(run.data.metrics) == set(log)
    for name, values in log.items():
        history = client.get_metric_history(run.info.run_id, name)
        assert [(entry.step, entry.value) for entry in history] == list(zip((1, 2), values, strict=True))


@pytest.mark.skipif(not installed("wandb"), reason="the extra wandb is not installed")
@pytest.mark.filterwarnings("ignore")
def test_wandb_has_the_numbers_of_the_log_and_the_settings(tracked):
    files = sorted((tracked.out / "wandb").glob("offline-run-*/run-*.wandb"), key=lambda path: path.stat().st_mtime)
    assert len(files) == 2  # one for each start
    assert len({file.name for file in files}) == 1  # with one identifier
    records = [record for file in files for record in wandb_records(file)]
    config = {}
    for record in records:
        config |= {item.key or ".".join(item.nested_key): item.value_json for item in record.run.config.update}
    assert config["network.base_features"] == "4"
    history = []
    for record in records:
        if record.history.item:
            items = record.history.item
            history.append({item.key or ".".join(item.nested_key): json.loads(item.value_json) for item in items})
    assert [entry["_step"] for entry in history] == [1, 2]
    for name, values in logged(tracked).items():
        assert [entry[name] for entry in history] == values


@pytest.mark.filterwarnings("ignore")
def test_overwrite_replaces_the_files_of_all_trackers(tracked, tmp_path):
    out = shutil.copytree(tracked.out, tmp_path / "run", symlinks=True)
    written = {"trackers.json", "mlruns", "wandb", "tensorboard"} & {entry.name for entry in out.iterdir()}
    assert {"trackers.json", "tensorboard"} <= written
    train(replace(tracked, out=out, trackers=(), overwrite=True), say=quiet)
    assert not written & {entry.name for entry in out.iterdir()}


def wandb_records(file):
    """Yield the records of an offline run: a LevelDB log of blocks of 32 KiB, after a header of 7 bytes."""
    from wandb.proto import wandb_internal_pb2

    data, at, parts = file.read_bytes(), 7, b""
    while at + 7 <= len(data):
        if 32768 - at % 32768 < 7:  # the rest of a block is too small for a header
            at += 32768 - at % 32768
            continue
        _, length, kind = struct.unpack_from("<IHB", data, at)
        parts += data[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):  # whole, or the last part
            yield wandb_internal_pb2.Record.FromString(parts)
            parts = b""
