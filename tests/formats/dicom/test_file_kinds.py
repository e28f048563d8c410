"""Kinds of files by their first bytes, and names that a slice may have."""

from __future__ import annotations

import struct

import pytest

from gliomaseg.formats.dicom.file_kinds import SliceNames, dicom_start, other_kind, transfer_syntax


def explicit(order: str, *elements: tuple[int, int, bytes, bytes]) -> bytes:
    parts = [
        struct.pack(f"{order}HH2sH", group, number, vr, len(value)) + value for group, number, vr, value in elements
    ]
    return b"".join(parts)


ELEMENTS = [(8, 5, b"CS", b"ISO_IR 100"), (8, 8, b"CS", b"ORIGINAL"), (8, 0x16, b"UI", b"1.2.3\0")]
IMPLICIT = b"".join(struct.pack("<HHL", group, number, len(value)) + value for group, number, _, value in ELEMENTS)


@pytest.mark.parametrize(
    ("head", "syntax"),
    [
        (explicit("<", *ELEMENTS), "1.2.840.10008.1.2.1"),
        (explicit(">", *ELEMENTS), "1.2.840.10008.1.2.2"),
        (IMPLICIT, "1.2.840.10008.1.2"),
        (explicit("<", *ELEMENTS[:2]), ""),  # two elements may be chance
        (explicit("<", *reversed(ELEMENTS)), ""),
        (explicit("<", (8, 5, b"XX", b""), *ELEMENTS[1:]), ""),
        (explicit("<", (0x18, 5, b"CS", b""), *ELEMENTS), ""),
        (b"", ""),
        (bytes(1024), ""),
    ],
)
def test_three_elements_in_order_make_a_data_set(head: bytes, syntax: str) -> None:
    assert transfer_syntax(head) == syntax
    assert dicom_start(head) == (0 if syntax else None)


def test_mark_is_searched_behind_the_preamble_and_at_the_start() -> None:
    assert dicom_start(b"II*\0" + bytes(124) + b"DICM") == 132
    assert dicom_start(b"DICM" + explicit("<", *ELEMENTS)) == 4
    assert dicom_start(bytes(127) + b"DICM") is None


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        (b"", ""),
        (bytes(400), ""),
        (b"\x07\x99\x00", ""),
        (b"plain\ttext\r\n", "a text file"),
        ("über".encode("latin-1") + b" den Befund", "a text file"),
        ("Befund".encode("utf-16"), "a text file"),
        (b"\xef\xbb\xbf<?xml version='1.0'?>", "an XML file"),
        (b"\n<HTML>", "an HTML page"),
        (bytes(344) + b"n+1\0", "a NIfTI file"),
        (b"\0\0\0\x18ftypmp42", "a media file"),
        (b"\xf0" * 90, ""),
    ],
)
def test_other_kinds_are_recognised(head: bytes, kind: str) -> None:
    assert other_kind(head) == kind


NUMBERED = ["study/IM001", "study/IM002"]


@pytest.mark.parametrize(
    ("others", "name", "known_kind", "expected"),
    [
        (NUMBERED, "IM003", True, True),
        (NUMBERED, "other/im3", True, True),
        (NUMBERED, "x.dcm", True, True),
        (NUMBERED, "IM003.txt", False, False),
        (NUMBERED, "1.2.840.3", False, True),
        (NUMBERED, "LOCK", False, False),
        (NUMBERED, ".nfs0001", False, False),
        (["first", "second"], "third", False, True),
        (["first", "second"], "third", True, False),
        (["a.img", "b.img"], "c.img", False, True),
        (["a.img", "b.img"], "c.img", True, False),
        (["1.2.3", "1.2.4"], "1.2.5", True, True),
    ],
)
def test_damaged_slice_is_recognised_by_its_name(
    others: list[str], name: str, known_kind: bool, expected: bool
) -> None:
    assert SliceNames(others).may_include(name, known_kind=known_kind) is expected
