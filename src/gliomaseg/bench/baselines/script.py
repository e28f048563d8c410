"""The peer of the command line: one script that reads a volume, runs the network in PyTorch, and writes a mask.

Fair: it imports what it needs and no more, reads and writes with nibabel, prepares with Pillow, predicts in batches of
four under `inference_mode`. It checks nothing: no digests, no gzip checksum, no orientation, no field of view. It draws
no overlay. The network's definition is ours, so that the weights fit.

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

from gliomaseg.model import ModelConfig
from gliomaseg.networks import build_network

BATCH = 4


def main() -> None:
    """Write a mask."""
    parser = argparse.ArgumentParser(description="Write the mask of a volume.")
    for name in ("--model", "--volume", "--mask"):
        parser.add_argument(name, type=Path, required=True)
    arguments = parser.parse_args()
    config = ModelConfig.model_validate_json((arguments.model / "config.json").read_bytes())
    network = build_network(config.network.without_pretrained_weights(), config.preprocessing.inputs)
    network.load_state_dict(load_file(arguments.model / "model.safetensors"))
    network.eval()
    opened: Any = nibabel.load(arguments.volume)
    voxels = np.asarray(opened.dataobj, np.float32)
    given = prepare(voxels, config)
    parts = []
    with torch.inference_mode():
        for start in range(0, len(given), BATCH):
            logits = network(torch.from_numpy(given[start : start + BATCH]))
            parts.append(logits.softmax(dim=1)[:, 1].numpy())
    mask = np.zeros(voxels.shape, np.uint8)
    for k, plane in enumerate(np.concatenate(parts)):
        resized = Image.fromarray(plane).resize((voxels.shape[1], voxels.shape[0]), Image.Resampling.BILINEAR)
        mask[..., k] = np.asarray(resized) > config.postprocessing.threshold
    nibabel.save(nibabel.Nifti1Image(mask, opened.affine), arguments.mask)


def prepare(voxels: Any, config: ModelConfig) -> Any:
    """Return slices as the network takes them: float32, shape (z, inputs, size, size)."""
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
    inputs, around = config.preprocessing.inputs, config.preprocessing.context_slices
    if not around:
        return np.repeat(planes[:, None], inputs, axis=1).astype(np.float32)
    places = np.arange(len(planes))[:, None] + np.arange(-around, around + 1)
    near = planes[np.clip(places, 0, len(planes) - 1)]
    return np.repeat(near, inputs // near.shape[1], axis=1).astype(np.float32)


if __name__ == "__main__":
    main()
