"""Typed access to the values of a DICOM header, and texts of them for messages."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from pydicom import Dataset

_UID = re.compile(r"[0-9]+(\.[0-9]+)*")
_UID_LENGTH = 64
_TEXT_LENGTH = 64


def value_of(data: Dataset, keyword: str) -> Any:
    """Return a value as pydicom converts it; None if it is missing, empty or invalid."""
    try:
        value = data.get(keyword)
    except MemoryError:
        raise
    except Exception:  # pydicom converts values on access
        return None
    return None if value is None or value == "" else value


def text(data: Dataset, keyword: str) -> str:
    """Return a text of at most 64 printable letters; an empty string if it is missing."""
    value = value_of(data, keyword)
    if value is None or isinstance(value, bytes):
        return ""
    try:
        letters = str(value)
    except Exception:
        return ""
    return " ".join("".join(letter if letter.isprintable() else " " for letter in letters).split())[:_TEXT_LENGTH]


def uid(data: Dataset, keyword: str) -> str:
    """Return a UID; an empty string if it is missing or invalid."""
    value = value_of(data, keyword)
    return value if isinstance(value, str) and is_uid(value) else ""


def is_uid(value: str) -> bool:
    """Return whether a text is a valid UID: digits and dots cannot be a name, so messages may show it."""
    return len(value) <= _UID_LENGTH and _UID.fullmatch(value) is not None


def words(data: Dataset, keyword: str) -> tuple[str, ...]:
    """Return the values of an element with several texts, in capitals."""
    value = value_of(data, keyword)
    parts = [value] if isinstance(value, str) else value if isinstance(value, Sequence) else []
    return tuple(str(part).upper() for part in parts)


def number(data: Dataset, keyword: str) -> float | None:
    """Return one finite number; None if it is missing or invalid."""
    found = numbers(data, keyword, 1)
    return None if found is None else float(found[0])


def numbers(data: Dataset, keyword: str, count: int) -> NDArray[np.float64] | None:
    """Return exactly `count` finite numbers as float64; None if they are missing or invalid."""
    value = value_of(data, keyword)
    if value is None or isinstance(value, bytes):
        return None
    parts = [value] if isinstance(value, int | float | str) else value
    try:
        found = [float(part) for part in parts]
    except (TypeError, ValueError, OverflowError):
        return None
    if len(found) != count or not all(math.isfinite(part) for part in found):
        return None
    return np.array(found)


def whole(data: Dataset, keyword: str) -> int | None:
    """Return one whole number; None if it is missing or invalid."""
    found = number(data, keyword)
    return int(found) if found is not None and found == int(found) else None


def items(data: Dataset, keyword: str) -> list[Dataset]:
    """Return the items of a sequence; an empty list if it is missing."""
    from pydicom import Dataset
    from pydicom import Sequence as Items

    value = value_of(data, keyword)
    return [item for item in value if isinstance(item, Dataset)] if isinstance(value, Items) else []


def item(data: Dataset | None, keyword: str) -> Dataset | None:
    """Return a sequence's first item; None if it is missing."""
    found = items(data, keyword) if data is not None else []
    return found[0] if found else None


def shown(value: float | None) -> str:
    """Return a number for an error message, or "missing"."""
    return "missing" if value is None else f"{value:g}"


def uid_name(value: str) -> str:
    """Return a UID's name in the standard, or the UID itself; an empty string if the value is invalid."""
    from pydicom.config import IGNORE
    from pydicom.uid import UID

    return UID(value, IGNORE).name if value and is_uid(value) else ""


def texts_of(names: Sequence[str], *, most: int = 3) -> str:
    """Return a few names and the number of the others."""
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more} more" if more > 0 else "")
