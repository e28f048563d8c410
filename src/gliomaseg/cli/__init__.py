"""The commands: each parses, calls one verb, and prints.

Nothing heavy is imported at the top: `--help` must be instant. Results go to stdout, all else to stderr.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from typing import Annotated, NoReturn

import typer

import gliomaseg
from gliomaseg.atomic import is_disk_full
from gliomaseg.cli.bench import bench
from gliomaseg.cli.data import audit, download, phantom, split
from gliomaseg.cli.output import say
from gliomaseg.cli.predict import compare, evaluate, export, models, predict, report
from gliomaseg.cli.train import crossvalidate, demo, train
from gliomaseg.errors import GliomasegError, Interrupted, ResourceError, UsageError

app = typer.Typer(
    name="gliomaseg",
    help="Find the tumour in a brain MRI, and say how far to trust it. Research software, not a medical device.",
    no_args_is_help=True,
    add_completion=False,
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
    export,
    models,
    bench,
):
    app.command()(command)


def _version(asked: bool) -> None:
    if asked:
        print(gliomaseg.__version__)
        raise typer.Exit


@app.callback()
def _root(version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True)] = False) -> None:
    pass


def _run() -> NoReturn:
    """Run what the command line says and leave; a fault in it becomes one of ours.

    Raises:
        UsageError: the command line is wrong.
    """
    try:
        code = app(standalone_mode=False)
    except Exception as fault:
        # typer's faults share no public ancestor over its versions.
        told: Callable[[], str] | None = getattr(fault, "format_message", None)
        if told is None:
            raise
        if type(fault).__name__ == "NoArgsIsHelpError":
            say(told())
            raise SystemExit(UsageError.exit_code) from None
        command = getattr(getattr(fault, "ctx", None), "command_path", None) or "gliomaseg"
        what = told().rstrip(".").replace("Value error, ", "")
        raise UsageError(what[:1].lower() + what[1:], cure=f"see `{command} --help`") from fault
    raise SystemExit(code or 0)


def main() -> NoReturn:
    """Run a command and leave; turn faults into one line and an exit code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # names of files need not be text
    try:
        _run()
    except GliomasegError as fault:
        _leave(f"error: {fault.line()}", fault.exit_code)
    except (Interrupted, KeyboardInterrupt) as stop:
        _leave(
            f"interrupted: {stop}; run it again with --resume to go on" if str(stop) else "interrupted",
            Interrupted.exit_code,
        )
    except MemoryError:
        _leave("error: out of memory; use smaller batches or slices", ResourceError.exit_code)
    except BrokenPipeError:
        sys.stderr.close()  # whoever read our output has gone; there is nobody to tell
        raise SystemExit(1) from None
    except OSError as fault:
        if is_disk_full(fault):
            _leave(
                f"error: {fault.filename or 'disk'}: the disk is full; free some space and run again",
                ResourceError.exit_code,
            )
        where = f"{fault.filename}: " if fault.filename else ""
        _leave(
            f"error: {where}cannot be read or written ({fault.strerror or fault}); check the path and its permissions",
            GliomasegError.exit_code,
        )


def _leave(line: str, code: int) -> NoReturn:
    say(f"gliomaseg: {line}")
    raise SystemExit(code)
