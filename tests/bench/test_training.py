import pytest

from gliomaseg.bench import training


def test_our_loop_and_the_notebooks_learn_alike(material):
    row, _ = training.measure(material)
    assert row.status == "measured"
    assert row.unit == "images/s"
    assert row.agreement["images_a_turn"] == 4
    assert row.agreement["loss_ours"] == pytest.approx(row.agreement["loss_peer"], rel=0.2)


@pytest.mark.usefixtures("without_torch")
def test_without_torch_both_rows_say_so(material):
    rows = training.measure(material)
    assert [row.status for row in rows] == ["left out", "left out"]
    assert all("gliomaseg[train]" in row.reason for row in rows)
