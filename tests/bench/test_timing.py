import sys

import pytest

from gliomaseg.bench.timing import BenchRow, Timing, alternate, peak_mb, run_process, timed
from gliomaseg.errors import GliomasegError


def test_sides_alternate_after_one_warm_up_each():
    calls = []

    def turn(name, seconds):
        return lambda: calls.append(name) or seconds

    assert alternate(turn("A", 1.0), turn("B", 2.0), turns=2) == ((1.0, 1.0), (2.0, 2.0))
    assert calls == ["A", "B", "A", "B", "A", "B"]


def test_spent_budget_leaves_one_turn_each():
    assert alternate(lambda: 1.0, lambda: 2.0, turns=9, budget_s=0) == ((1.0,), (2.0,))


def test_timed_work_runs_once_and_returns_seconds():
    calls = []
    assert timed(lambda: calls.append(1))() >= 0
    assert calls == [1]


@pytest.mark.parametrize(("unit", "ratio", "spread"), [("slices/s", 2.0, (1.0, 3.0)), ("s", 0.5, (1 / 3, 1.0))])
def test_ratio_is_how_many_times_faster_gliomaseg_is(unit, ratio, spread):
    row = BenchRow("x", unit, Timing("a", (2.0, 4.0, 6.0)), Timing("b", (2.0, 2.0, 2.0)))
    assert row.ratio == ratio
    assert (min(row.ratios), max(row.ratios)) == spread


def test_process_returns_stdout_and_seconds(tmp_path):
    printed, seconds = run_process(sys.executable, "-c", "import os; print(os.listdir())", folder=tmp_path)
    assert printed == "[]\n"
    assert seconds > 0


def test_process_error_has_exit_code_and_last_line_of_stderr(tmp_path):
    with pytest.raises(GliomasegError, match="is 1, expected 0: no such luck"):
        run_process(sys.executable, "-c", "raise SystemExit('first\\nno such luck')", folder=tmp_path)


def test_peak_memory_excludes_the_parent_process(tmp_path):
    block = bytearray(200_000_000)
    code = "from gliomaseg.bench.timing import peak_mb; print(peak_mb())"
    printed, _ = run_process(sys.executable, "-c", code, folder=tmp_path)
    assert 1 < float(printed) < peak_mb()
    del block
