"""How fast we are beside what people use: the same work by both, in turns, on phantoms made for it.

A section is a file with one function, `measure(material)`, that returns its rows. The other side of each row is in
`peers`.
"""

from gliomaseg.bench.fixtures import Sizes, sizes_for
from gliomaseg.bench.run import SECTIONS, benchmark_text, chosen_sections, run_benchmark
from gliomaseg.bench.timing import BenchRow, Timing

__all__ = ["SECTIONS", "BenchRow", "Sizes", "Timing", "benchmark_text", "chosen_sections", "run_benchmark", "sizes_for"]
