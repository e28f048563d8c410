import json

import numpy as np
import pytest

from gliomaseg.bench import fixtures as fixtures_module
from gliomaseg.bench.fixtures import TUMOUR_SHARE, Fixtures, bundled_model, first_batches, read_dice_volume, sizes_for
from gliomaseg.formats import read_volume
from gliomaseg.prediction import open_predictor
from gliomaseg.pretrained import find_model


def test_volume_is_a_flair_with_the_number_of_slices_in_the_sizes(fixtures):
    scan = read_volume(fixtures.volume, max_bytes=10**9).scan
    assert scan.voxels.shape == (6, 64, 64, 1)
    assert scan.sequences == ("flair",)


def test_batches_have_four_slices_with_context(fixtures):
    (batch,) = first_batches(fixtures.scan, fixtures.sizes.small_recipe.preprocessing, 4)
    assert batch.shape == (4, 5, 64, 64)
    np.testing.assert_array_equal(batch[0, 3], batch[1, 2])


def test_bundled_model_is_the_default_model_or_none(monkeypatch):
    assert bundled_model() == find_model(None)
    monkeypatch.setattr(fixtures_module, "MODELS", ())
    assert bundled_model() is None


def test_pytorch_gets_an_untrained_network_if_the_bundled_model_has_no_weights(fixtures, tiny_sizes, tmp_path):
    bundled = Fixtures(tmp_path, tiny_sizes, model=find_model(None), log=lambda _line: None)
    assert bundled.small_model == find_model(None)
    assert (bundled.small_fp32_model / "model.safetensors").is_file()
    assert fixtures.small_fp32_model == fixtures.small_model


@pytest.mark.parametrize("name", ["reference_model", "small_model"])
def test_untrained_network_predicts_tumour_in_few_pixels(name, fixtures):
    predictor = open_predictor(getattr(fixtures, name))
    batches = first_batches(fixtures.scan, predictor.model.config.preprocessing, 4)
    share = np.mean([predictor._engine.probabilities(batch) > 0.5 for batch in batches])
    assert TUMOUR_SHARE / 20 < share < TUMOUR_SHARE * 20


def test_dice_volume_is_read_from_metrics_or_none(tmp_path):
    assert read_dice_volume(tmp_path) is None
    (tmp_path / "metrics.json").write_text(json.dumps({"summary": {"dice_volume": {"mean": 0.75}}}))
    assert read_dice_volume(tmp_path) == 0.75


def test_reference_network_has_the_reference_recipe():
    assert sizes_for().reference_recipe.network.name == "fcn_resnet50"
    assert sizes_for().reference_recipe.preprocessing.size_px == 256


def test_only_full_sizes_predict_ten_thousand_slices():
    assert sizes_for().scaling_slices == (100, 1_000)
    assert sizes_for(full=True).scaling_slices == (100, 1_000, 10_000)


def test_quick_sizes_are_small():
    assert sizes_for(quick=True).reference_recipe.preprocessing.size_px == 64
    assert max(sizes_for(quick=True).scaling_slices) < 100
