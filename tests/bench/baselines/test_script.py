import nibabel
import numpy as np

from gliomaseg.bench.baselines import script
from gliomaseg.bench.baselines.script import PyTorchNetwork
from gliomaseg.model import load_model


def test_script_writes_a_mask_on_the_grid_of_the_volume(fixtures, tmp_path, monkeypatch):
    out = tmp_path / "mask.nii.gz"
    arguments = ["script", "--model", fixtures.small_model, "--volume", fixtures.volume, "--mask", out]
    monkeypatch.setattr("sys.argv", [*map(str, arguments)])
    script.main()
    mask, volume = nibabel.load(out), nibabel.load(fixtures.volume)
    assert mask.shape == volume.shape
    np.testing.assert_allclose(mask.affine, volume.affine)
    assert set(np.unique(mask.get_fdata())) <= {0, 1}


def test_pytorch_network_returns_probabilities(fixtures):
    model = load_model(fixtures.small_model)
    network = PyTorchNetwork(model.weights, model.config.network, model.config.preprocessing.inputs)
    probabilities = network.probabilities(np.zeros((2, 5, 64, 64), np.float32))
    assert probabilities.shape == (2, 64, 64)
    assert probabilities.min() >= 0
    assert probabilities.max() <= 1
