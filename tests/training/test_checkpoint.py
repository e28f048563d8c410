import subprocess
import sys

import pytest
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from gliomaseg.errors import DataError, ResourceError
from gliomaseg.training.checkpoint import (
    EpochRecord,
    Progress,
    load_checkpoint,
    load_network,
    read_progress,
    save_checkpoint,
    write_tensors,
)
from gliomaseg.training.resumption import load_last_checkpoint
from gliomaseg.training.run_folder import LAST

# One process imports torch; a fork of it saves until it is killed, once for each pause.
SAVE_UNTIL_KILLED = """
import os, signal, sys, time, torch
from pathlib import Path
from torch import nn
from gliomaseg.training.checkpoint import Progress, save_checkpoint
for pause in (0.05, 0.11, 0.17):
    path = Path(sys.argv[1], f"{pause}.safetensors")
    child = os.fork()
    if child == 0:
        network = nn.Linear(700, 700)
        optimiser = torch.optim.Adam(network.parameters())
        for epoch in range(10**6):
            save_checkpoint(path, network, optimiser, Progress(epoch=epoch))
    while not path.exists():
        time.sleep(0.001)
    time.sleep(pause)
    os.kill(child, signal.SIGKILL)
    assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL
"""


def trained_pair():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    optimiser = torch.optim.Adam(network.parameters(), lr=0.01)
    network(torch.randn(5, 3)).square().mean().backward()
    optimiser.step()
    return network, optimiser


def test_a_checkpoint_round_trip_restores_network_optimiser_and_progress(tmp_path):
    network, optimiser = trained_pair()
    record = EpochRecord(1, 0.1 + 0.2, 0.5, {"dice_volume": 0.5, "dice_batch": None}, 28, 1.5, 0.5, 18.667)
    progress = Progress(epoch=1, step=7, loss_sum=0.1 + 0.2, images=28, best=0.5, history=[record], digest="d")
    save_checkpoint(tmp_path / "last.safetensors", network, optimiser, progress)
    other = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    other_optimiser = torch.optim.Adam(other.parameters(), lr=0.01)
    assert load_checkpoint(tmp_path / "last.safetensors", other, other_optimiser) == progress
    for name, tensor in network.state_dict().items():
        assert torch.equal(other.state_dict()[name], tensor), name
    before, after = optimiser.state_dict()["state"], other_optimiser.state_dict()["state"]
    assert all(torch.equal(before[k][key], after[k][key]) for k in before for key in before[k])


def test_load_network_restores_the_weights_only(tmp_path):
    network, optimiser = trained_pair()
    save_checkpoint(tmp_path / "best.safetensors", network, optimiser, Progress())
    other = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    load_network(tmp_path / "best.safetensors", other)
    assert torch.equal(other[0].weight, network[0].weight)


def test_a_checkpoint_round_trip_restores_the_average_which_is_exported(tmp_path):
    network, optimiser = trained_pair()
    average, _ = trained_pair()
    with torch.no_grad():
        average[0].weight.add_(1)
    save_checkpoint(tmp_path / "last.safetensors", network, optimiser, Progress(), average=average)
    (other, other_optimiser), (mean, _) = trained_pair(), trained_pair()
    load_checkpoint(tmp_path / "last.safetensors", other, other_optimiser, average=mean)
    assert torch.equal(mean[0].weight, average[0].weight)
    assert torch.equal(other[0].weight, network[0].weight)
    load_network(tmp_path / "last.safetensors", other)
    assert torch.equal(other[0].weight, average[0].weight)


def test_a_checkpoint_without_the_requested_average_raises(tmp_path):
    network, optimiser = trained_pair()
    save_checkpoint(tmp_path / "last.safetensors", network, optimiser, Progress())
    with pytest.raises(DataError, match="not a checkpoint of this run"):
        load_checkpoint(tmp_path / "last.safetensors", network, optimiser, average=network)


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", b"\x08\x00\x00\x00\x00\x00\x00\x00{}      "])
def test_a_damaged_checkpoint_raises_data_error(content, tmp_path):
    path = tmp_path / "last.safetensors"
    path.write_bytes(content)
    with pytest.raises(DataError, match="not a checkpoint of this run"):
        load_checkpoint(path, *trained_pair())


def test_a_checkpoint_of_another_network_raises(tmp_path):
    network, optimiser = trained_pair()
    save_checkpoint(tmp_path / "last.safetensors", network, optimiser, Progress())
    other = nn.Linear(2, 2)
    with pytest.raises(DataError, match="not a checkpoint of this run"):
        load_checkpoint(tmp_path / "last.safetensors", other, torch.optim.Adam(other.parameters()))


def saved_twice(folder):
    """Save epochs 1 and 2 as a run does, and return the last checkpoint."""
    last = folder / LAST
    network, optimiser = trained_pair()
    for epoch in (1, 2):
        save_checkpoint(last, network, optimiser, Progress(epoch=epoch), keep_previous=True)
    return last


def test_the_state_before_the_last_one_is_kept(tmp_path):
    last = saved_twice(tmp_path)
    assert sorted(file.name for file in last.parent.iterdir()) == ["last.safetensors", "previous.safetensors"]
    assert read_progress(last).epoch == 2
    assert read_progress(last.with_name("previous.safetensors")).epoch == 1


def flip_a_bit(file):
    content = bytearray(file.read_bytes())
    content[-3] ^= 1  # within a weight
    file.write_bytes(content)


def test_a_flipped_bit_in_a_weight_raises(tmp_path):
    last = saved_twice(tmp_path)
    flip_a_bit(last)
    with pytest.raises(DataError, match="its content does not have its checksum"):
        load_checkpoint(last, *trained_pair())
    with pytest.raises(DataError, match="its content does not have its checksum"):
        load_network(last, trained_pair()[0])


@pytest.mark.parametrize(
    "damage", [flip_a_bit, lambda file: file.write_bytes(file.read_bytes()[:-9]), lambda file: file.unlink()]
)
def test_a_damaged_last_checkpoint_is_replaced_by_the_one_before(damage, tmp_path):
    last, lines = saved_twice(tmp_path), []
    damage(last)
    assert load_last_checkpoint(tmp_path, *trained_pair(), average=None, say=lines.append).epoch == 1
    (line,) = lines
    assert line.startswith(f"warning: {last}: is not a checkpoint of this run (")
    assert line.endswith("going on from the checkpoint before it, previous.safetensors")
    assert load_checkpoint(last, *trained_pair()).epoch == 1


def test_two_damaged_checkpoints_raise_and_stay(tmp_path):
    last = saved_twice(tmp_path)
    for file in last.parent.iterdir():
        file.write_bytes(b"damaged")
    with pytest.raises(DataError, match=r"last\.safetensors: is not a checkpoint of this run"):
        load_last_checkpoint(tmp_path, *trained_pair(), average=None, say=pytest.fail)
    assert last.read_bytes() == b"damaged"


@pytest.mark.parametrize("name", ["step", "exp_avg"])
def test_a_checkpoint_without_a_tensor_of_the_optimiser_raises(name, tmp_path):
    path = tmp_path / "last.safetensors"
    save_checkpoint(path, *trained_pair(), Progress())
    tensors = {key: tensor for key, tensor in load_file(path).items() if key != f"optimiser.1.{name}"}
    write_tensors(tensors, path, metadata={"progress": Progress().to_json()})  # as version 0.1.0, without a checksum
    with pytest.raises(DataError, match=f"the optimiser's tensor {name} of weight 1 is missing"):
        load_checkpoint(path, *trained_pair())


def test_a_process_killed_while_saving_leaves_a_complete_checkpoint(tmp_path):
    subprocess.run([sys.executable, "-c", SAVE_UNTIL_KILLED, str(tmp_path)], check=True, timeout=100)
    paths = sorted(tmp_path.glob("[!.]*.safetensors"))  # a dot begins the name of an unfinished file
    assert len(paths) == 3
    for path in paths:
        network = nn.Linear(700, 700)
        load_checkpoint(path, network, torch.optim.Adam(network.parameters()))


def test_a_full_disk_in_safetensors_raises_resource_error(tmp_path, monkeypatch):
    def full(*_arguments, **_keywords):
        raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")

    monkeypatch.setattr("gliomaseg.training.checkpoint.save_file", full)
    network = nn.Linear(2, 2)
    with pytest.raises(ResourceError, match="the disk is full"):
        save_checkpoint(tmp_path / "last.safetensors", network, torch.optim.Adam(network.parameters()), Progress())
    assert list(tmp_path.iterdir()) == []


def test_weights_may_be_read_by_others_as_every_new_file(tmp_path):
    write_tensors({"a": torch.zeros(1)}, tmp_path / "weights")
    (tmp_path / "text").touch()
    assert (tmp_path / "weights").stat().st_mode == (tmp_path / "text").stat().st_mode
