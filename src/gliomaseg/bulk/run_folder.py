"""The folder of a run: its results, and in `.gliomaseg-bulk` the state that a rerun continues from."""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import re
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from gliomaseg import atomic
from gliomaseg.atomic import UNFINISHED, new_folder, write_text
from gliomaseg.bulk.entries import BulkCase
from gliomaseg.bulk.rows import RESULTS, Ids
from gliomaseg.errors import DataError, OutputExistsError, UsageError, import_extra
from gliomaseg.ownership import OutputFolder

STATE = f"{UNFINISHED}bulk"
_RUN, _LIST, _CASES, _ROWS, _CHECKPOINT, _STARTED, _RAY = (
    "run.json", "list.parquet", "cases", "rows", "checkpoint", "started", "ray",
)  # fmt: skip
_BATCH = 4096
RAY_PREFIX = "gliomaseg-ray-"
PART = re.compile(r"part-\d{4,}")


@dataclass(frozen=True)
class RunIdentity:
    """What must be the same when a run is continued.

    Attributes:
        archive: SHA-256 of the names and paths of all cases.
        cases: their number.
        model: `settings_digest` of the models.
        models: names of the models.
        version: of gliomaseg.
        out: the folder of the results; rows have absolute paths of masks.
    """

    archive: str
    cases: int
    model: str
    models: str
    version: str
    out: str

    def differences(self, other: dict[str, Any]) -> list[str]:
        """Return how this run differs from the one that began in the folder, as `<what> is <value>, was <value>`."""
        found = []
        if self.cases != other.get("cases"):
            found.append(f"the number of cases is {self.cases}, was {other.get('cases')}")
        elif self.archive != other.get("archive"):
            found.append("the names, paths or order of the cases differ")
        if self.models != other.get("models"):
            found.append(f"the model is {self.models}, was {other.get('models')}")
        elif self.model != other.get("model"):
            found.append(f"the model {self.models} has other weights or another configuration")
        if self.version != other.get("version"):
            found.append(f"gliomaseg is {self.version}, was {other.get('version')}")
        if self.out != other.get("out"):
            found.append(f"the folder is {self.out}, was {other.get('out')}")
        return found


@dataclass(frozen=True)
class RunFolder:
    """The paths of a run."""

    out: Path

    @property
    def state(self) -> Path:
        """The folder of the state."""
        return self.out / STATE

    @property
    def results(self) -> Path:
        """The table that appears when all cases have a row."""
        return self.out / RESULTS

    @property
    def listed(self) -> Path:
        """The table of all cases, as the first call has listed them."""
        return self.state / _LIST

    @property
    def cases(self) -> Path:
        """The tables that Ray Data reads: those of the newest call."""
        return self.state / _CASES

    @property
    def rows(self) -> Path:
        """The tables that Ray Data writes."""
        return self.state / _ROWS

    @property
    def checkpoint(self) -> Path:
        """The folder of Ray's row checkpoint."""
        return self.state / _CHECKPOINT

    @property
    def started(self) -> Path:
        """The folder with a file for each case that is being predicted."""
        return self.state / _STARTED

    @property
    def output(self) -> OutputFolder:
        """The files that `predict` and `bulk` wrote here."""
        return OutputFolder(self.out, "predict")

    def open(self, identity: RunIdentity, listed: Path, *, overwrite: bool) -> bool:
        """Begin a run, or continue the one that began here; return whether it is continued.

        Args:
            identity: of this run.
            listed: the table of all cases, which moves into the folder.
            overwrite: whether a run with another identity is removed. Foreign or changed files stay, and are an error.

        Raises:
            OutputExistsError: the folder has other files, or files that were changed.
            UsageError: the run that began here has another identity.
        """
        if self.state.is_symlink():
            raise OutputExistsError("is a link, expected a folder", where=self.state, cure="remove it")
        started = self._identity()
        if started is not None:
            found = identity.differences(started)
            if not found and not overwrite:
                self.output.require_replaceable(self.results, overwrite=True)
                return True
            if not overwrite:
                cure = "repeat the first command, pass --overwrite, or another --out"
                raise UsageError(f"a run began here, and {'; '.join(found)}", where=self.out, cure=cure)
            self._clear()
        elif self.out.is_dir():
            self._require_empty()
        with new_folder(self.state) as temporary:
            for name in (_ROWS, _STARTED):
                (temporary / name).mkdir()
            listed.replace(temporary / _LIST)
            (temporary / _RUN).write_text(json.dumps(asdict(identity), indent=1) + "\n", "utf-8")
        return False

    def _identity(self) -> dict[str, Any] | None:
        try:
            document = json.loads((self.state / _RUN).read_text("utf-8"))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, RecursionError) as fault:
            cure = "restore it, or remove the folder"
            raise DataError(f"cannot be read ({fault})", where=self.state / _RUN, cure=cure) from fault
        return document if isinstance(document, dict) else {}

    def _require_empty(self) -> None:
        others = (entry.name for entry in self.out.iterdir() if not entry.name.startswith((atomic.LOCK, UNFINISHED)))
        if names := sorted(itertools.islice(others, 3)):
            what = f"is not empty and no run of bulk began there: it has {', '.join(names)}"
            raise OutputExistsError(what, where=self.out, cure="pass another --out")

    def _clear(self) -> None:
        """Remove a run with its results, if all of them are unchanged files of ours."""
        parts = self.parts()
        for folder in parts:
            OutputFolder(folder, "predict").require_replaceable(folder, overwrite=True)
        kept = {*parts, self.out / atomic.LOCK}
        entries = [entry for entry in self.out.iterdir() if entry not in kept]
        targets = entries if parts else [self.out]
        self.output.require_replaceable(*targets, overwrite=True)
        for entry in [*parts, *entries]:
            if entry != self.state:
                atomic.remove(entry)
        atomic.remove(self.state)  # last: if this is killed, the next call with --overwrite goes on

    def parts(self) -> list[Path]:
        """Return the folders of masks of an archive that is too large for one folder."""
        folders = (entry for entry in self.out.glob("part-*") if entry.is_dir() and not entry.is_symlink())
        return sorted(entry for entry in folders if PART.fullmatch(entry.name))

    def write_cases(self, ids: Ids) -> None:
        """Write the tables that Ray Data reads: all cases with their next ids.

        Args:
            ids: of each case, int64, shape (cases,).
        """
        arrow, parquet = _arrow(), _parquet()
        with new_folder(self.cases, overwrite=True) as temporary:
            listed = parquet.ParquetFile(self.listed)
            start = 0
            for index, batch in enumerate(listed.iter_batches(_BATCH)):
                table = arrow.Table.from_batches([batch])
                column = arrow.array(ids[start : start + len(table)], arrow.int64())
                parquet.write_table(table.add_column(0, "id", column), temporary / f"{index:06d}.parquet")
                start += len(table)

    def note_ray(self, folder: Path) -> None:
        """Record the temporary folder of Ray, which stays if this process is killed."""
        write_text(self.state / _RAY, str(folder))

    def remove_old_ray(self) -> None:
        """Remove the temporary folder of Ray that a killed call has left."""
        try:
            folder = Path((self.state / _RAY).read_text("utf-8"))
            is_own = not folder.is_symlink() and (not hasattr(os, "getuid") or folder.stat().st_uid == os.getuid())
        except (OSError, ValueError):
            return
        if is_own and folder.name.startswith(RAY_PREFIX) and folder.parent in _ray_parents():
            atomic.remove(folder)
        (self.state / _RAY).unlink(missing_ok=True)


def _ray_parents() -> Sequence[Path]:
    return (Path(tempfile.gettempdir()), Path("/tmp"))  # noqa: S108 - only folders of this user are removed


def write_list(cases: Iterable[BulkCase], file: Path) -> tuple[str, int]:
    """Write the table of all cases, and return its SHA-256 and its length; 4,096 cases are in memory at once."""
    arrow, parquet = _arrow(), _parquet()
    schema = arrow.schema([(name, arrow.string()) for name in ("case", "name", "text")])
    hasher, count, rest = hashlib.sha256(), 0, iter(cases)
    with parquet.ParquetWriter(file, schema) as writer:
        while batch := list(itertools.islice(rest, _BATCH)):
            lines = [[_text(case.name), _text(case.result_name), case.text] for case in batch]
            hasher.update("".join(json.dumps(line) + "\n" for line in lines).encode())
            count += len(batch)
            writer.write_table(arrow.table(list(zip(*lines, strict=True)), schema=schema))
    return hasher.hexdigest(), count


def _text(name: str) -> str:
    return name.encode("utf-8", "backslashreplace").decode("utf-8")


def _arrow() -> Any:
    return import_extra("pyarrow", "bulk", purpose="bulk")


def _parquet() -> Any:
    return import_extra("pyarrow.parquet", "bulk", purpose="bulk")
