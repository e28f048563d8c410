"""A benchmark of tiny sizes: the reference's preparation with a network of four features."""

import importlib.util
from dataclasses import replace

import pytest

from gliomaseg.benchmark.material import Material
from gliomaseg.benchmark.plan import plan_for


@pytest.fixture(scope="session")
def load_script():
    """Return what imports a script of `benchmarks` by its path."""

    def load(path):
        spec = importlib.util.spec_from_file_location(path.stem, path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    return load


@pytest.fixture(scope="session")
def tiny():
    plan = plan_for(quick=True)
    reference = plan.reference.with_settings(["network.name=unet", "network.width=4", "network.levels=2"])
    small = plan.small.with_settings(["network.widths=[4, 4, 8]"])
    return replace(plan, reference=reference, small=small, pairs=1, starts=1)


@pytest.fixture(scope="session")
def material(tiny, tmp_path_factory):
    """Phantoms and models of it, made once; no model ships."""
    made = Material(tmp_path_factory.mktemp("bench"), tiny, model=None, say=lambda _line: None)
    made._model = None
    return made


@pytest.fixture
def without_torch(monkeypatch):
    """As where the extra `train` is not installed."""
    from gliomaseg.benchmark import material
    from gliomaseg.errors import MissingExtraError

    def refuse(_module):
        raise MissingExtraError("torch is not installed", cure='pip install "gliomaseg[train]"')

    for room in ("material", "training", "prediction"):
        monkeypatch.setattr(f"gliomaseg.benchmark.{room}.with_torch", refuse)
    monkeypatch.setattr(material, "shipped_model", lambda: None)
