import numpy as np

from gliomaseg.bench.baselines.eager import Eager
from gliomaseg.model import load_model


def test_the_network_itself_gives_probabilities(material):
    model = load_model(material.small)
    eager = Eager(model.weights, model.config.network, model.config.preprocessing.inputs)
    found = eager.probabilities(np.zeros((2, 5, 64, 64), np.float32))
    assert found.shape == (2, 64, 64)
    assert found.min() >= 0
    assert found.max() <= 1
