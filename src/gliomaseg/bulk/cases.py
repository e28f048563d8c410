"""The cases of an archive: a folder of scans, a manifest, or a Parquet table."""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import Any

from gliomaseg.bulk.entries import BulkCase, text_of_fault, text_of_files, text_of_input
from gliomaseg.data.tables import SUFFIXES, NumberedRow, read_rows
from gliomaseg.errors import DataError, FormatError, import_extra
from gliomaseg.inputs import list_inputs
from gliomaseg.inputs.input import Input, Kind
from gliomaseg.inputs.result_names import portable_name

PARQUET = (".parquet", ".pq")
_SERIES = ("flair_series", "t1_series", "t1ce_series")
_READ = ("case", "flair", "t1", "t1ce", *_SERIES, "flair_channel", "slice", "image")
_BATCH = 10_000
# A stack's results are a folder with the name of its case: it must not be that of another file or folder of the run.
_RESERVED = re.compile(
    r"results\.parquet|glioma_labels\.\w+|part-\d+|.*_(mask|overlay|probability)\.[a-z.]+", re.IGNORECASE
)


def read_archive(source: Path, *, without: Path) -> Iterator[BulkCase]:
    """Yield the cases of an archive, in order; no image is read. A case that cannot be read is yielded with its fault.

    Args:
        source: a folder as for `predict`, a CSV, TSV or JSON file, or a Parquet table. Paths in a table are relative
            to its folder. Of its columns, `case`, `flair`, `t1`, `t1ce`, `flair_series`, `t1_series`, `t1ce_series`,
            `slice` and `image` are read.
        without: the folder of the results, which is not searched.

    Raises:
        DataError: there is no such archive, it has no case, a row has no case, or two cases have one name.
        ResourceError: the folder has more than 100,000 files.
    """
    return _with_unique_names(_cases(source, without), source)


def _cases(source: Path, without: Path) -> Iterator[BulkCase]:
    suffix = source.suffix.lower()
    if source.is_file() and suffix in PARQUET:
        return _table_cases(_parquet_rows(source), source)
    if source.is_file() and suffix in SUFFIXES:
        rows = read_rows(source)
        if rows and not any(entry.row.get("flair") or entry.row.get("image") for entry in rows):
            cure = "write a table with the columns case and flair"
            raise DataError("no row has a file in the column flair or image", where=source, cure=cure)
        return _table_cases(rows, source)
    if source.is_file():
        cure = "give a folder, or a table as .csv, .tsv, .json or .parquet; for one scan, use predict"
        raise DataError("is not a table of cases", where=source, cure=cure)
    inputs = list_inputs([source.absolute()], without=without)
    return (BulkCase(entry.name, _file_name(entry.name), text_of_input(entry)) for entry in inputs)


def _with_unique_names(cases: Iterable[BulkCase], source: Path) -> Iterator[BulkCase]:
    """Yield the cases; results are files with their names, and some file systems ignore capital letters."""
    seen: set[str] = set()
    for case in cases:
        key = unicodedata.normalize("NFC", case.result_name).casefold()
        if key in seen:
            what = f"case {case.name} has the name of another case, or the same file name"
            cure = "give each case a name of its own, and put the slices of one case in neighbouring rows"
            raise DataError(what, where=source, cure=cure)
        seen.add(key)
        yield case
    if not seen:
        raise DataError("has no case", where=source, cure="write a row for each case, with case and flair")


def _file_name(name: str) -> str:
    """Return a case's name as the name of files in the output folder; it does not begin with a dot."""
    portable = portable_name(name)
    return f"_{portable}" if portable.startswith(".") or _RESERVED.fullmatch(portable) else portable


def _table_cases(rows: Iterable[NumberedRow], source: Path) -> Iterator[BulkCase]:
    """Yield a case for each row, or for the neighbouring rows of slices of one case."""
    for name, group in groupby(rows, key=lambda entry: _group_of(entry, source)):
        members = list(group)
        first = members[0].row
        if isinstance(name, str):
            yield BulkCase(name, _file_name(name), _stack_text(members, source))
        else:
            yield BulkCase(first["case"], _file_name(first["case"]), _volume_text(first, source))


def _group_of(entry: NumberedRow, source: Path) -> str | int:
    """Return the case of a row of one slice, or the number of another row, which is a case by itself."""
    if not entry.row.get("case"):
        what = f"case in row {entry.number} is empty, expected a name"
        raise DataError(what, where=source, cure="give each row a case, and a path in flair")
    return entry.row["case"] if entry.row.get("image") else entry.number


def _volume_text(row: dict[str, str], source: Path) -> str:
    if not row.get("flair"):
        fault = DataError(
            "flair is empty, expected a file", where=row["case"], cure=f"correct its row in {source.name}"
        )
        return text_of_fault(source, fault)
    flair = _path(row["flair"], source)
    if row.get("flair_channel"):
        what = f"flair_channel is {row['flair_channel']}, expected none: one channel of a 4D file is not read"
        return text_of_fault(flair, FormatError(what, where=flair, cure="save FLAIR as a file of its own"))
    files = {name: _path(row[name], source) for name in ("flair", "t1", "t1ce") if row.get(name)}
    return text_of_files(files, series={name.removesuffix("_series"): row[name] for name in _SERIES if row.get(name)})


def _stack_text(rows: list[NumberedRow], source: Path) -> str:
    """Return the text of a case whose slices are files."""
    numbered: list[tuple[int, Path]] = []
    for entry in rows:
        text = entry.row.get("slice", "")
        image = _path(entry.row["image"], source)
        if not (text.isdecimal() and len(text) <= 9):
            fault = DataError(
                f"slice is {text or 'empty'}, expected a whole number", where=image, cure="correct its row"
            )
            return text_of_fault(image, fault)
        numbered.append((int(text), image))
    numbered.sort()
    numbers, files = tuple(number for number, _ in numbered), tuple(file for _, file in numbered)
    if len(set(numbers)) < len(numbers):
        return text_of_fault(
            files[0], DataError("has two rows of one slice", where=files[0], cure="remove one of them")
        )
    stack = Input(files[0].parent, Kind.STACK, files, numbers=numbers)
    missing = next((file for file in files if not os.path.exists(file)), None)  # noqa: PTH110 - a name may be too long
    if missing is not None:
        stack = replace(stack, fault=DataError("there is no such file", where=missing, cure="check the path"))
    return text_of_input(stack)


def _path(text: str, source: Path) -> Path:
    """Return an absolute path; a worker of a cluster has another working directory."""
    return source.absolute().parent / text


def _parquet_rows(source: Path) -> Iterator[NumberedRow]:
    """Yield the rows of a Parquet table in batches: a table may have millions.

    Raises:
        DataError: the file is not Parquet, or lacks a column.
    """
    parquet: Any = import_extra("pyarrow.parquet", "bulk", purpose="reading Parquet")
    try:
        file = parquet.ParquetFile(source)
        names = _column_names(file.schema_arrow, source)
        number = 0
        for batch in file.iter_batches(_BATCH, columns=list(names)):
            for values in batch.to_pylist():
                number += 1
                cells = {names[name]: _cell(value) for name, value in values.items() if value is not None}
                yield NumberedRow(number, {name: text for name, text in cells.items() if text})
    except (OSError, ValueError) as fault:  # ArrowInvalid is a ValueError
        what = f"is not a Parquet table ({str(fault).splitlines()[0]})"
        raise DataError(what, where=source, cure="write it again, for example with pandas") from fault


def _column_names(schema: Any, source: Path) -> dict[str, str]:
    """Return our name of each column of a Parquet table that is read.

    Raises:
        DataError: a column is missing, occurs twice, or cannot be read as text.
    """
    types: Any = import_extra("pyarrow", "bulk", purpose="reading Parquet").types
    found: dict[str, str] = {}
    for field in schema:
        name = field.name.lower()
        if name not in _READ:
            continue
        if name in found.values():
            raise DataError(f"has the column {name} twice", where=source, cure="remove one of them")
        if types.is_nested(field.type) or types.is_binary(field.type) or types.is_large_binary(field.type):
            raise DataError(f"the column {name} is {field.type}, expected text", where=source, cure="write text")
        found[field.name] = name
    if "case" not in found.values() or not {"flair", "image"} & set(found.values()):
        cure = "write a table with the columns case and flair"
        raise DataError("lacks the column case or flair", where=source, cure=cure)
    return found


def _cell(value: Any) -> str:
    """Return a value as text; pandas writes whole numbers as floats if one of them is missing."""
    return str(int(value) if isinstance(value, float) and value.is_integer() else value).strip()
