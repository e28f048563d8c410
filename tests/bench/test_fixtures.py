import json

import numpy as np

from gliomaseg.bench import fixtures as room
from gliomaseg.bench.fixtures import batches_of, scored, sizes_for
from gliomaseg.formats import read_volume
from gliomaseg.pretrained import find_model


def test_the_volume_is_a_flair_of_as_many_slices_as_the_plan_says(material):
    scan = read_volume(material.volume, max_bytes=10**9).scan
    assert scan.voxels.shape == (6, 64, 64, 1)
    assert scan.sequences == ("flair",)


def test_batches_are_of_four_and_have_their_neighbours(material):
    (batch,) = batches_of(material.scan, material.plan.small.preprocessing, 4)
    assert batch.shape == (4, 5, 64, 64)
    np.testing.assert_array_equal(batch[0, 3], batch[1, 2])


def test_a_model_that_ships_is_found(monkeypatch):
    assert room.shipped_model() == find_model(None)
    monkeypatch.setattr(room, "MODELS", ())
    assert room.shipped_model() is None


def test_a_peer_in_pytorch_gets_an_untrained_network_where_what_ships_has_no_weights_for_it(material, tiny, tmp_path):
    made = room.Fixtures(tmp_path, tiny, model=find_model(None), log=lambda _line: None)
    assert made.small == find_model(None)
    assert (made.small_for_both / "model.safetensors").is_file()
    assert material.small_for_both == material.small


def test_a_score_is_read_where_there_is_one(tmp_path):
    assert scored(tmp_path) is None
    (tmp_path / "metrics.json").write_text(json.dumps({"summary": {"dice_volume": {"mean": 0.75}}}))
    assert scored(tmp_path) == 0.75


def test_the_reference_is_the_reference_recipe():
    assert sizes_for().reference.network.name == "fcn_resnet50"
    assert sizes_for().reference.preprocessing.size_px == 256


def test_only_the_full_plan_predicts_ten_thousand_slices():
    assert sizes_for().grown == (100, 1_000)
    assert sizes_for(full=True).grown == (100, 1_000, 10_000)


def test_the_quick_plan_is_small():
    assert sizes_for(quick=True).reference.preprocessing.size_px == 64
    assert max(sizes_for(quick=True).grown) < 100
