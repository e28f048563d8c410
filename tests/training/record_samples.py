"""Run gliomaseg, and append the samples of each training batch to `samples-RANK.jsonl` in the folder $SAMPLES.

If $STOP_AFTER_EPOCH is set, the run is interrupted after that epoch. The older exporter of torch writes the ONNX file:
it takes 0.2 s instead of 5 s, and tests/training/test_onnx_export.py tests the other one.
"""

import json
import os
from pathlib import Path

import torch

from gliomaseg.cli import main
from gliomaseg.training import loop

training_batch, finish_epoch, export = loop.training_batch, loop.finish_epoch, torch.onnx.export


def recorded(cache, samples, recipe, *, epoch, device):
    with Path(os.environ["SAMPLES"], f"samples-{os.environ.get('RANK', '0')}.jsonl").open("a") as handle:
        handle.write(json.dumps([epoch, samples.tolist()]) + "\n")
    return training_batch(cache, samples, recipe, epoch=epoch, device=device)


def interrupted(run):
    record = finish_epoch(run)
    run.stop.requested |= str(record.epoch) == os.environ.get("STOP_AFTER_EPOCH")
    return record


def exported(network, example, path, *, dynamo, dynamic_shapes, **settings):
    axes = {name: {0: "n"} for name in settings["input_names"] + settings["output_names"]}
    export(network, example, path, dynamo=not dynamo, dynamic_axes=axes, **settings)


if __name__ == "__main__":
    loop.training_batch, loop.finish_epoch, torch.onnx.export = recorded, interrupted, exported
    main()
