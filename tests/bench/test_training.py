import pytest

from gliomaseg.bench.training import measure_training


def test_losses_of_gliomaseg_and_notebook_are_similar(fixtures):
    row, _ = measure_training(fixtures)
    assert row.status == "measured"
    assert row.unit == "images/s"
    assert row.agreement["images_a_turn"] == 4
    assert row.agreement["loss_ours"] == pytest.approx(row.agreement["loss_peer"], rel=0.2)


@pytest.mark.usefixtures("without_torch")
def test_without_torch_both_rows_are_left_out_with_the_extra_in_the_reason(fixtures):
    rows = measure_training(fixtures)
    assert [row.status for row in rows] == ["left out", "left out"]
    assert all("gliomaseg[train]" in row.reason for row in rows)
