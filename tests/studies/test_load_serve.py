"""The study of load tells right masks from wrong ones, and counts refusals."""

import asyncio
import gzip
from pathlib import Path

import httpx
import nibabel as nib
import numpy as np
import pytest

SCRIPT = Path(__file__).parents[2] / "studies" / "load_serve.py"
MASK = np.arange(8).reshape(2, 2, 2) > 4


def answer(request):
    """Answer as a server that segments at once."""
    if request.url.path.endswith("mask.nii.gz"):
        return httpx.Response(200, content=gzip.compress(nib.Nifti1Image(MASK.astype(np.uint8), np.eye(4)).to_bytes()))
    status = {"POST": 202, "DELETE": 204}.get(request.method, 200)
    return httpx.Response(status, json={"id": "a", "state": "queued" if status == 202 else "done", "error": None})


@pytest.mark.parametrize(("expected", "outcome"), [(MASK, "right"), (~MASK, "wrong")])
def test_a_mask_is_compared(load_script, expected, outcome):
    script = load_script(SCRIPT)

    async def outcome_of():
        async with httpx.AsyncClient(base_url="http://server", transport=httpx.MockTransport(answer)) as client:
            return await script.send(client, b"", expected)

    assert asyncio.run(outcome_of()) == outcome


def test_quantiles_are_in_milliseconds(load_script):
    # 1 to 101 ms: half are below 51, 99 % below 100.
    assert load_script(SCRIPT).quantiles([k / 1000 for k in range(1, 102)]) == (
        "median 51 ms, 99 % 100 ms, largest 101 ms"
    )
