"""Damage of files at random, and the reading of damaged files."""

from __future__ import annotations

import resource
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gliomaseg.errors import GliomasegError

LIMIT_S = 2.0
LIMIT_BYTES = 512 << 20
MAX_BYTES = LIMIT_BYTES  # of the readers
_HEADER_BYTES = 560
_STATM = Path("/proc/self/statm")


def read_anything(_damaged: bytes, _original: bytes) -> bool:
    """Accept every content: a damaged file without a checksum may be a valid file."""
    return True


@dataclass(frozen=True)
class Original:
    """A valid file.

    Attributes:
        name: of the file; a damaged copy gets it.
        content: the bytes.
        read: reads the file.
        is_right: whether a damaged content that was read is right, given the damaged and the original content.
    """

    name: str
    content: bytes
    read: Callable[[Path], Any]
    is_right: Callable[[bytes, bytes], bool] = read_anything


def mutate(content: bytes, generator: np.random.Generator) -> bytes:
    """Return a file with bytes changed, cut out, doubled, put in, swapped or cut off; half of it in the header."""
    changed = bytearray(content)
    for _ in range(int(generator.integers(1, 5))):
        reach = min(len(changed), _HEADER_BYTES) if generator.random() < 0.5 else len(changed)
        place = int(generator.integers(max(1, reach)))
        length = int(generator.integers(1, 40))
        kind = int(generator.integers(7))
        if kind == 0:
            changed[place : place + 1] = bytes([int(generator.integers(256))])
        elif kind == 1:
            changed[place : place + 1] = bytes([changed[place] ^ (1 << int(generator.integers(8)))] if changed else b"")
        elif kind == 2:
            del changed[place : place + length]
        elif kind == 3:
            changed[place:place] = changed[place : place + length]
        elif kind == 4:
            changed[place : place + length] = generator.bytes(length)
        elif kind == 5:
            changed[place : place + 8] = [b"\0" * 8, b"\xff" * 8, b"\x7f\xff\xff\x7f" * 2][int(generator.integers(3))]
        else:
            del changed[place:]
        if not changed:
            break
    return bytes(changed)


class Fuzzer:
    """Reads damaged copies of files, and counts the outcomes.

    Attributes:
        outcomes: the number of files by outcome.
        faults: a line for each file with another outcome than an error of gliomaseg or a right content.
        slowest_s: the longest time of the processor for a file.
    """

    def __init__(self, originals: Sequence[Original], seed: int) -> None:
        """Limit the memory of this process to 512 MiB more than it has now."""
        self._originals = originals
        self._seed = seed
        self.outcomes: Counter[str] = Counter()
        self.faults: list[str] = []
        self.slowest_s = 0.0
        if _STATM.is_file():
            used_bytes = int(_STATM.read_text().split()[0]) * resource.getpagesize()
            resource.setrlimit(resource.RLIMIT_AS, (used_bytes + LIMIT_BYTES, resource.RLIM_INFINITY))

    def run(self, numbers: Sequence[int]) -> None:
        """Damage and read files: each number, with the seed, gives one damaged file."""
        with tempfile.TemporaryDirectory() as folder:
            for number in numbers:
                original = self._originals[number % len(self._originals)]
                damaged = mutate(original.content, np.random.default_rng([self._seed, number]))
                file = Path(folder, original.name)
                file.write_bytes(damaged)
                start = time.process_time()
                outcome, fault = _outcome(original, file, damaged)
                seconds = time.process_time() - start
                if seconds > LIMIT_S:
                    fault = f"took {seconds:.1f} s"
                self.slowest_s = max(self.slowest_s, seconds)
                self.outcomes[outcome] += 1
                if fault:
                    self.faults.append(f"file {number} of seed {self._seed} ({original.name}): {fault}")


def _outcome(original: Original, file: Path, damaged: bytes) -> tuple[str, str]:
    """Return the outcome and the fault, or an empty text."""
    try:
        original.read(file)
    except GliomasegError as fault:
        has_lines = "\n" in str(fault)
        return type(fault).__name__, "has an error of several lines" if has_lines else _memory_fault(fault)
    except BaseException as fault:
        return f"other {type(fault).__name__}", f"{type(fault).__name__}: {fault}"
    right = original.is_right(damaged, original.content)
    return "read", "" if right else "was read, and its content is not the original"


def _memory_fault(fault: BaseException | None) -> str:
    """Return a text if the memory was exhausted: the readers must refuse a file before that."""
    while fault is not None:
        if isinstance(fault, MemoryError):
            return f"needs over {LIMIT_BYTES >> 20} MiB"
        fault = fault.__cause__ or fault.__context__
    return ""


def report(fuzzer: Fuzzer, count: int, seed: int) -> int:
    """Print the outcomes and the faults, and return the exit code: 1 if there are faults."""
    outcomes = ", ".join(f"{number:,} {name}" for name, number in sorted(fuzzer.outcomes.items()))
    sys.stdout.write(f"{count:,} files, seed {seed}: {outcomes}\n")
    sys.stdout.write(f"slowest {fuzzer.slowest_s:.2f} s, {len(fuzzer.faults)} faults\n")
    for line in fuzzer.faults:
        sys.stdout.write(f"{line}\n")
    return int(bool(fuzzer.faults))
