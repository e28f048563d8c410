"""The command's output and exit codes; what it measures is tested in tests/bench."""

import json

import pytest

from gliomaseg import bench as bench_package
from gliomaseg.cli import main


@pytest.fixture
def bench(monkeypatch, capsys):
    """Return `bench(statuses, *options)`: it runs the command on rows of these statuses."""

    def run(statuses, *options):
        rows = [bench_package.BenchRow("x", status=status).document() for status in statuses]

        def measured(plan, *, sections, model, log):
            log("measuring")
            machine = {"processor": "CPU", "processors": 2, "threads": 2, "load_before": 0.1, "flags": []}
            return {"plan": plan.name, "machine": machine, "seconds": 1.0, "sections": {
                name: {"seconds": 1.0, "rows": rows} for name in sections
            }}  # fmt: skip

        monkeypatch.setattr(bench_package, "run_benchmark", measured)
        monkeypatch.setattr("sys.argv", ["gliomaseg", "bench", *options])
        with pytest.raises(SystemExit) as left:
            main()
        return left.value.code, capsys.readouterr()

    return run


def test_json_is_one_document_and_nothing_else(bench):
    code, told = bench(["measured"], "--json", "--quick", "--only", "startup")
    assert code == 0
    assert list(json.loads(told.out)["sections"]) == ["startup"]
    assert told.err == "measuring\n"


@pytest.mark.parametrize(
    ("statuses", "code"),
    [(["measured", "left out"], 0), (["left out"], 0), (["measured", "failed"], 4), (["failed", "failed"], 1)],
)
def test_the_exit_code_says_what_failed(statuses, code, bench):
    assert bench(statuses, "--only", "startup")[0] == code


@pytest.mark.parametrize("options", [("--only", "nothing"), ("--quick", "--full")])
def test_what_makes_no_sense_is_usage(options, bench):
    code, told = bench(["measured"], *options)
    assert code == 2
    assert told.out == ""
