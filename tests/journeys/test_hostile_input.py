"""What a careless or hostile hand can do: one line and an exit code, and nothing precious is lost."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from gliomaseg.config import read_recipe
from gliomaseg.demo import run_demo
from gliomaseg.errors import ConfigError, Interrupted, OutputExistsError
from gliomaseg.formats import write_picture
from gliomaseg.training.run_folder import TrainOptions
from gliomaseg.training.train import train
from warm_commands import run_warm

SMALL = [
    "preprocessing.size_px=64",
    "network.base_features=4",
    "network.levels=2",
    "training.epochs=1",
    "training.batch=16",
]


def run(*arguments, cwd: Path, code: int = 0) -> subprocess.CompletedProcess:
    done = run_warm([*map(str, arguments)], folder=cwd, env=dict(os.environ), timeout_s=30)
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    return done


def order(data: Path, out: Path, **changes) -> TrainOptions:
    return TrainOptions(read_recipe("unet_small").with_settings(SMALL), data, out, **changes)


def hush(_text: str) -> None:
    pass


def test_predict_overwrite_never_replaces_a_patients_slices(phantoms, trained, tmp_path):
    data = tmp_path / "data"
    shutil.copytree(phantoms, data)
    patient = min(data.iterdir())
    before = sorted(entry.name for entry in patient.iterdir())
    done = run("predict", patient, "--out", data, "--model", trained, "--overwrite", cwd=tmp_path, code=2)
    assert "lies inside the data set; name a place outside of it" in done.stderr
    assert sorted(entry.name for entry in patient.iterdir()) == before


def test_predict_overwrite_replaces_an_earlier_prediction(phantoms, trained, tmp_path):
    patient = min(phantoms.iterdir())
    for _ in range(2):
        run("predict", patient, "--out", "masks", "--model", trained, "--overwrite", cwd=tmp_path)


def test_train_overwrite_removes_nothing_but_runs(phantoms, tmp_path):
    (tmp_path / "thesis.txt").write_text("precious")
    with pytest.raises(OutputExistsError, match=r"thesis\.txt: is not ours"):
        train(order(phantoms, tmp_path, overwrite=True), say=hush)
    data = tmp_path / "data"
    shutil.copytree(phantoms, data)
    with pytest.raises(OutputExistsError):
        train(order(data, data, overwrite=True), say=hush)
    assert (tmp_path / "thesis.txt").read_text() == "precious"
    assert len(list(data.iterdir())) == 5


def test_demo_overwrite_removes_nothing_but_demos(tmp_path):
    (tmp_path / "cache").mkdir()
    (tmp_path / "thesis.txt").write_text("precious")
    with pytest.raises(OutputExistsError):
        run_demo(tmp_path, "unet_small", overwrite=True, log=hush)
    (tmp_path / "thesis.txt").unlink()
    (tmp_path / "data" / "kaggle_3m" / "TCGA_XX_1_20000101").mkdir(parents=True)
    with pytest.raises(OutputExistsError, match="phantom did not write it"):
        run_demo(tmp_path, "unet_small", overwrite=True, log=hush)
    assert (tmp_path / "data" / "kaggle_3m" / "TCGA_XX_1_20000101").is_dir()


def test_resume_refuses_another_fold_or_splits_file(phantoms, tmp_path):
    for seed in (0, 1):
        run("split", phantoms, "--out", f"{seed}.json", "--folds", 2, "--seed", seed, cwd=tmp_path)
    out, first, cache = tmp_path / "run", tmp_path / "0.json", tmp_path / "cache"
    train(order(phantoms, out, splits=first, cache=cache), say=hush)
    with pytest.raises(ConfigError, match="fold or split differs"):
        train(order(phantoms, out, splits=first, fold=1, resume=True, cache=cache), say=hush)
    with pytest.raises(ConfigError, match=r"1\.json: the splits differ"):
        train(order(phantoms, out, splits=tmp_path / "1.json", resume=True, cache=cache), say=hush)


def test_a_stop_while_the_last_epoch_is_measured_is_heeded(phantoms, tmp_path, monkeypatch):
    from gliomaseg.training import loop

    measure = loop.validate
    monkeypatch.setattr(loop, "validate", lambda run: (os.kill(os.getpid(), signal.SIGINT), measure(run))[1])
    with pytest.raises(Interrupted, match="after epoch 1"):
        train(order(phantoms, tmp_path / "run", cache=tmp_path / "cache"), say=hush)
    monkeypatch.undo()
    said = []
    train(order(phantoms, tmp_path / "run", resume=True, cache=tmp_path / "cache"), say=said.append)
    assert not any(line.startswith("epoch 1") for line in said)


def test_rows_of_what_was_done_are_printed_before_a_stop(phantoms, bright, tmp_path, monkeypatch, capsys):
    from gliomaseg.cli.predict import predict
    from gliomaseg.errors import ResourceError
    from gliomaseg.prediction import predict as predict_module

    done = predict_module.predict

    def fill_the_disk(entry, *rest):
        if entry.name == "b":
            raise ResourceError("the disk is full", where="b")
        return done(entry, *rest)

    monkeypatch.setattr(predict_module, "predict", fill_the_disk)
    for name in "abc":
        write_picture(tmp_path / f"{name}.png", np.full((32, 32), 90, np.uint8))
    with pytest.raises(ResourceError):
        predict(tmp_path / "out", [tmp_path], model=bright, as_json=True)
    rows = json.loads(capsys.readouterr().out)
    assert [(Path(row["input"]).name, row["error"] is None) for row in rows] == [("a.png", True), ("b.png", False)]


def test_what_exists_already_is_the_commands_fault_and_exits_2(bright, tmp_path):
    (tmp_path / "in").mkdir()
    for name in ("a", "b"):
        write_picture(tmp_path / "in" / f"{name}.png", np.full((32, 32), 90, np.uint8))
    run("predict", "in", "--out", "o", "--model", bright, cwd=tmp_path)
    run("predict", "in", "--out", "o", "--model", bright, cwd=tmp_path, code=2)
    run("predict", "in/a.png", "--out", "o", "--model", bright, cwd=tmp_path, code=2)


def test_a_pipe_is_no_picture(trained, tmp_path):
    os.mkfifo(tmp_path / "a.tif")
    done = run("predict", "a.tif", "--out", "o", "--model", trained, cwd=tmp_path, code=3)
    assert "is not a regular file" in done.stderr


def test_links_that_lead_back_up_are_not_followed(trained, tmp_path):
    (tmp_path / "in").mkdir()
    write_picture(tmp_path / "in" / "x.png", np.zeros((64, 64), np.uint8))
    (tmp_path / "in" / "a").symlink_to(".")
    (tmp_path / "in" / "b").symlink_to(".")
    rows = json.loads(run("predict", "in", "--out", "o", "--model", trained, "--json", cwd=tmp_path).stdout)
    assert len(rows) == 1


def test_a_name_that_is_not_text_goes_all_the_way(kaggle_tree, trained, tmp_path):
    data = kaggle_tree(tmp_path / "data", {"\udcff": 2, "A_XX_1_20000101": 2})
    run("predict", data, "--out", "o", "--model", trained, cwd=tmp_path)
    train(order(data, tmp_path / "run", cache=tmp_path / "cache"), say=hush)


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["split", "DATA", "--out", "x" * 300], 1, "name too long"),
        (["predict", "DATA", "--out", "o", "--model", "x" * 300], 3, "name too long"),
        (["predict", "x" * 300, "--out", "o", "--model", "MODEL"], 3, "name too long"),
        (["evaluate", "DATA", "--out", "e", "--model", "MODEL", "--subset", "train"], 2, "--splits"),
        (["evaluate", "DATA", "--out", "e", "--model", "MODEL", "--fold", "1"], 2, "--splits"),
        (["evaluate", "DATA", "--out", "e", "--model", "MODEL", "--splits", "empty.json"], 3, "is empty"),
        (["evaluate", "DATA", "--out", "e", "--model", "MODEL", "--splits", "deep.json"], 3, "not a splits file"),
        (["train", "deep.toml", "--data", "DATA", "--out", "r"], 2, "not TOML"),
        (["train", "unet_small", "--data", "DATA", "--out", "r", "--set", f"training.seed={2**64}"], 2, "seed"),
    ],
)  # fmt: skip
def test_odd_arguments_get_one_line(arguments, code, words, phantoms, trained, tmp_path):
    fold = {"train": ["PHANTOM_AA_1000_20000101"], "validation": []}
    (tmp_path / "empty.json").write_text(json.dumps({"by": "patient", "seed": 0, "folds": [fold]}))
    (tmp_path / "deep.json").write_text("[" * 200_000)
    (tmp_path / "deep.toml").write_text("title = " + "[" * 10_000)
    places = {"DATA": phantoms, "MODEL": trained}
    done = run(*(places.get(word, word) for word in arguments), cwd=tmp_path, code=code)
    assert words in done.stderr
    assert done.stdout == ""
    assert len(list(tmp_path.iterdir())) == 3


def test_messages_never_go_to_stdout_where_stderr_is_closed(tmp_path):
    command = f"exec 2>&-; {sys.executable} -m gliomaseg audit absent --json"
    done = subprocess.run(["bash", "-c", command], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (3, "")
