"""Of several models, each scan gets the mask of which the most is to be expected."""

import hashlib
import json
import shutil
from dataclasses import replace

import numpy as np
import pytest

from gliomaseg.config import Quality
from gliomaseg.errors import GliomasegError, ModelError
from gliomaseg.model import write_digests
from gliomaseg.prediction import Choice, Predictor, join_sequences, open_choice, predict
from gliomaseg.prediction import choice as choice_module
from gliomaseg.scan import Scan

LEVELS = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), np.uint8)
ALIKE = {"flair": 0.0, "t1-flair": 0.0}


def made(bright, folder, expected=ALIKE):
    """Write two models, of FLAIR and of T1 and FLAIR, that find what is bright on FLAIR and expect always the same."""
    folders = []
    for name, sequences in (("flair", ["flair"]), ("t1-flair", ["pre", "flair"])):
        shutil.copytree(bright, folder / name)
        config = json.loads((folder / name / "config.json").read_text()) | {"name": name, "sequences": sequences}
        config["quality"] = {"bias": expected[name], "weights": {}} if name in expected else None
        (folder / name / "config.json").write_text(json.dumps(config))
        write_digests(folder / name)
        folders.append(folder / name)
    return folders


@pytest.fixture
def models(bright, tmp_path):
    return made(bright, tmp_path)


def chosen(models, scan):
    return open_choice(models).predict(scan).model.config.name


@pytest.mark.parametrize(
    ("expected", "name"),
    [({"flair": 1, "t1-flair": 2}, "t1-flair"), ({"flair": 2, "t1-flair": 1}, "flair"), (ALIKE, "t1-flair")],
)
def test_a_scan_with_t1_gets_the_mask_of_which_more_is_expected(bright, tmp_path, expected, name):
    folders = made(bright, tmp_path, expected)
    assert chosen(folders, Scan(LEVELS, "here")) == name
    assert chosen(folders[::-1], Scan(LEVELS, "here")) == name


@pytest.mark.parametrize("expected", [{"flair": 2}, {"t1-flair": 2}, {}])
def test_where_a_model_does_not_know_what_to_expect_the_one_of_t1_is_asked_alone(bright, tmp_path, expected):
    assert chosen(made(bright, tmp_path, expected), Scan(LEVELS, "here")) == "t1-flair"


def test_a_mask_that_is_warned_of_is_taken_only_where_all_are(bright, tmp_path, monkeypatch):
    choice = open_choice(made(bright, tmp_path, {"flair": 1, "t1-flair": 2}))
    warnings = {"flair": (), "t1-flair": ("odd",)}
    ask = Predictor.predict
    monkeypatch.setattr(
        Predictor, "predict", lambda self, scan: replace(ask(self, scan), warnings=warnings[self.model.config.name])
    )
    found = choice.predict(Scan(LEVELS, "here"))
    assert (found.model.config.name, found.warnings) == ("flair", ("odd",))
    warnings["flair"] = ("odd",)
    found = choice.predict(Scan(LEVELS, "here"))
    assert (found.model.config.name, found.warnings) == ("t1-flair", ("odd",))


def test_what_finds_nothing_expects_nothing(bright, tmp_path):
    choice = open_choice(made(bright, tmp_path, {"flair": 0.0, "t1-flair": 3.0}))
    config = choice.models[0].config
    silent = config.model_copy(update={"decision": config.decision.model_copy(update={"threshold": 0.999999})})
    signs = Quality(bias=3, weights={"soft_dice": 0.1})
    model = replace(choice.models[0], config=silent.model_copy(update={"quality": signs}))
    alone = Choice([model, choice.models[1]])
    assert alone.predict(Scan(LEVELS // 2, "here")).model.config.name == "flair"


def test_a_scan_of_one_channel_gets_the_model_of_flair(models):
    assert chosen(models, Scan(LEVELS[..., 1:2], "here")) == "flair"


@pytest.mark.parametrize(
    "channels", [pytest.param([1, 1, 1], id="FLAIR alone"), pytest.param([1, 1, 2], id="T1 after contrast alone")]
)
def test_a_copy_of_flair_is_no_t1(models, channels):
    assert chosen(models, Scan(LEVELS[..., channels], "here")) == "flair"


def test_where_no_model_has_enough_it_is_the_one_that_looks_at_least(models):
    scan = Scan(LEVELS[..., :1], "here", sequences=("pre",))
    assert chosen(models, scan) == "flair"


def test_a_model_is_opened_once(models, monkeypatch):
    opened = []
    real = choice_module.predictor_of
    monkeypatch.setattr(
        choice_module, "predictor_of", lambda model, **more: opened.append(model.config.name) or real(model, **more)
    )
    choice = open_choice(models)
    assert opened == ["flair"]
    for _ in range(2):
        choice.predict(Scan(LEVELS, "here"))
    assert opened == ["flair", "t1-flair"]


def test_one_model_is_no_choice(models):
    alone = open_choice(models[:1])
    assert isinstance(alone, Predictor)
    assert alone.predict(Scan(LEVELS, "here")).model.config.name == "flair"


def test_what_an_engine_lacks_is_told_before_any_scan(models):
    with pytest.raises(GliomasegError):
        open_choice(models, engine="torch")  # there are no weights for it


def test_a_damaged_model_is_told_before_any_scan(models):
    (models[1] / "model.onnx").write_bytes(b"")
    with pytest.raises(ModelError, match="differs from its digest"):
        open_choice(models)


def test_the_digest_is_of_all_models_in_the_order_of_choice(models):
    choice = open_choice(models)
    assert isinstance(choice, Choice)
    digests = [hashlib.sha256((folder / "model.onnx").read_bytes()).hexdigest() for folder in models[::-1]]
    assert choice.digest == hashlib.sha256(" ".join(digests).encode()).hexdigest()


def test_a_row_names_the_model_that_its_scan_got(models, tmp_path):
    from nibabel import save
    from nibabel.nifti1 import Nifti1Image

    for name, channel in (("flair", 1), ("t1", 0)):
        save(Nifti1Image(LEVELS[..., channel].astype(np.int16).T, np.diag([2, 2, 5, 1])), tmp_path / f"{name}.nii.gz")
    choice = open_choice(models)
    for t1, model in ((tmp_path / "t1.nii.gz", "t1-flair"), (None, "flair")):
        entry = join_sequences(tmp_path / "flair.nii.gz", t1=t1, t1ce=None)
        row = predict(entry, tmp_path / model, choice)
        assert (row.error, row.model) == (None, model)
        assert row.document()["model"] == model


def test_the_digest_is_of_what_the_engine_runs(models):
    from gliomaseg.prediction.predictor import running_digest

    model = open_choice(models).models[0]
    (model.folder / "model.safetensors").write_bytes(b"weights")
    weights = hashlib.sha256(b"weights").hexdigest()
    assert running_digest(model, "torch") == weights
    assert running_digest(model, "onnxruntime") == model.digest != weights
