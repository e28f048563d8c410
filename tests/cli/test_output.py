"""The exit code of a command with several rows, and the options of a data set."""

from __future__ import annotations

import pytest

from gliomaseg.cli.output import data_options, raise_for_rows
from gliomaseg.data.case_list import DataOptions
from gliomaseg.data.masks import MaskLabels
from gliomaseg.errors import FormatError, GeometryError, GliomasegError, PartlyDoneError, ResourceError, UsageError

BAD, INCOMPLETE = FormatError("is damaged"), PartlyDoneError("2 of 3 outputs are written")


def test_rows_without_faults_raise_nothing() -> None:
    raise_for_rows([], "inputs")
    raise_for_rows([None, None], "inputs")


@pytest.mark.parametrize(
    ("faults", "code", "message"),
    [
        ([BAD], 3, "is damaged"),
        ([INCOMPLETE], 4, "2 of 3 outputs are written"),
        ([BAD, BAD], 3, "all 2 inputs failed; see their rows"),
        ([ResourceError("is too large")] * 2, 5, "all 2 inputs failed; see their rows"),
        ([BAD, None], 4, "1 of 2 inputs failed; see their rows"),
        ([INCOMPLETE, None], 4, "1 of 2 inputs failed or lack an output; see their rows"),
        ([INCOMPLETE, INCOMPLETE], 4, "2 of 2 inputs failed or lack an output; see their rows"),
        ([INCOMPLETE, BAD, GeometryError("leans")], 4, "3 of 3 inputs failed or lack an output; see their rows"),
    ],
)
def test_rows_with_faults_give_one_exit_code(faults: list[GliomasegError | None], code: int, message: str) -> None:
    with pytest.raises(GliomasegError) as caught:
        raise_for_rows(faults, "inputs")
    assert (caught.value.exit_code, caught.value.line()) == (code, message)


def test_without_options_the_data_set_is_recognised_and_all_labels_count() -> None:
    assert data_options(None, None, None) == DataOptions()


def test_data_options_are_parsed() -> None:
    expected = DataOptions("brats", MaskLabels(frozenset({1, 2, 4})), "^P[0-9]+")
    assert data_options("brats", "1, 2,4", "^P[0-9]+") == expected


@pytest.mark.parametrize("labels", ["", "0", "1,,2", "1.5", "-1", "tumour", "\u0662"])
def test_labels_that_are_not_whole_numbers_above_0_are_refused(labels: str) -> None:
    with pytest.raises(UsageError, match=r"^--labels: labels are"):
        data_options(None, labels, None)


def test_pattern_that_is_not_a_regular_expression_is_refused() -> None:
    with pytest.raises(UsageError, match=r"^--patient-pattern: pattern is"):
        data_options(None, None, "P(")
