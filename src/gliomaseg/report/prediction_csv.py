"""The rows of `predict` as a CSV file for pandas and spreadsheets."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

from gliomaseg.atomic import new_file, require_free
from gliomaseg.errors import OutputExistsError, UsageError
from gliomaseg.prediction import PredictRow

_SEPARATOR = "; "
# A spreadsheet runs a cell that begins with one of these as a formula.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")
_AXES = ("x", "y", "z")

COLUMNS = (
    "input",
    "mask",
    "outputs",
    "tumour_voxels",
    "tumour_volume_ml",
    "largest_area_mm2",
    "longest_diameter_mm",
    "perpendicular_diameter_mm",
    "tumour_slices",
    "components",
    *(f"bounding_box_{axis}_{end}" for axis in _AXES for end in ("first", "last")),
    *(f"extent_{axis}_mm" for axis in _AXES),
    "orientation",
    "series",
    "model",
    "predicted_dice",
    "warnings",
    "skipped",
    "seconds",
    "error",
    "left_out",
)
"""The columns, always all of them and in this order; later versions add columns at the end."""


def write_csv(file: Path, rows: Sequence[PredictRow], *, earlier: Mapping[str, Sequence[str]] | None = None) -> None:
    """Write a row for each scan, in UTF-8 with the line ends of RFC 4180; an existing file is replaced.

    Numbers have a decimal point, and an undefined value is an empty cell. Several texts in one cell are separated by
    a semicolon. A text that a spreadsheet would run as a formula begins with an apostrophe.

    Args:
        file: the table.
        rows: one for each scan.
        earlier: the rows of an earlier table, from `read_csv`. They replace the rows of scans that were predicted
            before. Rows of scans that are not in `rows` come first.

    Raises:
        ResourceError: the disk is full.
        GliomasegError: the folder cannot be written.
    """
    own_rows = [_cells(row) for row in rows]
    inputs = {own["input"] for own in own_rows}
    cells = [list(kept) for name, kept in (earlier or {}).items() if name not in inputs]
    for row, own in zip(rows, own_rows, strict=True):
        was_predicted_before = row.error is None and row.tumour_voxels is None
        kept = (earlier or {}).get(own["input"]) if was_predicted_before else None
        cells.append(list(kept or [own[column] for column in COLUMNS]))
    with (
        new_file(file) as temporary,
        temporary.open("w", encoding="utf-8", errors="backslashreplace", newline="") as text,
    ):
        writer = csv.writer(text, lineterminator="\r\n")
        writer.writerow(COLUMNS)
        writer.writerows(cells)


def require_table(file: Path, *, overwrite: bool) -> None:
    """Check that a table may be written to a file.

    Raises:
        UsageError: the suffix is not `.csv`: the file could be a scan or a result.
        OutputExistsError: the file exists and `overwrite` is not set, or it is not a table of `predict`.
    """
    if file.suffix.lower() != ".csv":
        raise UsageError(
            f"suffix is {file.suffix or 'missing'}, expected .csv", where=file, cure="name the table *.csv"
        )
    if not overwrite:
        require_free(file)
    read_csv(file)


def read_csv(file: Path) -> dict[str, list[str]]:
    """Return the rows of a table that `write_csv` wrote, by input; no rows if the file does not exist.

    Raises:
        OutputExistsError: the file is not such a table.
    """
    try:
        with file.open(encoding="utf-8", newline="") as text:
            header, *rows = csv.reader(text)
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, csv.Error):
        header, rows = [], []
    if tuple(header) != COLUMNS:
        raise OutputExistsError("exists and is not a table of predict", where=file, cure="pass another --csv")
    return {row[0]: row for row in rows if len(row) == len(COLUMNS)}


def _cells(row: PredictRow) -> dict[str, str]:
    values: dict[str, object] = dict(row.document())
    values["mask"] = row.outputs[0] if row.outputs else None
    values["longest_diameter_mm"], values["perpendicular_diameter_mm"] = row.diameters_mm or (None, None)
    for axis in _AXES:
        first, last = (row.bounding_box or {}).get(axis, (None, None))
        values |= {f"bounding_box_{axis}_first": first, f"bounding_box_{axis}_last": last}
        values[f"extent_{axis}_mm"] = (row.extent_mm or {}).get(axis)
    return {column: _cell(values[column]) for column in COLUMNS}


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, (int, float)):
        return str(value)
    text = _SEPARATOR.join(map(str, value)) if isinstance(value, list) else str(value)
    return f"'{text}" if text.startswith(_FORMULA) else text
