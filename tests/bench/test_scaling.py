import json

import pytest

from gliomaseg.bench import scaling
from gliomaseg.bench.fixtures import Fixtures
from gliomaseg.bench.scaling import WorkerTask, measure_scaling


@pytest.fixture
def linear_workers(monkeypatch):
    """Processes that take 1 s an item, 10 % more for over 10 items, and 1 MB more for each item."""

    def run_process(*command, folder):
        count = json.loads(command[-1])["count"]
        seconds_per_item = 1.1 if count > 10 else 1.0
        return json.dumps({"count": count, "seconds": count * seconds_per_item, "peak_mb": 100 + count}), 0.0

    monkeypatch.setattr(scaling, "run_process", run_process)


@pytest.mark.usefixtures("linear_workers")
def test_time_per_slice_and_memory_of_many_are_compared_with_few(fixtures):
    prediction, _ = measure_scaling(fixtures)
    assert prediction.figure == "prediction of 24 slices against 6"
    assert prediction.agreement == {"time_a_piece_grows_percent": 10.0, "memory_grows_mb": 18.0, "peak_mb": 124}
    assert prediction.ratio == pytest.approx(1 / 1.1)


@pytest.mark.usefixtures("linear_workers")
def test_many_evaluated_patients_are_compared_with_few(fixtures):
    _, evaluation = measure_scaling(fixtures)
    assert evaluation.figure == "evaluation of 3 patients against 1"
    assert evaluation.unit == "patients/s"


@pytest.mark.usefixtures("without_torch")
def test_without_torch_and_model_all_rows_are_left_out(tiny_sizes, tmp_path):
    empty = Fixtures(tmp_path, tiny_sizes, model=None, log=lambda _line: None)
    assert {row.status for row in measure_scaling(empty)} == {"left out"}


def run_task(task, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(scaling.sys, "argv", ["scaling", task.model_dump_json()])
    scaling.main()
    assert list(tmp_path.iterdir()) == []
    return json.loads(capsys.readouterr().out)


def test_worker_predicts_whole_volumes_until_the_count_is_reached(fixtures, tmp_path, monkeypatch, capsys):
    task = WorkerTask(command="predict", count=7, model=fixtures.small_model, source=fixtures.volume)
    result = run_task(task, tmp_path, monkeypatch, capsys)
    assert result.keys() == {"count", "seconds", "peak_mb"}
    assert result["count"] == 12  # two volumes of six slices


def test_worker_evaluates_more_patients_than_the_data_set_has(fixtures, tmp_path, monkeypatch, capsys):
    model, data = fixtures.small_model, fixtures.index.root  # one patient
    task = WorkerTask(command="evaluate", count=3, model=model, source=data, slices_per_patient=2)
    assert run_task(task, tmp_path, monkeypatch, capsys)["count"] == 3
