"""The pages whose commands train: in a file of their own, so that two workers share the pages."""

from __future__ import annotations

from pathlib import Path

import pytest

from documented_pages import PAGES, archive, crossvalidates, ran, run_page, trains

__all__ = ["archive", "ran"]  # fixtures
TRAINING = [page for page in PAGES if trains(page) and not crossvalidates(page)]


@pytest.mark.parametrize("page", TRAINING, ids=lambda page: page.name)
def test_the_commands_of_a_page_that_trains_do_what_it_says(
    page: Path, archive: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    run_page(page, archive, tmp_path, request)
