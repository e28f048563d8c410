"""Of several models, each scan gets the one that looks at most of what it holds."""

import hashlib
import json
import shutil

import numpy as np
import pytest

from gliomaseg.errors import GliomasegError, ModelError
from gliomaseg.model import write_digests
from gliomaseg.prediction import Choice, Predictor, join_sequences, open_choice, predict
from gliomaseg.scan import Scan

LEVELS = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), np.uint8)


@pytest.fixture
def models(bright, tmp_path):
    """Write two models, of FLAIR and of T1 and FLAIR; both find what is bright on FLAIR."""
    folders = []
    for name, sequences in (("flair", ["flair"]), ("t1-flair", ["pre", "flair"])):
        folder = tmp_path / name
        shutil.copytree(bright, folder)
        config = json.loads((folder / "config.json").read_text()) | {"name": name, "sequences": sequences}
        (folder / "config.json").write_text(json.dumps(config))
        write_digests(folder)
        folders.append(folder)
    return folders


def chosen(models, scan):
    return open_choice(models).suited(scan).model.config.name


def test_a_scan_with_t1_gets_the_model_of_t1(models):
    assert chosen(models, Scan(LEVELS, "here")) == "t1-flair"


def test_a_scan_of_one_channel_gets_the_model_of_flair(models):
    assert chosen(models, Scan(LEVELS[..., 1:2], "here")) == "flair"


@pytest.mark.parametrize(
    "channels", [pytest.param([1, 1, 1], id="FLAIR alone"), pytest.param([1, 1, 2], id="T1 after contrast alone")]
)
def test_a_copy_of_flair_is_no_t1(models, channels):
    assert chosen(models, Scan(LEVELS[..., channels], "here")) == "flair"


def test_the_order_of_the_models_does_not_matter(models):
    assert chosen(models[::-1], Scan(LEVELS, "here")) == "t1-flair"
    assert chosen(models[::-1], Scan(LEVELS[..., 1:2], "here")) == "flair"


def test_where_no_model_has_enough_it_is_the_one_that_looks_at_least(models):
    scan = Scan(LEVELS[..., :1], "here", sequences=("pre",))
    assert chosen(models, scan) == "flair"


def test_a_model_is_opened_once(models):
    choice = open_choice(models)
    assert choice.suited(Scan(LEVELS, "here")) is choice.suited(Scan(LEVELS + 1, "there"))


def test_one_model_is_no_choice(models):
    alone = open_choice(models[:1])
    assert isinstance(alone, Predictor)
    assert alone.suited(Scan(LEVELS, "here")) is alone


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
