import json

import pytest

from gliomaseg.bench import scaling


@pytest.fixture
def grows(monkeypatch):
    """Processes that take a second a piece, a tenth more where there are many, and a megabyte for each piece."""

    def errand(*command, folder):
        count = json.loads(command[-1])["count"]
        slower = 1.1 if count > 10 else 1.0
        return json.dumps({"count": count, "seconds": count * slower, "peak_mb": 100 + count}), 0.0

    monkeypatch.setattr(scaling, "run", errand)


@pytest.mark.usefixtures("grows")
def test_time_a_piece_and_memory_are_compared(material):
    prediction, _ = scaling.measure(material)
    assert prediction.figure == "prediction of 24 slices against 6"
    assert prediction.agreement == {"time_a_piece_grows_percent": 10.0, "memory_grows_mb": 18.0, "peak_mb": 124}
    assert prediction.ratio == pytest.approx(1 / 1.1)


@pytest.mark.usefixtures("grows")
def test_patients_are_evaluated_too(material):
    _, evaluation = scaling.measure(material)
    assert evaluation.figure == "evaluation of 3 patients against 1"
    assert evaluation.unit == "patients/s"


@pytest.mark.usefixtures("without_torch")
def test_without_a_model_the_rows_say_so(tiny, tmp_path):
    bare = scaling.Fixtures(tmp_path, tiny, model=None, log=lambda _line: None)
    assert {row.status for row in scaling.measure(bare)} == {"left out"}
