"""Output and exit codes of the command; `tests/bench` tests the measurements."""

import json

import pytest

from gliomaseg import bench as bench_package
from gliomaseg.bench import BenchReport, BenchRow, Machine, Section
from gliomaseg.cli import main

MACHINE = Machine("CPU", "x86_64", 2, 2, None, (), None, 0.1, None, "Linux", {})


@pytest.fixture
def bench(monkeypatch, capsys):
    """Return `bench(statuses, *options)`: it runs the command on rows of these statuses."""

    def run(statuses, *options):
        rows = tuple(BenchRow("x", status=status) for status in statuses)

        def run_benchmark(sizes, *, sections, model, log):
            log("measuring")
            return BenchReport(sizes.name, MACHINE, {name: Section(1.0, rows) for name in sections}, 1.0)

        monkeypatch.setattr(bench_package, "run_benchmark", run_benchmark)
        monkeypatch.setattr("sys.argv", ["gliomaseg", "bench", *options])
        with pytest.raises(SystemExit) as stopped:
            main()
        return stopped.value.code, capsys.readouterr()

    return run


def test_json_on_stdout_is_one_document_and_progress_goes_to_stderr(bench):
    code, output = bench(["measured"], "--json", "--quick", "--only", "startup")
    assert code == 0
    assert list(json.loads(output.out)["sections"]) == ["startup"]
    assert output.err == "measuring\n"


@pytest.mark.parametrize(
    ("statuses", "code"),
    [(["measured", "left out"], 0), (["left out"], 0), (["measured", "failed"], 4), (["failed", "failed"], 1)],
)
def test_exit_code_depends_on_failed_rows(statuses, code, bench):
    assert bench(statuses, "--only", "startup")[0] == code


@pytest.mark.parametrize("options", [("--only", "nothing"), ("--quick", "--full")])
def test_unknown_section_or_both_sizes_are_usage_errors(options, bench):
    code, output = bench(["measured"], *options)
    assert code == 2
    assert output.out == ""
