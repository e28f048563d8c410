from gliomaseg.bench.text import benchmark_text
from gliomaseg.bench.timing import BenchRow, Timing


def text_of(*rows):
    machine = {"processor": "CPU", "processors": 2, "threads": 2, "load_before": 0.1, "flags": ["avx2"]}
    section = {"seconds": 3.0, "rows": [row.document() for row in rows]}
    return benchmark_text({"machine": machine, "sections": {"loading": section}, "plan": "quick", "seconds": 4.0})


def test_a_row_shows_both_sides_the_ratio_and_the_agreement():
    row = BenchRow("slices", "slices/s", Timing("cache", (3000.0,)), Timing("files", (1000.0,)), {"flipped_pixels": 0})
    text = text_of(row)
    for part in ("CPU, 2 processors", "slices\n", "3,000 slices/s", "files", "times         3", "flipped_pixels 0"):
        assert part in text


def test_a_row_that_was_left_out_shows_its_reason():
    assert "left out: lightning is not installed" in text_of(
        BenchRow("x", status="left out", reason="lightning is not installed")
    )
