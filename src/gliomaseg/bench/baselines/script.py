"""The baseline of the engines and of the command line: the network in PyTorch, alone and in one plain script.

Settings: evaluation mode, `inference_mode`, batches of four, torch's default number of threads and memory format, and
fp32, because bf16 would change the result. The network's definition is gliomaseg's, so that the weights fit.

The script imports only the packages that it needs. It reads and writes with nibabel, and resizes with Pillow. It skips
these steps of gliomaseg: checksums of the model, the gzip checksum, orientation, field of view and the overlay.

    python script.py --model MODEL --volume IN.nii.gz --mask OUT.nii.gz
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import torch
from PIL import Image
from safetensors.torch import load_file

from gliomaseg.config import Network
from gliomaseg.model import ModelConfig
from gliomaseg.networks import build_network
from gliomaseg.types import Batch, Probability, Voxels

BATCH = 4


class PyTorchNetwork:
    """A network in memory, on the CPU, with the interface of an engine."""

    def __init__(self, weights: Path, settings: Network, inputs: int) -> None:
        """Load the weights, a safetensors file, of a network with `inputs` input channels."""
        self._network = build_network(settings.without_pretrained_weights(), inputs)
        self._network.load_state_dict(load_file(weights))
        self._network.eval()

    def probabilities(self, batch: Batch) -> Probability:
        """Return the tumour's probability: float32 in [0, 1], shape (n, y, x), for a batch (n, c, y, x)."""
        with torch.inference_mode():
            tumour: Probability = self._network(torch.from_numpy(batch)).softmax(dim=1)[:, 1].numpy()
        return tumour


def main() -> None:
    """Read a volume, predict it and write its mask."""
    parser = argparse.ArgumentParser(description="Write the mask of a volume.")
    for name in ("--model", "--volume", "--mask"):
        parser.add_argument(name, type=Path, required=True)
    arguments = parser.parse_args()
    config = ModelConfig.model_validate_json((arguments.model / "config.json").read_bytes())
    network = PyTorchNetwork(arguments.model / "model.safetensors", config.network, config.preprocessing.inputs)
    volume: Any = nibabel.load(arguments.volume)
    voxels = np.asarray(volume.dataobj, np.float32)
    slices = prepare_slices(voxels, config)
    batches = (slices[start : start + BATCH] for start in range(0, len(slices), BATCH))
    mask = np.zeros(voxels.shape, np.uint8)
    for k, plane in enumerate(np.concatenate([network.probabilities(batch) for batch in batches])):
        resized = Image.fromarray(plane).resize((voxels.shape[1], voxels.shape[0]), Image.Resampling.BILINEAR)
        mask[..., k] = np.asarray(resized) > config.postprocessing.threshold
    nibabel.save(nibabel.Nifti1Image(mask, volume.affine), arguments.mask)


def prepare_slices(voxels: Voxels, config: ModelConfig) -> Batch:
    """Return the network's input, float32, shape (z, inputs, size, size), for voxels in nibabel's order (x, y, z)."""
    size = config.preprocessing.size_px
    levels = np.clip(voxels / max(1.0, float(np.percentile(voxels, 99.5))), 0, 1)
    planes = np.stack(
        [
            np.asarray(Image.fromarray(levels[..., k]).resize((size, size), Image.Resampling.BILINEAR))
            for k in range(levels.shape[2])
        ]
    )
    if config.preprocessing.normalisation == "zscore":
        planes = (planes - planes.mean()) / planes.std()
    else:
        planes = (planes - config.preprocessing.mean) / config.preprocessing.std
    inputs, context = config.preprocessing.inputs, config.preprocessing.context_slices
    if not context:
        return np.repeat(planes[:, None], inputs, axis=1).astype(np.float32)
    indices = np.arange(len(planes))[:, None] + np.arange(-context, context + 1)
    stacked = planes[np.clip(indices, 0, len(planes) - 1)]
    return np.repeat(stacked, inputs // stacked.shape[1], axis=1).astype(np.float32)


if __name__ == "__main__":
    main()
