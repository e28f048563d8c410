"""A benchmark of tiny sizes: the preprocessing of the reference recipe, and networks of four features."""

from dataclasses import replace

import pytest

from gliomaseg.bench import fixtures as fixtures_module
from gliomaseg.bench.fixtures import Fixtures, sizes_for
from gliomaseg.errors import MissingExtraError


@pytest.fixture(scope="session")
def tiny_sizes():
    sizes = sizes_for(quick=True)
    reference = sizes.reference_recipe.with_settings(
        ["network.name=unet", "network.base_features=4", "network.levels=2"]
    )
    small = sizes.small_recipe.with_settings(["network.features=[4, 4, 8]"])
    return replace(sizes, reference_recipe=reference, small_recipe=small, turns=1, startup_turns=1)


@pytest.fixture(scope="session")
def fixtures(tiny_sizes, tmp_path_factory):
    """Phantoms and models, written once, as if no model were bundled."""
    made = Fixtures(tmp_path_factory.mktemp("bench"), tiny_sizes, model=None, log=lambda _line: None)
    made._model = None
    return made


@pytest.fixture
def without_torch(monkeypatch):
    """As if the extra `train` were not installed and no model were bundled."""

    def refuse(_module):
        raise MissingExtraError("torch is not installed", cure='pip install "gliomaseg[train]"')

    for module in ("fixtures", "training", "prediction"):
        monkeypatch.setattr(f"gliomaseg.bench.{module}.import_train_extra", refuse)
    monkeypatch.setattr(fixtures_module, "bundled_model", lambda: None)
