"""Errors that a user can cause, with the exit code of each.

::

    GliomasegError                exit 1   the work failed
    ├── DownloadError                  1   no network, no such archive
    ├── TrainingError                  1   the run cannot go on (a loss that is not a number)
    ├── MissingExtraError              1   an optional part of the package is not installed
    ├── UsageError                     2   the command or its settings are wrong
    │   ├── ConfigError                2   a recipe or a setting is wrong
    │   └── OutputExistsError          2   the output already exists
    ├── InputError                     3   the input cannot be used
    │   ├── FormatError                3   a file cannot be read
    │   ├── GeometryError              3   shapes or grids do not fit
    │   ├── DataError                  3   a data set is missing, empty or unsafe
    │   └── ModelError                 3   a model folder is incomplete or altered
    ├── FolderInUseError               3   another run works in the output folder
    ├── PartlyDoneError                4   some cases failed; each is a row with its reason
    └── ResourceError                  5   out of disk or memory
        Interrupted                  130   Ctrl-C or SIGTERM (not a GliomasegError)

A programmer's error stays a ValueError or TypeError.
"""

from __future__ import annotations

from importlib import import_module
from os import PathLike
from typing import Any


class GliomasegError(Exception):
    """An error that the user can cause: the fault, its place, and what to do, in one line."""

    exit_code = 1

    def __init__(self, what: str, *, where: str | PathLike[str] = "", cure: str = "") -> None:
        """Keep the three parts.

        Args:
            what: the fault, without a full stop.
            where: the file, folder, setting or case it concerns.
            cure: what the user can do about it, as an imperative.
        """
        self.what = what
        self.where = str(where)
        self.cure = cure
        super().__init__(self.line())

    def line(self) -> str:
        """Return `where: what; cure` as one line of text."""
        where, rest = printable(self.where), f"{self.what}; {self.cure}" if self.cure else self.what
        rest = printable(" ".join(rest.split()))
        return f"{where}: {rest}" if where else rest


def printable(text: str) -> str:
    r"""Return a text in one line: control characters of a file's name are escaped, as in `a\\nb`.

    Also letters that change the direction of the text, and other ones that a terminal does not show.

    >>> print(printable("a\nb\x1b[2J"))
    a\nb\x1b[2J
    """
    return "".join(c if c.isprintable() or "\udc80" <= c <= "\udcff" else repr(c)[1:-1] for c in text)


def counted(number: int, noun: str) -> str:
    """Return a number with its noun in the singular or the plural, for messages.

    >>> counted(1, "patient"), counted(3019, "slice")
    ('1 patient', '3,019 slices')
    """
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


class DownloadError(GliomasegError):
    """The data set cannot be fetched."""


class TrainingError(GliomasegError):
    """A training run cannot go on."""


class MissingExtraError(GliomasegError):
    """An optional part of the package is needed and not installed."""


def import_extra(module: str, extra: str, *, purpose: str) -> Any:
    """Import a module that needs an optional part of the package.

    Args:
        module: of the package, or of another one.
        extra: what brings what it needs.
        purpose: the feature that needs it, for the message: "training".

    Raises:
        MissingExtraError: something that it needs is not installed.
    """
    try:
        return import_module(module)
    except ModuleNotFoundError as fault:
        if fault.name and fault.name.startswith("gliomaseg"):  # our own mistake
            raise
        raise MissingExtraError(f"{purpose} needs {fault.name}", cure=f'pip install "gliomaseg[{extra}]"') from fault


class UsageError(GliomasegError):
    """The command makes no sense as it was given."""

    exit_code = 2


class ConfigError(UsageError):
    """A recipe or a setting is wrong."""


class OutputExistsError(UsageError):
    """The output already exists."""


class InputError(GliomasegError):
    """The input cannot be used."""

    exit_code = 3


class FormatError(InputError):
    """A file cannot be read in its format."""


class GeometryError(InputError):
    """Two arrays or grids that must fit do not."""


class DataError(InputError):
    """A data set is missing, empty or unsafe to train on."""


class ModelError(InputError):
    """A model folder is incomplete, altered or of another version."""


class FolderInUseError(GliomasegError):
    """Another run works in the output folder."""

    exit_code = 3


class PartlyDoneError(GliomasegError):
    """Some cases failed; the others are done."""

    exit_code = 4


class ResourceError(GliomasegError):
    """The disk or the memory does not suffice."""

    exit_code = 5


class Interrupted(Exception):  # noqa: N818 - not a fault: the user asked to stop
    """The user stopped the work; what is on disk is whole and can be resumed."""

    exit_code = 130
