import numpy as np
import pytest

from gliomaseg.bench.fixtures import batches_of
from gliomaseg.bench.random_models import TUMOUR_SHARE
from gliomaseg.prediction import open_predictor


@pytest.mark.parametrize("name", ["reference", "small"])
def test_an_untrained_network_sees_tumour_in_few_pixels(name, material):
    made = open_predictor(getattr(material, name))
    batches = batches_of(material.scan, made.model.config.preprocessing, 4)
    share = np.mean([made._engine.probabilities(batch) > 0.5 for batch in batches])
    assert TUMOUR_SHARE / 20 < share < TUMOUR_SHARE * 20
