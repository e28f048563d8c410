"""How fast we are beside what people use: the same work by both, in turns, on phantoms made for it.

A section is a file with one function, `measure(material)`, that returns its rows. The other side of each row is in
`peers`.
"""

from gliomaseg.benchmark.plan import Plan, plan_for
from gliomaseg.benchmark.table import benchmark_text
from gliomaseg.benchmark.timing import Row, Side
from gliomaseg.benchmark.verb import SECTIONS, chosen_sections, run_benchmark

__all__ = ["SECTIONS", "Plan", "Row", "Side", "benchmark_text", "chosen_sections", "plan_for", "run_benchmark"]
