"""Run gliomaseg, and append the samples of each training batch to `samples-RANK.jsonl` in the folder $SAMPLES.

If $STOP_AFTER_EPOCH is set, the run is interrupted after that epoch.
"""

import json
import os
from pathlib import Path

import torch

from gliomaseg.cli import main
from gliomaseg.training import loop
from quick_export import quick_export

training_batch, finish_epoch = loop.training_batch, loop.finish_epoch


def recorded(cache, samples, recipe, *, epoch, device):
    with Path(os.environ["SAMPLES"], f"samples-{os.environ.get('RANK', '0')}.jsonl").open("a") as handle:
        handle.write(json.dumps([epoch, samples.tolist()]) + "\n")
    return training_batch(cache, samples, recipe, epoch=epoch, device=device)


def interrupted(run):
    record = finish_epoch(run)
    run.stop.requested |= str(record.epoch) == os.environ.get("STOP_AFTER_EPOCH")
    return record


if __name__ == "__main__":
    loop.training_batch, loop.finish_epoch, torch.onnx.export = recorded, interrupted, quick_export
    main()
