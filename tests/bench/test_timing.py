import json

import pytest

from gliomaseg.bench.timing import BenchRow, Timing, alternate, rates, timed


def test_both_sides_take_turns_after_one_that_does_not_count():
    turns = []

    def turn(name, seconds):
        return lambda: turns.append(name) or seconds

    assert alternate(turn("A", 1.0), turn("B", 2.0), pairs=2) == ((1.0, 1.0), (2.0, 2.0))
    assert turns == ["A", "B", "A", "B", "A", "B"]


def test_a_spent_budget_leaves_one_pair():
    assert alternate(lambda: 1.0, lambda: 2.0, pairs=9, budget_s=0) == ((1.0,), (2.0,))


def test_a_turn_does_the_work_and_tells_the_seconds():
    done = []
    assert timed(lambda: done.append(1))() >= 0
    assert done == [1]


@pytest.mark.parametrize(("unit", "ratio", "spread"), [("slices/s", 2.0, (1.0, 3.0)), ("s", 0.5, (1 / 3, 1.0))])
def test_a_ratio_is_how_many_times_faster_we_are(unit, ratio, spread):
    row = BenchRow("x", unit, Timing("a", (2.0, 4.0, 6.0)), Timing("b", (2.0, 2.0, 2.0)))
    assert row.ratio == ratio
    assert (min(row.ratios), max(row.ratios)) == spread


def test_a_row_says_its_values_and_their_middle():
    document = BenchRow(
        "x", "slices/s", Timing("a", rates((2.0, 1.0, 4.0), 8)), agreement={"flipped_pixels": 0}
    ).document()
    json.dumps(document)
    assert document["ours"] == {"what": "a", "median": 4.0, "low": 2.0, "high": 8.0, "values": [4.0, 8.0, 2.0]}
    assert (document["peer"], document["ratio"], document["ratio_spread"]) == (None, None, None)
    assert document["agreement"] == {"flipped_pixels": 0}


def test_a_row_without_a_side_says_why():
    document = BenchRow("x", status="left out", reason="not installed").document()
    assert (document["status"], document["reason"], document["ours"]) == ("left out", "not installed", None)
