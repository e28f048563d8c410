"""The command serve."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from gliomaseg.cli.options import Model
from gliomaseg.cli.output import log, parse_size
from gliomaseg.cli.paths import Output
from gliomaseg.errors import UsageError, import_extra


def serve(
    host: Annotated[str, typer.Option("--host", help="Address to listen on; others than 127.0.0.1 need a token.")] = (
        "127.0.0.1"
    ),
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="Port; 0 takes a free one.")] = 8000,
    model: Model = None,
    limit: Annotated[str, typer.Option("--limit", metavar="SIZE", help="Largest upload, such as 500M or 2G.")] = "2G",
    open_browser: Annotated[bool, typer.Option("--open", help="Open the page in the browser.")] = False,
    cases: Annotated[
        Path | None, typer.Option("--cases", metavar="DATA", help="A folder of scans to correct one after another.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder for their masks and manifest.csv, with --cases."), Output.FOLDER
    ] = None,
    reader: Annotated[
        str | None, typer.Option("--reader", metavar="NAME", help="Who corrects them (default: the login name).")
    ] = None,
) -> None:
    """Serve a page to look at masks and correct them, and a REST API, on this machine."""
    from gliomaseg.serve.settings import ServeSettings

    if (cases is None) != (out is None):
        given, missing = ("--cases", "--out") if out is None else ("--out", "--cases")
        raise UsageError(f"{missing} is missing", where=given, cure="give both: scans, and a folder for their masks")
    server = import_extra("gliomaseg.serve.server", "serve", purpose="the page")
    settings = ServeSettings(
        host=host,
        port=port,
        model=model,
        token=os.environ.get("GLIOMASEG_TOKEN", ""),
        max_upload_bytes=parse_size(limit, where="--limit"),
    )
    work = None
    if cases is not None and out is not None:
        from gliomaseg.serve.worklist.folders import WorkFolders

        work = WorkFolders.open(cases, out, reader)
    server.serve(settings, say=log, open_browser=open_browser, work=work)
