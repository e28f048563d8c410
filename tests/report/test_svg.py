import math

import pytest
from matplotlib.figure import Figure

from gliomaseg.report.svg import about_zero, floored, log_axis


def ticks(values):
    axes = Figure().subplots()
    log_axis(axes.set_xscale, axes.set_xlim, axes.xaxis, values)
    low, high = axes.get_xlim()
    label = axes.xaxis.get_major_formatter()
    return [label(tick) for tick in axes.xaxis.get_major_locator()() if low <= tick <= high], (low, high)


@pytest.mark.parametrize(
    ("values", "labels", "ends"),
    [
        ([791, 129_000], ["1,000", "10,000", "100,000"], (500, 200_000)),
        ([300, 4000], ["200", "500", "1,000", "2,000", "5,000"], (200, 5000)),
        ([7], ["5", "10"], (5, 10)),
        ([1000, 1000], ["1,000", "2,000"], (1000, 2000)),
        ([0.013, 0.4], ["0.01", "0.1"], (0.01, 0.5)),
    ],
)
def test_an_axis_runs_between_round_numbers(values, labels, ends):
    shown, limits = ticks(values)
    assert shown == labels
    assert limits == pytest.approx(ends)


@pytest.mark.parametrize("values", [[0, 30, 4000], [0], [0, 0]])
def test_nothing_has_a_place_of_its_own(values):
    shown, (low, _) = ticks(values)
    assert shown[0] == "0"
    assert floored(values)[0] == pytest.approx(low)
    assert all(math.isfinite(value) and value > 0 for value in floored(values))
    assert "0" in about_zero(values)


def test_without_a_nothing_no_word_is_lost_on_it():
    assert about_zero([1, 2]) == ""
