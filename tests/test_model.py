import json
import shutil

import pytest

from gliomaseg.errors import ModelError
from gliomaseg.model import load_model, write_digests
from gliomaseg.ownership import file_digest


@pytest.fixture
def folder(trained, tmp_path):
    return shutil.copytree(trained / "model", tmp_path / "model")


def test_a_run_and_its_model_folder_name_the_same_model(trained):
    assert load_model(trained).folder == load_model(trained / "model").folder


def test_a_copied_model_folder_loads(folder):
    assert load_model(folder).onnx == folder / "model.onnx"


def test_the_torch_weights_may_be_missing(folder):
    (folder / "model.safetensors").unlink()
    assert load_model(folder).config.network.name == "unet"


def test_the_checksums_have_the_format_of_sha256sum(folder):
    lines = (folder / "SHA256SUMS").read_text().splitlines()
    assert [line.split("  ")[1] for line in lines] == [
        "README.md", "config.json", "metrics.json", "model.onnx", "model.safetensors",
    ]  # fmt: skip
    assert all(file_digest(folder / line.split("  ")[1]) == line.split("  ")[0] for line in lines)


@pytest.mark.parametrize("name", ["model.onnx", "config.json", "metrics.json", "README.md"])
def test_a_changed_file_raises(name, folder):
    with (folder / name).open("ab") as handle:
        handle.write(b" ")
    with pytest.raises(ModelError, match="checksum differs"):
        load_model(folder)


@pytest.mark.parametrize("name", ["weights.pt", "weights.PKL", "last.ckpt"])
def test_a_pickle_is_refused_by_its_name(name, tmp_path):
    (tmp_path / name).write_bytes(b"\x80\x04.")
    with pytest.raises(ModelError, match="may be a pickle, which runs code"):
        load_model(tmp_path / name)


@pytest.mark.parametrize("name", ["model.onnx", "SHA256SUMS"])
def test_a_missing_file_raises(name, folder):
    (folder / name).unlink()
    with pytest.raises(ModelError):
        load_model(folder)


def test_checksums_without_the_network_raise(folder):
    path = folder / "SHA256SUMS"
    path.write_text("\n".join(line for line in path.read_text().splitlines() if "model.onnx" not in line))
    with pytest.raises(ModelError, match=r"does not list model\.onnx"):
        load_model(folder)


def test_checksums_of_a_file_in_another_folder_raise(folder):
    with (folder / "SHA256SUMS").open("a") as handle:
        handle.write("0" * 64 + "  ../../secret\n")
    with pytest.raises(ModelError, match="expected names of files in this folder"):
        load_model(folder)


@pytest.mark.parametrize("change", [{"format": 3}, {"network": {"name": "oracle"}}, {"surprise": 1}])
def test_settings_of_another_version_raise(change, folder):
    tree = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(tree | change))
    write_digests(folder)
    with pytest.raises(ModelError):
        load_model(folder)


def test_a_folder_without_a_model_raises(tmp_path):
    for place in (tmp_path, tmp_path / "absent"):
        with pytest.raises(ModelError, match="is not a model"):
            load_model(place)


def test_an_unreadable_file_raises_model_error(trained, monkeypatch):
    def refuse(path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("gliomaseg.model.file_digest", refuse)
    with pytest.raises(ModelError, match="cannot be read"):
        load_model(trained)
