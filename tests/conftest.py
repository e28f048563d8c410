"""What several tests share: tiny data sets in the archive's layout, and the real one where it is at hand."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from files import shared_path

KaggleTree = Callable[..., Path]
# The files that take longest begin, so that no worker waits for them at the end.
LONGEST = (
    "training/test_train.py",
    "bulk/test_bulk.py",
    "training/test_processes.py",
    "design/test_documented_training.py",
    "design/test_documented_crossvalidation.py",
    "design/test_documented_commands.py",
)


def pytest_configure() -> None:
    """Take Ctrl-C where the runner ignores it: a shell's background jobs, and what they start, would not feel it."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Move the tests of the longest files to the front; the order is otherwise kept."""
    items.sort(key=lambda item: not item.path.as_posix().endswith(LONGEST))


@pytest.fixture(scope="session")
def kaggle_tree() -> KaggleTree:
    """Return `write(root, {name: slices}, side=16, seed=0)`: it writes `root/<name>/<name>_<n>.tif` with masks.

    Pictures are noise, RGB. Slices of an even number bear a tumour of a quarter of their pixels, the upper
    left one; slices of an odd number bear none.
    """

    def write(root: Path, cases: dict[str, int], side: int = 16, seed: int = 0) -> Path:
        generator = np.random.default_rng(seed)
        for name, slices in cases.items():
            folder = root / name
            folder.mkdir(parents=True)
            for number in range(1, slices + 1):
                image = generator.integers(0, 256, (side, side, 3), np.uint8)
                mask = np.zeros((side, side), np.uint8)
                if number % 2 == 0:
                    mask[: side // 2, : side // 2] = 255
                tifffile.imwrite(folder / f"{name}_{number}.tif", image, photometric="rgb")
                tifffile.imwrite(folder / f"{name}_{number}_mask.tif", mask, photometric="minisblack")
        return root

    return write


@pytest.fixture(scope="session")
def real_data() -> Iterator[Path]:
    """Restore the 88 LGG patients as the archive holds them, twice, and return the archive's root."""
    restore = shared_path("lgg", "restore")
    with tempfile.TemporaryDirectory(prefix="gliomaseg-lgg-") as folder:
        command = [sys.executable, str(restore), folder, "--kaggle-archive"]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        yield Path(folder)


@pytest.fixture(scope="session")
def real_scans() -> Path:
    """Return the folder of real scans."""
    return shared_path("scans")


def make_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], None]) -> Path:
    """Return a folder that is made once for all workers of pytest-xdist; the others wait for it."""
    # With xdist, each worker has a folder of its own below the folder of the run.
    shared = factory.getbasetemp().parent if os.environ.get("PYTEST_XDIST_WORKER") else factory.getbasetemp()
    folder, done = shared / name, shared / f"{name}.done"
    with (shared / f"{name}.lock").open("w") as lock:
        try:
            import fcntl

            fcntl.flock(lock, fcntl.LOCK_EX)
        except ImportError:  # Windows: each worker would need its own folder
            pass
        if not done.exists():
            folder.mkdir()
            make(folder)
            done.touch()
    return folder


@pytest.fixture(scope="session")
def external_scans() -> Path:
    """Return the folder of scans of other sources."""
    return shared_path("external")


def write_small_phantoms(root: Path, *, slices: int) -> Path:
    """Write five phantom patients of 64 x 64 pixels in the Kaggle layout."""
    from gliomaseg.phantoms import phantom_patient

    for index in range(5):
        patient = phantom_patient(index, side_px=64, slices=slices)
        folder = root / patient.name
        folder.mkdir(parents=True)
        for k, (image, mask) in enumerate(zip(patient.image, patient.mask, strict=True), start=1):
            tifffile.imwrite(folder / f"{patient.name}_{k}.tif", image, photometric="rgb")
            name = f"{patient.name}_{k}_mask.tif"
            tifffile.imwrite(folder / name, mask.astype(np.uint8) * 255, photometric="minisblack")
    return root


@pytest.fixture(scope="session")
def phantoms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write five small phantom patients of eight slices, and return their folder."""
    return write_small_phantoms(tmp_path_factory.mktemp("phantoms") / "kaggle_3m", slices=8)


@pytest.fixture(scope="session")
def bright(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a model that needs no training: tumour is what is brighter than 110 of 255 on FLAIR, 128 x 128 pixels."""
    import onnx
    from onnx import TensorProto, helper

    from gliomaseg.config import Postprocessing, Preprocessing
    from gliomaseg.config.network import Unet
    from gliomaseg.model import ModelConfig, write_config, write_digests

    folder = tmp_path_factory.mktemp("bright") / "model"
    folder.mkdir()
    numbers = {"one": (TensorProto.INT64, [], [1]), "level": (TensorProto.FLOAT, [], [2 * 110 / 255 - 1])}
    numbers["steep"] = (TensorProto.FLOAT, [], [20.0])
    graph = helper.make_graph(
        [
            helper.make_node("Gather", ["slices", "one"], ["flair"], axis=1),
            helper.make_node("Sub", ["flair", "level"], ["above"]),
            helper.make_node("Mul", ["above", "steep"], ["logit"]),
            helper.make_node("Sigmoid", ["logit"], ["tumour_probability"]),
        ],
        "bright",
        [helper.make_tensor_value_info("slices", TensorProto.FLOAT, ["n", 3, 128, 128])],
        [helper.make_tensor_value_info("tumour_probability", TensorProto.FLOAT, ["n", 128, 128])],
        [helper.make_tensor(name, kind, shape, values) for name, (kind, shape, values) in numbers.items()],
    )
    opset = [helper.make_opsetid("", 18)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=10), folder / "model.onnx")
    preprocessing = Preprocessing(size_px=128, input="flair")
    config = ModelConfig(
        name="bright",
        preprocessing=preprocessing,
        network=Unet(),
        postprocessing=Postprocessing(),
        sequences=("flair",),
        versions={},
    )
    write_config(folder, config)
    write_digests(folder)
    return folder


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Train a small U-Net on phantoms until it finds tumours, and return the run's folder; leave it as it is."""
    return make_once(tmp_path_factory, "trained", _train_until_tumours_are_found) / "run"


def _train_until_tumours_are_found(folder: Path) -> None:
    from gliomaseg.config import read_recipe
    from gliomaseg.training.run_folder import TrainOptions
    from gliomaseg.training.train import train

    data = write_small_phantoms(folder / "data", slices=20)
    settings = ["preprocessing.size_px=64", "network.levels=3", "training.epochs=16", "training.batch=4"]
    recipe = read_recipe("unet_small").with_settings(
        # Not every seed learns: features that die in the tumour leave it to the bias.
        [
            *settings,
            "training.seed=2",
            "training.precision=fp32",
            "training.learning_rate=0.01",
            "augmentation.preset=none",
            'training.exported_checkpoint="best"',
        ]
    )
    train(TrainOptions(recipe, data, folder / "run", cache=folder / "cache"), say=lambda _text: None)


@pytest.fixture
def write_metrics(tmp_path: Path) -> Callable[[Any], Path]:
    """Return `write_metrics(tree)`: it writes a `metrics.json` of its own and returns its folder."""

    def write_tree(tree: Any) -> Path:
        place = tmp_path / "own"
        place.mkdir(exist_ok=True)
        (place / "metrics.json").write_text(tree if isinstance(tree, str) else json.dumps(tree), "utf-8")
        return place

    return write_tree
