"""Training: our loop on the reference recipe, against a notebook's and Lightning's."""

from __future__ import annotations

from typing import Any

from gliomaseg.benchmark.material import Material, with_torch
from gliomaseg.benchmark.timing import Row, Side, alternate, rates, timed
from gliomaseg.data.split import slice_names
from gliomaseg.errors import MissingExtraError

UNIT = "images/s"
NOTEBOOK, LIGHTNING = "against a notebook's loop", "against Lightning's Trainer"


def measure(material: Material) -> list[Row]:
    """Return a row a peer: images a second of the reference recipe, few steps a turn."""
    try:
        ours = with_torch("gliomaseg.benchmark.own_training")
    except MissingExtraError as fault:
        return [Row(name, UNIT, status="left out", reason=fault.line()) for name in (NOTEBOOK, LIGHTNING)]
    count = min(material.plan.steps * material.plan.reference.training.batch, material.index.slice_count)
    own = ours.OwnTraining(material, count)
    rows = [_row(NOTEBOOK, "a notebook's loop, fp32", own, _notebook(material, count), material)]
    try:
        peer = _lightning(material, count)
    except MissingExtraError as fault:
        return [*rows, Row(LIGHTNING, UNIT, status="left out", reason=fault.line())]
    return [*rows, _row(LIGHTNING, f"Lightning's Trainer, {peer.precision}", own, peer, material)]


def _row(figure: str, what: str, own: Any, peer: Any, material: Material) -> Row:
    material.say(f"training {figure}")
    # Lightning keeps its own time: setting up a fit is not a step.
    turn = peer.epoch if hasattr(peer, "precision") else timed(peer.epoch)
    own_s, peer_s = alternate(timed(own.epoch), turn, pairs=material.plan.pairs)
    agreement = {"loss_ours": own.loss, "loss_peer": peer.loss, "images_a_turn": own.images}
    return Row(
        f"{material.plan.reference.network.name}, {figure}",
        UNIT,
        Side(f"our loop, {own.precision}", rates(own_s, own.images)),
        Side(what, rates(peer_s, own.images)),
        agreement,
    )


def _notebook(material: Material, count: int) -> Any:
    from gliomaseg.benchmark.peers.notebook import NotebookTraining

    return NotebookTraining(**_given(material, count))


def _lightning(material: Material, count: int) -> Any:
    from gliomaseg.benchmark.peers.lightning import LightningTraining, open_lightning

    open_lightning()  # before a network is built
    return LightningTraining(**_given(material, count))


def _given(material: Material, count: int) -> dict[str, Any]:
    """Return what a peer trains: a network of the same first weights, the same slices, batch and rate."""
    import torch

    from gliomaseg.networks import build_network

    recipe = material.plan.reference
    torch.manual_seed(recipe.training.seed)
    files = [(entry.image, entry.mask) for case in material.index.cases for entry in case.slices]
    return {
        "network": build_network(recipe.network, recipe.preparation.inputs),
        "files": files[:count],
        "size_px": recipe.preparation.size_px,
        "batch": recipe.training.batch,
        "learning_rate": recipe.training.learning_rate,
    }


def chosen_slices(material: Material, count: int) -> tuple[str, ...]:
    """Return the names of the first `count` slices."""
    return tuple(name for case in material.index.cases for name in slice_names(case))[:count]
