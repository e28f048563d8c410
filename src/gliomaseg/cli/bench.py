"""The command `bench`."""

from __future__ import annotations

from typing import Annotated

import typer

from gliomaseg.cli.options import Json, Model
from gliomaseg.cli.output import log, print_result
from gliomaseg.errors import GliomasegError, PartlyDoneError, UsageError


def bench(
    as_json: Json = False,
    only: Annotated[
        str | None,
        typer.Option(
            "--only", metavar="SECTION,...", help="loading, training, prediction, roofline, startup, scaling."
        ),
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Use tiny sizes: a check that it runs, not a result.")] = False,
    full: Annotated[bool, typer.Option("--full", help="Also predict 10,000 slices, which takes minutes more.")] = False,
    model: Model = None,
) -> None:
    """Compare speed with common alternatives, offline on phantoms."""
    from gliomaseg.bench import benchmark_text, chosen_sections, run_benchmark, sizes_for

    if quick and full:
        raise UsageError("--quick and --full exclude each other", cure="omit one of them")
    report = run_benchmark(sizes_for(quick=quick, full=full), sections=chosen_sections(only), model=model, log=log)
    print_result(report.document(), benchmark_text(report), as_json=as_json)
    failed = [row for row in report.rows if row.status == "failed"]
    if failed and len(failed) == len(report.rows):
        raise GliomasegError("all measurements failed", cure="read the reasons in their rows")
    if failed:
        raise PartlyDoneError(
            f"{len(failed)} of {len(report.rows)} measurements failed", cure="read the reasons in their rows"
        )
