"""The command that measures speed."""

from __future__ import annotations

from typing import Annotated

import typer

from gliomaseg.cli.options import Json, Model
from gliomaseg.cli.output import say, show
from gliomaseg.errors import GliomasegError, PartlyDoneError, UsageError


def bench(
    as_json: Json = False,
    only: Annotated[
        str | None,
        typer.Option(
            "--only", metavar="SECTION,...", help="loading, training, prediction, roofline, startup, scaling."
        ),
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Tiny sizes: to see that it works, not for figures.")] = False,
    full: Annotated[bool, typer.Option("--full", help="Predict 10,000 slices too: some minutes more.")] = False,
    model: Model = None,
) -> None:
    """Measure our speed beside what people use, offline, on phantoms, in turns."""
    from gliomaseg.bench import benchmark_text, chosen_sections, run_benchmark, sizes_for

    if quick and full:
        raise UsageError("--quick and --full ask for different sizes", cure="leave one out")
    document = run_benchmark(sizes_for(quick=quick, full=full), sections=chosen_sections(only), model=model, say=say)
    show(document, benchmark_text(document), as_json=as_json)
    rows = [row for section in document["sections"].values() for row in section["rows"]]
    failed = [row for row in rows if row["status"] == "failed"]
    if failed and len(failed) == len(rows):
        raise GliomasegError("no figure could be measured", cure="see the reasons in the rows")
    if failed:
        raise PartlyDoneError(f"{len(failed)} of {len(rows)} figures failed", cure="see the reasons in their rows")
