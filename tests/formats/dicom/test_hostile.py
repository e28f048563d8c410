"""Headers of random values and damaged files: only errors of our own leave the reader, and soon."""

from __future__ import annotations

import io
import random
import shutil
import struct
import time
import tracemalloc
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    MRImageStorage,
    RLELossless,
)

from gliomaseg.errors import FormatError, InputError, ResourceError
from gliomaseg.formats.dicom import list_series, read_dicom

MUTATIONS = 300
SLOWEST_S = 2.0
LONG = ("OB", "OW", "SQ", "UN", "UT", "OF")
META = {0x00020010: ("UI", b"1.2.840.10008.1.2.1\0"), 0x00020002: ("UI", MRImageStorage.encode() + b"\0")}
SOUND = {
    0x00080016: ("UI", MRImageStorage.encode() + b"\0"),
    0x00080018: ("UI", b"1.2.3.4\0"),
    0x00080060: ("CS", b"MR"),
    0x0020000E: ("UI", b"1.2.3\0"),
    0x00200032: ("DS", b"0\\0\\0 "),
    0x00200037: ("DS", b"1\\0\\0\\0\\1\\0 "),
    0x00280002: ("US", b"\1\0"),
    0x00280004: ("CS", b"MONOCHROME2 "),
    0x00280010: ("US", b"\2\0"),
    0x00280011: ("US", b"\2\0"),
    0x00280030: ("DS", b"1\\1 "),
    0x00180050: ("DS", b"5 "),
    0x00280100: ("US", b"\20\0"),
    0x00280101: ("US", b"\20\0"),
    0x00280102: ("US", b"\17\0"),
    0x00280103: ("US", b"\0\0"),
    0x7FE00010: ("OW", b"\1\0\2\0\3\0\4\0"),
}
# What else the reader looks at.
OTHERS = [
    0x00080005,
    0x00080008,
    0x0008103E,
    0x00181030,
    0x00180020,
    0x00180021,
    0x00180081,
    0x00180082,
    0x00180088,
    0x0020000D,
    0x00200011,
    0x00200052,
    0x00280008,
    0x00281052,
    0x00281053,
    0x00283000,
    0x52009229,
    0x52009230,
]
VALUES = st.one_of(
    st.binary(max_size=24),
    st.sampled_from([b"", b"1e400", b"nan\\nan\\nan ", b"-1", b"inf\\1", b"0\\0\\0", b"9" * 40, b"\\\\"]),
    st.floats(allow_nan=True).map(lambda value: f"{value!r}"[:16].encode()),
    st.lists(st.integers(-9, 9), min_size=1, max_size=6).map(lambda v: "\\".join(map(str, v)).encode()),
    st.sampled_from([b"\xfe\xff\0\xe0\xff\xff\xff\xff", b"\xfe\xff\0\xe0\0\0\0\0", b"\xfe\xff\xdd\xe0\0\0\0\0"]),
    st.integers(0, 65_535).map(lambda value: struct.pack("<H", value)),
    st.text(max_size=8).map(lambda value: value.encode("utf-8")),
)
VRS = st.sampled_from(
    "AE AS AT CS DA DS DT FD FL IS LO LT OB OF OW PN SH SL SQ SS ST TM UI UL UN US UT XX".split()  # noqa: SIM905
)


def element(tag: int, vr: str, value: bytes, length: int | None = None) -> bytes:
    size = len(value) if length is None else length
    head = struct.pack("<HH2s", tag >> 16, tag & 0xFFFF, vr.encode())
    return head + (struct.pack("<HL", 0, size) if vr in LONG else struct.pack("<H", size & 0xFFFF)) + value


def dicom(body: dict[int, tuple[str, bytes]], meta: dict[int, tuple[str, bytes]] | None = None) -> bytes:
    parts = [element(tag, *body[tag]) for tag in sorted(body)]
    start = [element(tag, *value) for tag, value in sorted((META if meta is None else meta).items())]
    return bytes(128) + b"DICM" + b"".join([*start, *parts])


def outcome(make: Any, path: Path) -> str:
    """Read a path, and return how it ended; anything but a volume or an error of ours fails the test."""
    started = time.process_time()
    volume, fault = None, None
    try:
        volume = make.read(path)
    except (InputError, ResourceError) as caught:
        fault = caught
    assert time.process_time() - started < SLOWEST_S
    if fault is None:
        assert volume.voxels.ndim == 3
        assert np.isfinite(volume.voxels).all()
        assert np.isfinite(volume.affine).all()
        return "read"
    assert fault.line()
    assert "\n" not in fault.line()
    return type(fault).__name__


def test_sound_header_of_these_tests_is_read(make: Any, tmp_path: Path) -> None:
    (tmp_path / "a.dcm").write_bytes(dicom(SOUND))
    assert make.read(tmp_path).voxels.tolist() == [[[1, 2], [3, 4]]]


@settings(
    max_examples=500,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    changed=st.dictionaries(st.sampled_from([*SOUND, *OTHERS]), st.tuples(st.none() | VRS, VALUES), max_size=3),
    missing=st.sets(st.sampled_from([*SOUND, *OTHERS]), max_size=1),
    kind=st.sampled_from(["1.2.840.10008.5.1.4.1.1.4", "1.2.840.10008.5.1.4.1.1.4.1"]),
    syntax=st.sampled_from(["1", "1", "1", "", "1.99", "2", "4.90", "4.80", "5", "4.50"]),
)
def test_header_of_random_values_is_read_or_refused(
    make: Any, tmp_path: Path, changed: dict[int, tuple[str | None, bytes]], missing: set[int], kind: str, syntax: str
) -> None:
    folder = tmp_path / "case"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    class_uid = kind.encode() + b"\0" * (len(kind) % 2)
    suffix = f"1.2.840.10008.1.2.{syntax}" if syntax else "1.2.840.10008.1.2"
    meta = META | {0x00020010: ("UI", suffix.encode()), 0x00020002: ("UI", class_uid)}
    for k in range(3):
        place = {0x00200032: ("DS", f"0\\0\\{5 * k}".encode()), 0x00080016: ("UI", class_uid)}
        body = SOUND | place
        if k == 0:  # a value of another kind in its own type, or in a type that is not its own
            body |= {tag: (vr or SOUND.get(tag, ("DS",))[0], value) for tag, (vr, value) in changed.items()}
        body = {tag: value for tag, value in body.items() if tag not in missing}
        (folder / f"{k}.dcm").write_bytes(dicom(body, meta))
    outcome(make, folder)


def mutated(content: bytes, rnd: random.Random) -> bytes:
    """Return bytes with a few changed, cut out, put in, or cut off."""
    raw = bytearray(content)
    place = rnd.randrange(132, len(raw))
    match rnd.randrange(6):
        case 0:
            for _ in range(rnd.randint(1, 8)):
                raw[rnd.randrange(len(raw))] = rnd.randrange(256)
        case 1:  # in the header
            for _ in range(rnd.randint(1, 8)):
                raw[rnd.randrange(132, min(len(raw), 1_600))] = rnd.choice([0, 255, rnd.randrange(256)])
        case 2:
            del raw[rnd.randrange(len(raw)) :]
        case 3:
            del raw[place : place + rnd.randint(1, 64)]
        case 4:
            raw[place:place] = rnd.randbytes(rnd.randint(1, 64))
        case _:  # lengths that say undefined
            raw[place : place + 4] = b"\xff" * 4
    return bytes(raw)


@pytest.fixture(scope="module")
def forms(make: Any, tmp_path_factory: pytest.TempPathFactory) -> list[list[bytes]]:
    """Return the files of one series in every form: explicit, implicit, ..., enhanced, zipped."""
    root = tmp_path_factory.mktemp("forms")
    plain = make.series(root / "plain")
    forms = [[file.read_bytes() for file in sorted(plain.iterdir())]]
    syntaxes = (ImplicitVRLittleEndian, DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian)
    for syntax in (*syntaxes, RLELossless, JPEG2000Lossless, JPEGLSLossless):
        folder = make.encode(Path(shutil.copytree(plain, root / syntax.keyword)), syntax)
        forms.append([file.read_bytes() for file in sorted(folder.iterdir())])
    file = make.enhanced(plain, root / "enhanced.dcm", [2, 0, 1, 4, 3])
    forms.append([file.read_bytes()])
    for syntax in (RLELossless, JPEG2000Lossless):
        make.store(pydicom.dcmread(file), root / "compressed.dcm", syntax)
        forms.append([(root / "compressed.dcm").read_bytes()])
    return [*forms, [make.zip(plain, root / "plain.zip").read_bytes()]]


def test_damaged_files_are_read_or_refused(make: Any, forms: list[list[bytes]], tmp_path: Path) -> None:
    rnd = random.Random(0)
    outcomes: dict[str, int] = {}
    for k in range(MUTATIONS):
        form = forms[k % len(forms)]
        damaged = rnd.randrange(len(form))
        folder = tmp_path / str(k)
        folder.mkdir()
        for number, content in enumerate(form):
            new = mutated(content, rnd) if number == damaged else content
            name = f"{number}.zip" if content.startswith(b"PK") else f"{number}.dcm"
            (folder / name).write_bytes(new)
        path = folder / "0.zip" if form[0].startswith(b"PK") else folder
        kind = outcome(make, path)
        outcomes[kind] = outcomes.get(kind, 0) + 1
        shutil.rmtree(folder)
    assert outcomes["FormatError"] > MUTATIONS / 2, outcomes


def nested(depth: int, *, undefined: bool) -> bytes:
    inner = b""
    for _ in range(depth):
        if undefined:
            ends = struct.pack("<HHLHHL", 0xFFFE, 0xE00D, 0, 0xFFFE, 0xE0DD, 0)
            item = struct.pack("<HHL", 0xFFFE, 0xE000, 0xFFFFFFFF) + inner
            inner = element(0x00081140, "SQ", item + ends, 0xFFFFFFFF)
        else:
            inner = element(0x00081140, "SQ", struct.pack("<HHL", 0xFFFE, 0xE000, len(inner)) + inner)
    return inner


@pytest.mark.parametrize("undefined", [True, False])
def test_deeply_nested_sequences_are_read_or_refused(make: Any, tmp_path: Path, undefined: bool) -> None:
    deep = nested(3_000, undefined=undefined)
    content = dicom({tag: value for tag, value in SOUND.items() if tag < 0x00081140})
    rest = b"".join(element(tag, *SOUND[tag]) for tag in sorted(SOUND) if tag > 0x00081140)
    (tmp_path / "a.dcm").write_bytes(content + deep + rest)
    kind = outcome(make, tmp_path)
    assert kind == ("FormatError" if undefined else "read")
    if undefined:
        assert "nests its sequences too deeply" in make.refusal(tmp_path, FormatError)


def test_header_of_a_million_elements_is_refused(make: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gliomaseg.formats.dicom.limited_file.MAX_READS", 10_000)
    items = struct.pack("<HHL", 0xFFFE, 0xE000, 0) * 20_000
    content = dicom(META | {0x00081140: ("SQ", b"")})[:-4] + b"\xff\xff\xff\xff" + items
    (tmp_path / "a.dcm").write_bytes(content)
    assert "more than 10,000 elements" in make.refusal(tmp_path, ResourceError)


def test_declared_length_takes_no_memory(make: Any, tmp_path: Path) -> None:
    content = dicom(SOUND)
    at = content.index(b"OW\0\0") + 4
    (tmp_path / "a.dcm").write_bytes(content[:at] + struct.pack("<L", 0xFFFFFFFE) + content[at + 4 :])
    tracemalloc.start()
    make.read(tmp_path)  # the pixels are there, whatever the length says
    assert tracemalloc.get_traced_memory()[1] < 5_000_000
    tracemalloc.stop()


def test_element_larger_than_a_header_may_be_is_refused(
    make: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gliomaseg.formats.dicom.headers.HEADER_BYTES", 1 << 20)
    for body in ({0x0008103E: ("UT", bytes(2 << 20))}, {tag: ("UT", bytes(400_000)) for tag in OTHERS[:4]}):
        (tmp_path / "a.dcm").write_bytes(dicom(SOUND | body))
        assert "more memory than the limit" in make.refusal(tmp_path, ResourceError)


def bomb(size: int) -> bytes:
    body = b"".join(element(tag, *SOUND[tag]) for tag in sorted(SOUND)[:-1])
    inflated = io.BytesIO()
    deflater = zlib.compressobj(1, zlib.DEFLATED, -zlib.MAX_WBITS)
    inflated.write(deflater.compress(body + element(0x7FE00010, "OW", b"", size)))
    for _ in range(size >> 20):
        inflated.write(deflater.compress(bytes(1 << 20)))
    inflated.write(deflater.flush())
    meta = META | {0x00020010: ("UI", b"1.2.840.10008.1.2.1.99")}
    return dicom({}, meta) + inflated.getvalue()


def test_deflated_bomb_is_refused_and_takes_no_memory(tmp_path: Path) -> None:
    content = bomb(80 << 20)
    assert len(content) < 1_000_000
    (tmp_path / "a.dcm").write_bytes(content)
    tracemalloc.start()
    with pytest.raises(ResourceError, match="more memory than the limit"):
        read_dicom(tmp_path, series=None, max_bytes=1 << 30)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 160_000_000


def test_listing_looks_at_the_header_of_a_deflated_bomb_only(tmp_path: Path) -> None:
    (tmp_path / "a.dcm").write_bytes(bomb(80 << 20))
    tracemalloc.start()
    assert list_series(tmp_path)[0].rows == 2
    assert tracemalloc.get_traced_memory()[1] < 160_000_000
    tracemalloc.stop()
