import json

from gliomaseg.bench import worker


def done(order, material, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    given = {"model": str(material.small), "volume": str(material.volume), "data": str(material.index.root), **order}
    monkeypatch.setattr(worker.sys, "argv", ["errand", json.dumps(given)])
    worker.main()
    assert list(tmp_path.iterdir()) == []
    return json.loads(capsys.readouterr().out)


def test_volumes_are_predicted_until_there_are_enough_slices(material, tmp_path, monkeypatch, capsys):
    told = done({"do": "predict", "count": 7}, material, tmp_path, monkeypatch, capsys)
    assert told.keys() == {"count", "seconds", "peak_mb"}
    assert told["count"] == 12  # two volumes of six


def test_as_many_patients_are_evaluated_as_asked(material, tmp_path, monkeypatch, capsys):
    order = {"do": "evaluate", "count": 3, "slices": 2}  # of one patient's files
    assert done(order, material, tmp_path, monkeypatch, capsys)["count"] == 3
