import json
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "studies" / "kill_training.py"


def test_killed_runs_end_with_the_weights_of_an_unbroken_one(tmp_path):
    command = [sys.executable, SCRIPT, "--kills", "1", "--seed", "1", "--out", tmp_path / "killed"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    counts = json.loads(done.stdout)
    assert counts["kills"] == 1
    assert counts["files that differ"] == 0
    assert counts["largest loss in epochs"] <= 1
