import getpass
import json
import platform
from dataclasses import asdict

from gliomaseg.bench import report
from gliomaseg.bench.report import BenchReport, Machine, Section, benchmark_text, describe_machine
from gliomaseg.bench.timing import BenchRow, Timing, rates

MACHINE = Machine("CPU", "x86_64", 2, 2, None, ("avx2",), None, 0.1, None, "Linux", {})


def report_of(*rows):
    return BenchReport("quick", MACHINE, {"loading": Section(3.0, rows)}, 4.0)


def row_document(row):
    document = report_of(row).document()
    json.dumps(document)
    return document["sections"]["loading"]["rows"][0]


def test_machine_has_no_host_user_or_path():
    text = json.dumps(asdict(describe_machine()))
    assert "/" not in text.replace("r/s", "")
    assert platform.node() not in text
    assert getpass.getuser() not in json.loads(text).values()


def test_machine_has_flags_versions_and_threads():
    machine = describe_machine()
    assert set(machine.flags) <= set(report.FLAGS)
    assert machine.versions.keys() >= {"gliomaseg", "python", "numpy", "onnxruntime"}
    assert 1 <= machine.threads <= machine.processors


def test_missing_kernel_file_has_no_values(tmp_path):
    assert report._kernel_values(tmp_path / "none") == {}


def test_first_value_of_a_name_in_a_kernel_file_counts(tmp_path):
    (tmp_path / "info").write_text("model name\t: A\nflags : avx2\n\nmodel name\t: B\n")
    assert report._kernel_values(tmp_path / "info") == {"model name": "A", "flags": "avx2"}


def test_document_keys_and_order_are_stable():
    document = report_of(BenchRow("x", "s", Timing("a", (1.0,)), Timing("b", (2.0,)))).document()
    assert list(document) == ["format", "plan", "machine", "sections", "seconds"]
    assert list(document["machine"]) == [
        "processor", "architecture", "processors", "threads", "omp_num_threads", "flags", "memory_gb", "load_before",
        "gpu", "system", "versions",
    ]  # fmt: skip
    assert list(document["sections"]["loading"]) == ["seconds", "rows"]
    (row,) = document["sections"]["loading"]["rows"]
    assert list(row) == [
        "figure", "unit", "ours", "peer", "ratio", "ratio_spread", "agreement", "status", "reason",
    ]  # fmt: skip
    assert list(row["peer"]) == ["what", "median", "low", "high", "values"]


def test_row_document_has_values_and_median():
    # 8 slices in 2, 1 and 4 s
    row = BenchRow("x", "slices/s", Timing("a", rates((2.0, 1.0, 4.0), 8)), agreement={"flipped_pixels": 0})
    document = row_document(row)
    assert document["ours"] == {"what": "a", "median": 4.0, "low": 2.0, "high": 8.0, "values": [4.0, 8.0, 2.0]}
    assert (document["peer"], document["ratio"], document["ratio_spread"]) == (None, None, None)
    assert document["agreement"] == {"flipped_pixels": 0}


def test_row_document_without_timings_has_the_reason():
    document = row_document(BenchRow("x", status="left out", reason="not installed"))
    assert (document["status"], document["reason"], document["ours"]) == ("left out", "not installed", None)


def test_text_of_a_row_has_both_sides_ratio_and_agreement():
    row = BenchRow("slices", "slices/s", Timing("cache", (3000.0,)), Timing("files", (1000.0,)), {"flipped_pixels": 0})
    text = benchmark_text(report_of(row))
    for part in ("CPU, 2 processors", "slices\n", "3,000 slices/s", "files", "times         3", "flipped_pixels 0"):
        assert part in text


def test_text_of_a_row_that_is_left_out_has_the_reason():
    row = BenchRow("x", status="left out", reason="lightning is not installed")
    assert "left out: lightning is not installed" in benchmark_text(report_of(row))
