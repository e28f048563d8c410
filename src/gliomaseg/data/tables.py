"""Tables in text files that people edit with spreadsheets: CSV, TSV and JSON, a row as the texts of its cells."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gliomaseg.errors import DataError
from gliomaseg.user_files import read_text

SUFFIXES = (".csv", ".tsv", ".json")
_NO_TEXT = "is not a table of UTF-8 text"
Row = dict[str, str]
"""The cells by the name of their column; a missing one is empty."""


@dataclass(frozen=True)
class NumberedRow:
    """One row: its number in the file, as a spreadsheet shows it, and the cells that are not empty."""

    number: int
    row: Row


def write_rows(rows: Sequence[Row], path: Path, *, columns: Sequence[str]) -> None:
    """Write some columns of rows, in the format of the file's suffix.

    Raises:
        DataError: the suffix is unknown.
        OSError: the file cannot be written.
    """
    suffix = _suffix(path)
    if suffix == ".json":
        entries = [{name: row[name] for name in columns if row.get(name)} for row in rows]
        path.write_text(json.dumps(entries, indent=1, ensure_ascii=False) + "\n", "utf-8")
        return
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(
            file, columns, restval="", delimiter="\t" if suffix == ".tsv" else ",", lineterminator="\n"
        )
        writer.writeheader()
        writer.writerows({name: row.get(name, "") for name in columns} for row in rows)


def _suffix(path: Path) -> str:
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        what = f"suffix is {path.suffix or 'missing'}, expected {', '.join(SUFFIXES)}"
        raise DataError(what, where=path, cure="use another name")
    return suffix


def read_rows(data: Path) -> list[NumberedRow]:
    """Return the rows that are not empty, with the names of the columns in small letters.

    Byte-order marks, semicolons as separators and the line `sep=;` of Excel are accepted.

    Raises:
        DataError: the file is not such a table, or names a column twice.
        OSError: it cannot be read.
    """
    suffix = _suffix(data)
    try:
        text = read_text(data)
        rows = _json_rows(text, data) if suffix == ".json" else _csv_rows(text, data, is_tsv=suffix == ".tsv")
        return [entry for entry in rows if entry.row]
    except RecursionError as fault:
        raise DataError(
            "is not a list of rows (nested too deeply)", where=data, cure="write a list of objects"
        ) from fault
    except (UnicodeError, csv.Error) as fault:
        raise DataError(f"{_NO_TEXT} ({fault})", where=data, cure="save it as CSV UTF-8") from fault
    except ValueError as fault:  # invalid JSON, or a number of thousands of digits
        raise DataError(f"is not JSON ({fault})", where=data, cure="write a list of objects") from fault


def _csv_rows(text: str, data: Path, *, is_tsv: bool) -> Iterator[NumberedRow]:
    skipped = 1 if text.lower().startswith("sep=") else 0  # Excel names its separator
    text = text.partition("\n")[2] if skipped else text
    # Excel writes semicolons where the comma is the decimal separator.
    separator = "\t" if is_tsv else max(",;\t", key=text.partition("\n")[0].count)
    table = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    header = [name.strip().lower() for name in next(table, [])]
    if twice := [name for name in header if name and header.count(name) > 1]:
        raise DataError(f"has the column {twice[0]} twice", where=data, cure="remove one of them")
    for number, cells in enumerate(table, start=skipped + 2):
        if len(cells) > len(header) and any(cell.strip() for cell in cells[len(header) :]):
            what = f"row {number} has {len(cells)} cells, expected {len(header)}"
            raise DataError(what, where=data, cure="put quotes around cells that contain the separator")
        pairs = zip(header, cells, strict=False)
        yield NumberedRow(number, {name: cell.strip() for name, cell in pairs if name and cell.strip()})


def _json_rows(text: str, data: Path) -> Iterator[NumberedRow]:
    entries = json.loads(text)
    if not isinstance(entries, list):
        raise DataError("is not a list of rows", where=data, cure="write a list of objects, one for each case")
    for number, entry in enumerate(entries, start=1):
        if not isinstance(entry, Mapping):
            raise DataError(f"row {number} is not an object", where=data, cure='write {"case": ..., "patient": ...}')
        yield NumberedRow(number, {str(name).lower(): cell for name, cell in _cells(entry)})


def _cells(entry: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
    """Yield the names and texts of the cells that are not empty; a list, such as labels, is joined by spaces."""
    for name, value in entry.items():
        text = " ".join(map(str, value)) if isinstance(value, list) else "" if value is None else str(value)
        text.encode()  # JSON can name characters that no text has
        if text.strip():
            yield name, text.strip()
