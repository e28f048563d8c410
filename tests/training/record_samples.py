"""Run gliomaseg, and append the samples of each training batch to `samples-RANK.jsonl` in the folder $SAMPLES.

If $STOP_AFTER_EPOCH is set, the run is interrupted after that epoch.
"""

import json
import os
from pathlib import Path

from gliomaseg.cli import main
from gliomaseg.training import loop

file = Path(os.environ["SAMPLES"], f"samples-{os.environ.get('RANK', '0')}.jsonl")
training_batch = loop.training_batch


def recorded(cache, samples, recipe, *, epoch, device):
    with file.open("a") as handle:
        handle.write(json.dumps([epoch, samples.tolist()]) + "\n")
    return training_batch(cache, samples, recipe, epoch=epoch, device=device)


def interrupted(run):
    record = finish_epoch(run)
    run.stop.requested |= str(record.epoch) == os.environ.get("STOP_AFTER_EPOCH")
    return record


loop.training_batch = recorded
finish_epoch, loop.finish_epoch = loop.finish_epoch, interrupted
main()
