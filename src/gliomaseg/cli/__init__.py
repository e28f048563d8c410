"""The command line: each command parses its options, calls one function of the package, and prints the result.

Modules that load slowly are imported inside the commands, so that `--help` is instant. Results go to stdout, all
other messages to stderr.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from typing import Annotated, NoReturn

import typer

import gliomaseg
from gliomaseg.atomic import is_disk_full, sigterm_as_interrupt
from gliomaseg.cli.bench import bench
from gliomaseg.cli.bulk import bulk
from gliomaseg.cli.data import audit, download, phantom, split
from gliomaseg.cli.evaluate import compare, evaluate, report
from gliomaseg.cli.examples import epilog_of
from gliomaseg.cli.models import export, models
from gliomaseg.cli.options import StrictCommand
from gliomaseg.cli.output import log
from gliomaseg.cli.paths import with_checked_paths
from gliomaseg.cli.predict import predict
from gliomaseg.cli.serve import serve
from gliomaseg.cli.train import crossvalidate, demo, train
from gliomaseg.errors import GliomasegError, Interrupted, ResourceError, UsageError

app = typer.Typer(
    name="gliomaseg",
    help="Segment tumours in brain MRI and estimate the quality of each mask. Research software, not a medical device.",
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


for command in (
    demo,
    download,
    phantom,
    audit,
    split,
    train,
    crossvalidate,
    evaluate,
    compare,
    report,
    predict,
    bulk,
    export,
    models,
    bench,
    serve,
):
    app.command(cls=StrictCommand, epilog=epilog_of(command.__name__))(with_checked_paths(command))


def _print_version(requested: bool) -> None:
    if requested:
        print(gliomaseg.__version__)
        raise typer.Exit


@app.callback(invoke_without_command=True)
def _root(
    context: typer.Context,
    _version: Annotated[bool, typer.Option("--version", callback=_print_version, is_eager=True)] = False,
) -> None:
    if context.invoked_subcommand is None:
        log(context.get_help())
        raise typer.Exit(UsageError.exit_code)


def _run() -> NoReturn:
    """Run the command of the command line and exit.

    Raises:
        UsageError: the command line is wrong.
    """
    try:
        code = app(prog_name="gliomaseg", standalone_mode=False)
    except Exception as fault:
        # The base class of typer's usage errors differs between its versions; all of them have this method.
        format_message: Callable[[], str] | None = getattr(fault, "format_message", None)
        if format_message is None:
            raise
        command = getattr(getattr(fault, "ctx", None), "command_path", None) or "gliomaseg"
        what = format_message().rstrip(".").replace("Value error, ", "")
        raise UsageError(what[:1].lower() + what[1:], cure=f"see `{command} --help`") from fault
    raise SystemExit(code or 0)


def main() -> NoReturn:
    """Run a command and exit; print an error as one line and set the exit code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a file name may contain bytes that are not text
    try:
        with sigterm_as_interrupt():
            _run()
    except GliomasegError as fault:
        _exit(f"error: {fault.line()}", fault.exit_code)
    except (Interrupted, KeyboardInterrupt) as stop:
        _exit(
            f"interrupted: {stop}; run it again with --resume to go on" if str(stop) else "interrupted",
            Interrupted.exit_code,
        )
    except MemoryError:
        _exit("error: out of memory; use smaller batches or slices", ResourceError.exit_code)
    except BrokenPipeError:
        sys.stderr.close()  # the reader of our output has closed the pipe
        raise SystemExit(1) from None
    except OSError as fault:
        if is_disk_full(fault):
            _exit(
                f"error: {fault.filename or 'disk'}: the disk is full; free some space and run again",
                ResourceError.exit_code,
            )
        where = f"{fault.filename}: " if fault.filename else ""
        _exit(
            f"error: {where}cannot be read or written ({fault.strerror or fault}); check the path and its permissions",
            GliomasegError.exit_code,
        )


def _exit(line: str, code: int) -> NoReturn:
    log(f"gliomaseg: {line}")
    raise SystemExit(code)
