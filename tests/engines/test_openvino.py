"""OpenVINO: signals and ownership of results. Its predictions are tested in test_engines."""

import subprocess
import sys

import numpy as np
import pytest

from gliomaseg.engines.openvino import compiled

CODE = """
import signal, sys
from pathlib import Path
from gliomaseg.engines.openvino import compiled
compiled(Path(sys.argv[1]), precision="bf16")
try:
    signal.raise_signal(signal.SIGINT)
except KeyboardInterrupt:
    print("interrupted")
"""


def test_ctrl_c_interrupts_after_compiling_for_bf16(trained):
    command = [sys.executable, "-c", CODE, str(trained / "model" / "model.onnx")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "interrupted\n"), done.stderr


@pytest.mark.parametrize("precision", ["f32", "bf16"])
def test_results_stay_valid_after_the_next_call(precision, bright):
    engine = compiled(bright / "model.onnx", precision=precision)
    batch = np.random.default_rng(0).standard_normal((2, 3, 128, 128), np.float32)
    first = engine.probabilities(batch)
    kept = first.copy()
    engine.probabilities(-batch)
    np.testing.assert_array_equal(first, kept)
