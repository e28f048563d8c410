"""A benchmark of tiny sizes: the reference recipe's preprocessing with a network of four features."""

from dataclasses import replace

import pytest

from gliomaseg.bench.fixtures import Fixtures, sizes_for


@pytest.fixture(scope="session")
def tiny():
    plan = sizes_for(quick=True)
    reference = plan.reference.with_settings(["network.name=unet", "network.base_features=4", "network.levels=2"])
    small = plan.small.with_settings(["network.features=[4, 4, 8]"])
    return replace(plan, reference=reference, small=small, pairs=1, starts=1)


@pytest.fixture(scope="session")
def material(tiny, tmp_path_factory):
    """Phantoms and models of it, made once; no model ships."""
    made = Fixtures(tmp_path_factory.mktemp("bench"), tiny, model=None, log=lambda _line: None)
    made._model = None
    return made


@pytest.fixture
def without_torch(monkeypatch):
    """As where the extra `train` is not installed."""
    from gliomaseg.bench import fixtures
    from gliomaseg.errors import MissingExtraError

    def refuse(_module):
        raise MissingExtraError("torch is not installed", cure='pip install "gliomaseg[train]"')

    for room in ("fixtures", "training", "prediction", "roofline"):
        monkeypatch.setattr(f"gliomaseg.bench.{room}.with_torch", refuse)
    monkeypatch.setattr(fixtures, "shipped_model", lambda: None)
