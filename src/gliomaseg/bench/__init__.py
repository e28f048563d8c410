"""The command `bench`: it compares the speed of gliomaseg with common alternatives, on phantoms.

A section is one function `measure_<section>(fixtures)`, which returns rows. In each row, gliomaseg and a baseline do
the same work in turns. The baselines are in `baselines`, except the image reader, which is in `loading`.
"""

from gliomaseg.bench.fixtures import Sizes, sizes_for
from gliomaseg.bench.report import BenchReport, Machine, Section, benchmark_text
from gliomaseg.bench.run import SECTIONS, chosen_sections, run_benchmark
from gliomaseg.bench.timing import BenchRow, Timing

__all__ = [
    "SECTIONS",
    "BenchReport",
    "BenchRow",
    "Machine",
    "Section",
    "Sizes",
    "Timing",
    "benchmark_text",
    "chosen_sections",
    "run_benchmark",
    "sizes_for",
]
