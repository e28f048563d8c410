"""Training: our loop on the reference recipe, against a notebook's and Lightning's."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any, Protocol

from gliomaseg.bench.fixtures import Fixtures, with_torch
from gliomaseg.bench.timing import BenchRow, Timing, alternate, rates
from gliomaseg.data.split import slice_names
from gliomaseg.errors import MissingExtraError

UNIT = "images/s"
NOTEBOOK, LIGHTNING = "against a notebook's loop", "against Lightning's Trainer"


class Trains(Protocol):
    """What our loop and its peers do."""

    what: str
    loss: float  # the last epoch's mean

    def epoch(self) -> float:
        """Go through the slices once, and return the seconds."""


def measure(material: Fixtures) -> list[BenchRow]:
    """Return a row a peer: images a second of the reference recipe, few steps a turn."""
    return [_row(material, name, peer) for name, peer in ((NOTEBOOK, _notebook), (LIGHTNING, _lightning))]


def _row(material: Fixtures, name: str, peer_of: Callable[[Fixtures, int], Trains]) -> BenchRow:
    figure = f"{material.plan.reference.network.name}, {name}"
    try:
        module = with_torch("gliomaseg.bench.trainer")
        count = module.image_count(material)
        peer = peer_of(material, count)
    except MissingExtraError as fault:
        return BenchRow(figure, UNIT, status="left out", reason=fault.line())
    material.log(f"training {name}")
    own: Trains = module.OurTraining(material, count)  # anew for each peer: both then take the same steps
    own_s, peer_s = alternate(own.epoch, peer.epoch, pairs=material.plan.pairs, budget_s=material.plan.budget_s)
    agreement = {"loss_ours": own.loss, "loss_peer": peer.loss, "images_a_turn": count}
    return BenchRow(
        figure, UNIT, Timing(own.what, rates(own_s, count)), Timing(peer.what, rates(peer_s, count)), agreement
    )


def _notebook(material: Fixtures, count: int) -> Trains:
    peers: Any = import_module("gliomaseg.bench.baselines.notebook")
    trains: Trains = peers.NotebookTraining(**_given(material, count))
    return trains


def _lightning(material: Fixtures, count: int) -> Trains:
    peers: Any = import_module("gliomaseg.bench.baselines.lightning")
    peers.open_lightning()  # before a network is built
    trains: Trains = peers.LightningTraining(**_given(material, count))
    return trains


def _given(material: Fixtures, count: int) -> dict[str, Any]:
    """Return what a peer trains: a network of the same first weights, the same slices, batch and rate."""
    import torch

    from gliomaseg.networks import build_network

    recipe = material.plan.reference
    torch.manual_seed(recipe.training.seed)
    files = [(entry.image, entry.mask) for case in material.index.cases for entry in case.slices]
    return {
        "network": build_network(recipe.network, recipe.preprocessing.inputs),
        "files": files[:count],
        "size_px": recipe.preprocessing.size_px,
        "batch": recipe.training.batch,
        "learning_rate": recipe.training.learning_rate,
    }


def chosen_slices(material: Fixtures, count: int) -> tuple[str, ...]:
    """Return the names of the first `count` slices."""
    return tuple(name for case in material.index.cases for name in slice_names(case))[:count]
