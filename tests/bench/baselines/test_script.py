import nibabel
import numpy as np

from gliomaseg.bench.baselines import script


def test_the_script_writes_a_mask_on_the_volumes_grid(material, tmp_path, monkeypatch):
    out = tmp_path / "mask.nii.gz"
    words = ["script", "--model", material.small, "--volume", material.volume, "--mask", out]
    monkeypatch.setattr("sys.argv", [*map(str, words)])
    script.main()
    mask, volume = nibabel.load(out), nibabel.load(material.volume)
    assert mask.shape == volume.shape
    np.testing.assert_allclose(mask.affine, volume.affine)
    assert set(np.unique(mask.get_fdata())) <= {0, 1}
