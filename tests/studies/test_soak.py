"""The soak test prints what one process holds."""

from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "studies" / "soak.py"


def test_each_scan_is_predicted_and_memory_is_reported(load_script, tmp_path, capsys):
    script = load_script(SCRIPT)
    held = list(script.measure(script.write_scans(tmp_path), 10, tmp_path / "mask.nii.gz"))
    assert [count for count, _bytes, _files in held] == list(range(1, 11))
    assert all(resident > 20e6 for _count, resident, _files in held)
    assert held[-1][2] == held[4][2]  # open files, after all libraries are loaded
    assert (tmp_path / "mask.nii.gz").exists()
    assert capsys.readouterr().out.count(" predictions: ") == 10
