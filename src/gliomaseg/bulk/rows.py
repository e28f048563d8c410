"""The rows of results: their columns, what earlier calls have finished, and the table at the end."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import UnionType
from typing import Any, get_args, get_origin, get_type_hints

import numpy as np
from numpy.typing import NDArray

from gliomaseg.errors import GliomasegError, import_extra
from gliomaseg.prediction import PredictRow

RESULTS = "results.parquet"
ATTEMPT = 2**40
"""The id of a row is `ATTEMPT * attempt + number`: the number of the case, from 0, and how often it failed before."""
_TABLE_ROWS = 10_000
_AXES = ("x", "y", "z")
Ids = NDArray[np.int64]


@dataclass(frozen=True)
class CaseRow:
    """The result of one case.

    Attributes:
        id: number and attempt, see `ATTEMPT`.
        case: its name.
        row: as `predict` returns it.
        input_sha256: of the file; of several files, over their digests (`Input.content_digest`); None if unreadable.
        mask_sha256: of the mask; of several masks, over their digests; None without a mask.
    """

    id: int
    case: str
    row: PredictRow
    input_sha256: str | None = None
    mask_sha256: str | None = None


def columns() -> Any:
    """Return the Arrow schema of `results.parquet`: `case`, the keys of `predict --json`, and the digests."""
    arrow: Any = _arrow()
    hints = get_type_hints(PredictRow)
    types = {name: _arrow_type(hints[name]) for name in PredictRow("").document()}
    digests = dict.fromkeys(("input_sha256", "mask_sha256"), arrow.string())
    return arrow.schema(list(({"case": arrow.string()} | types | digests).items()))


def _arrow_type(hint: Any) -> Any:
    """Return the Arrow type of a field of `PredictRow`. All may be null; a dictionary has a value for each axis."""
    arrow: Any = _arrow()
    kinds = [kind for kind in get_args(hint) if kind is not type(None)] if isinstance(hint, UnionType) else [hint]
    if get_origin(kinds[0]) is list:
        return arrow.list_(_arrow_type(get_args(kinds[0])[0]))
    if get_origin(kinds[0]) is dict:
        return arrow.struct([(axis, _arrow_type(get_args(kinds[0])[1])) for axis in _AXES])
    return {str: arrow.string(), int: arrow.int64(), float: arrow.float64()}[kinds[0]]


def to_table(rows: Sequence[CaseRow]) -> Any:
    """Return rows as an Arrow table: the columns of the results, `id`, and `exit_code` (0 if the case succeeded)."""
    arrow: Any = _arrow()
    schema = columns().insert(0, arrow.field("id", arrow.int64())).insert(1, arrow.field("exit_code", arrow.int64()))
    documents = [
        {
            "id": row.id,
            "exit_code": 0 if row.row.fault is None else row.row.fault.exit_code,
            "case": row.case,
            **row.row.document(),
            "input_sha256": row.input_sha256,
            "mask_sha256": row.mask_sha256,
        }
        for row in rows
    ]
    return arrow.Table.from_pylist([_encodable(document) for document in documents], schema=schema)


def _encodable(value: Any) -> Any:
    """Return a value whose texts are UTF-8: a file name may contain bytes that are not text."""
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode("utf-8")
    if isinstance(value, Mapping):
        return {name: _encodable(entry) for name, entry in value.items()}
    return [_encodable(entry) for entry in value] if isinstance(value, (list, tuple)) else value


@dataclass(frozen=True)
class FoundRows:
    """The rows that earlier calls have written, without duplicates; the arrays have one element a row.

    Attributes:
        ids: see `ATTEMPT`.
        codes: exit codes; 0 if the case succeeded.
        files: index in `paths`.
        places: index in the file.
        paths: the files that can be read.
    """

    ids: Ids
    codes: Ids
    files: Ids
    places: Ids
    paths: tuple[Path, ...]

    @property
    def numbers(self) -> Ids:
        """The numbers of the cases."""
        return self.ids % ATTEMPT

    @property
    def failed(self) -> int:
        """The number of cases that failed or lack an output."""
        return int(np.count_nonzero(self.codes))


def find_rows(folder: Path, cases: int) -> FoundRows:
    """Return the newest row of each of a number of cases, sorted by number.

    Files that a kill has left half-written, and foreign ones, are not read.
    """
    found: list[tuple[Ids, Ids]] = []
    paths: list[Path] = []
    for path in sorted(folder.glob("*.parquet")):
        if (table := _read(path, ["id", "exit_code"], cases=cases)) is not None:
            found.append((table["id"].to_numpy(), table["exit_code"].to_numpy()))
            paths.append(path)
    if not paths:
        empty: Ids = np.empty(0, np.int64)
        return FoundRows(empty, empty, empty, empty, ())
    ids = np.concatenate([part for part, _ in found])
    codes = np.concatenate([part for _, part in found])
    files = np.repeat(np.arange(len(found)), [len(part) for part, _ in found])
    places = np.concatenate([np.arange(len(part)) for part, _ in found])
    order = np.lexsort((ids, ids % ATTEMPT))
    last = np.append(np.diff(ids[order] % ATTEMPT) > 0, True)  # of each number, the last attempt
    kept = order[last]
    return FoundRows(ids[kept], codes[kept], files[kept], places[kept], tuple(paths))


def next_ids(found: FoundRows, *, cases: int, checkpoint: Path, out: Path) -> Ids:
    """Return the id of each case for the next call, int64, shape (cases,).

    A case whose id is in Ray's checkpoint is not predicted again. Therefore a case that failed, whose row was lost or
    whose files are gone gets the id of its next attempt.

    Args:
        found: the rows that are there.
        cases: the number of cases.
        checkpoint: the folder of Ray's checkpoint.
        out: the folder of the results.
    """
    attempts = np.zeros(cases, np.int64)
    finished = [
        _read(path, ["id"], cases=cases) for path in checkpoint.glob("*.parquet") if ".pending." not in path.name
    ]
    for table in finished:
        ids = table["id"].to_numpy() if table is not None else np.empty(0, np.int64)
        np.maximum.at(attempts, ids % ATTEMPT, ids // ATTEMPT + 1)
    np.maximum.at(attempts, found.numbers, found.ids // ATTEMPT + 1)
    complete = (found.codes == 0) & ~_lack_files(found, out)
    attempts[found.numbers[complete]] = found.ids[complete] // ATTEMPT
    return np.asarray(ATTEMPT * attempts + np.arange(cases), np.int64)


def _lack_files(found: FoundRows, out: Path) -> NDArray[np.bool_]:
    """Return whether an output of each row is gone."""
    lacking = np.zeros(len(found.ids), bool)
    for table, kept, places in _by_file(found, slice(None), ["outputs"]):
        outputs = table["outputs"].take(places).to_pylist()
        lacking[kept] = [not all(os.path.lexists(out / name) for name in names or ()) for names in outputs]
    return lacking


def count_rows(folder: Path, counted: dict[str, int]) -> int:
    """Return the number of rows in a folder; `counted` keeps the numbers of files that were opened before."""
    parquet: Any = import_extra("pyarrow.parquet", "bulk", purpose="bulk")
    for path in folder.glob("*.parquet"):
        if path.name not in counted and path.is_file():
            try:
                counted[path.name] = parquet.read_metadata(path).num_rows
            except (OSError, ValueError):
                continue
    return sum(counted.values())


def write_results(found: FoundRows, file: Path) -> None:
    """Write the rows as one Parquet table, sorted as the archive; at most 10,000 rows are in memory.

    Args:
        found: exactly one row for each case.
        file: a new file.
    """
    arrow, parquet = _arrow(), import_extra("pyarrow.parquet", "bulk", purpose="bulk")
    schema = columns()
    with parquet.ParquetWriter(file, schema) as writer:
        for start in range(0, len(found.ids), _TABLE_ROWS):
            parts, kept = [], []
            for table, positions, places in _by_file(found, slice(start, start + _TABLE_ROWS), schema.names):
                parts.append(table.take(places))
                kept.append(positions)
            order = np.argsort(np.concatenate(kept))
            writer.write_table(arrow.concat_tables(parts).take(order).select(schema.names).cast(schema))


def _by_file(found: FoundRows, part: slice, names: Sequence[str]) -> Iterator[tuple[Any, Ids, Ids]]:
    """Yield each file with rows of a part: its table, and for each of these rows the position and the place in it."""
    positions = np.arange(len(found.ids))[part]
    files = found.files[part]
    for index in np.unique(files):
        kept = positions[files == index]
        table = _read(found.paths[index], list(names))
        if table is None:
            what = "was changed while it was read"
            raise GliomasegError(what, where=found.paths[index], cure="run the same command again")
        yield table, kept, found.places[kept]


def _read(path: Path, names: list[str], *, cases: int | None = None) -> Any:
    """Return columns of a Parquet file as a table; None if it is damaged, gone, or not a table of ours.

    Args:
        path: of the file.
        names: of the columns.
        cases: if given, ids must be those of so many cases.
    """
    parquet: Any = import_extra("pyarrow.parquet", "bulk", purpose="bulk")
    try:
        if not path.is_file():  # reading a pipe would not end
            return None
        table = parquet.ParquetFile(path).read(columns=names)
    except (OSError, ValueError, KeyError):
        return None
    if table.column_names != names or (cases is not None and not _has_ids(table, cases)):
        return None
    return table


def _has_ids(table: Any, cases: int) -> bool:
    column = table["id"]
    if column.type != _arrow().int64() or column.null_count:
        return False
    ids = column.to_numpy()
    return bool(np.all(ids >= 0) and np.all(ids % ATTEMPT < cases))


def _arrow() -> Any:
    return import_extra("pyarrow", "bulk", purpose="bulk")
