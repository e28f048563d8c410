"""A check of an ONNX file before an engine loads it: the tensors are in the file, and no larger than the file.

Source: the numbers of the fields are those of onnx.proto (https://github.com/onnx/onnx), the encoding is that of
protocol buffers (https://protobuf.dev/programming-guides/encoding).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

from gliomaseg.errors import ModelError

# The messages that may contain tensors, by the kind of message and the number of its field.
_INSIDE = {
    ("model", 7): "graph",
    ("model", 25): "function",
    ("function", 7): "node",
    ("graph", 1): "node",
    ("graph", 5): "tensor",
    ("graph", 15): "sparse",
    ("node", 5): "attribute",
    ("attribute", 5): "tensor",
    ("attribute", 6): "graph",
    ("attribute", 10): "tensor",
    ("attribute", 11): "graph",
    ("attribute", 22): "sparse",
    ("attribute", 23): "sparse",
    ("sparse", 1): "tensor",
    ("sparse", 2): "tensor",
}
_DIMS, _EXTERNAL_DATA, _DATA_LOCATION = 1, 13, 14
_VARINT, _FIXED_64, _BYTES, _FIXED_32 = 0, 1, 2, 5
_MOST_VALUES_PER_BYTE = 4  # the smallest data type has 2 bits
_MOST_LEVELS = 32


def require_own_tensors(path: Path) -> None:
    """Refuse an ONNX file whose tensors are in other files, or declare more values than the file can have.

    Raises:
        ModelError: a tensor is external or too large, or the file is damaged.
        OSError: the file cannot be read.
    """
    content = memoryview(path.read_bytes())
    most_values = len(content) * _MOST_VALUES_PER_BYTE
    try:
        for tensor in _tensors(content, "model"):
            dims: list[int] = []
            for number, value in _fields(tensor):
                if number == _EXTERNAL_DATA or (number == _DATA_LOCATION and value):
                    what, cure = "reads weights from another file, expected all in this file", "export it in one file"
                    raise ModelError(what, where=path, cure=cure)
                if number == _DIMS:
                    dims += [value] if isinstance(value, int) else _varints(value)
            if math.prod(dims) > most_values:
                what = f"declares a tensor of {math.prod(dims):,} values in a file of {len(content):,} bytes"
                raise ModelError(what, where=path, cure="copy it again, or check its source")
    except (IndexError, ValueError, RecursionError) as fault:
        raise ModelError("is not a readable ONNX file", where=path, cure="copy it again") from fault


def _tensors(message: memoryview, kind: str, level: int = 0) -> Iterator[memoryview]:
    """Yield the encoded tensors of a message, at any depth."""
    if kind == "tensor":
        yield message
        return
    if level > _MOST_LEVELS:
        raise ValueError("nested too deeply")
    for number, value in _fields(message):
        inside = _INSIDE.get((kind, number))
        if inside and not isinstance(value, int):
            yield from _tensors(value, inside, level + 1)


def _fields(message: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Yield the number and the value of each field; numbers of fixed length as 0, which no caller needs.

    Raises:
        IndexError: the message is cut short.
        ValueError: it has an unknown type of value.
    """
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        if key & 7 == _VARINT:
            value, at = _varint(message, at)
            yield key >> 3, value
            continue
        if key & 7 == _BYTES:
            length, at = _varint(message, at)
        elif key & 7 in (_FIXED_64, _FIXED_32):
            length = 8 if key & 7 == _FIXED_64 else 4
        else:
            raise ValueError(f"type {key & 7} of a value")
        if at + length > len(message):
            raise IndexError("cut short")
        yield key >> 3, message[at : at + length] if key & 7 == _BYTES else 0
        at += length


def _varints(packed: memoryview) -> list[int]:
    values, at = [], 0
    while at < len(packed):
        value, at = _varint(packed, at)
        values.append(value)
    return values


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    """Return a number of variable length and the position behind it."""
    value = shift = 0
    while True:
        byte = message[at]
        at += 1
        value |= (byte & 127) << shift
        shift += 7
        if byte < 128:  # the highest bit: another byte follows
            return value, at
        if shift > 63:
            raise ValueError("a number of over 64 bits")
