import subprocess
import sys
from pathlib import Path

from gliomaseg.pretrained import MODELS

STUDIES = Path(__file__).parents[2] / "studies"


def test_each_bundled_model_has_rows_and_a_higher_limit_warns_more():
    script = [sys.executable, STUDIES / "dice_warnings.py", "--limits", "0.6", "1.0"]
    done = subprocess.run(script, capture_output=True, text=True, check=True)
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in done.stdout.splitlines()[2:]]
    assert {row[0].strip("`") for row in rows} == set(MODELS)
    for low, high in zip(rows[::2], rows[1::2], strict=True):
        masks, warned = int(low[1].split()[0]), int(low[3])
        assert (low[2], high[2]) == ("0.6", "1")
        assert 0 < warned < masks == int(high[3])  # no predicted Dice reaches 1
        assert int(low[4]) + int(low[5]) == int(high[4])
