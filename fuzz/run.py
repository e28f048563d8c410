"""Damage files at random and read them: only an error of gliomaseg may leave a reader, within 2 s and 512 MiB.

    python fuzz/run.py 100000 [SEED]

Prints the outcomes. A number and the seed give one damaged file; the exit code is 1 if a file is at fault.
"""

from __future__ import annotations

import sys
import warnings

import dicom
import documents
import images
import numpy as np
import volumes
from mutate import Fuzzer, report

FAMILIES = (volumes, images, dicom, documents)


def main(count: int, seed: int) -> int:
    """Read `count` damaged files, as many of each family, and return the exit code."""
    warnings.simplefilter("error")  # a warning of a library would be a second line
    generator = np.random.default_rng(0)
    families = [family.originals(generator) for family in FAMILIES]
    most = max(map(len, families))
    originals = [files[number % len(files)] for number in range(most) for files in families]
    fuzzer = Fuzzer(originals, seed)
    fuzzer.run(range(count))
    return report(fuzzer, count, seed)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 0))
