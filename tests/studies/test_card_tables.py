import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "studies" / "card_tables.py"


def test_an_evaluation_becomes_the_tables_of_a_card(trained):
    done = subprocess.run([sys.executable, SCRIPT, trained / "model"], capture_output=True, text=True, check=True)
    tables = done.stdout.strip().split("\n\n")
    assert [table.partition("|")[2].partition("|")[0].strip() for table in tables] == [
        "measure", "site", "tumour", "patient",
    ]  # fmt: skip
    assert "| `dice_volume` | 0." in tables[0]
    assert len(tables[3].splitlines()) == 2 + 1  # one patient validates
