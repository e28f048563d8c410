"""The exit code of a command with several rows."""

from __future__ import annotations

import pytest

from gliomaseg.cli.output import raise_for_rows
from gliomaseg.errors import FormatError, GeometryError, GliomasegError, PartlyDoneError, ResourceError

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
