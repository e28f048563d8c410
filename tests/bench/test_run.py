import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from gliomaseg.bench import run as run_module
from gliomaseg.bench.run import SECTIONS, chosen_sections
from gliomaseg.bench.timing import BenchRow
from gliomaseg.errors import GliomasegError, MissingExtraError, ModelError, ResourceError, UsageError


@pytest.fixture
def temporary_root(tmp_path, monkeypatch):
    """The folder in which temporary folders are created."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def replace_sections(monkeypatch, measure):
    monkeypatch.setattr(run_module, "_section_function", lambda _name: measure)


def run(sizes, **options):
    return run_module.run_benchmark(sizes, log=lambda _line: None, **options)


def test_every_section_has_a_function():
    assert all(callable(run_module._section_function(name)) for name in SECTIONS)


def test_importing_the_package_does_not_import_torch():
    code = "import sys, gliomaseg.bench; print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout == "False\n"


def test_report_has_the_chosen_sections(tiny_sizes, temporary_root, monkeypatch):
    replace_sections(monkeypatch, lambda fixtures: [BenchRow("x", reason=str(fixtures.folder.is_dir()))])
    report = run(tiny_sizes, sections=("loading", "startup"))
    assert list(report.sections) == ["loading", "startup"]
    assert report.sections["startup"].rows[0].reason == "True"
    assert list(temporary_root.iterdir()) == []


def test_temporary_files_of_libraries_are_removed(tiny_sizes, temporary_root, monkeypatch):
    def litter(fixtures):
        assert fixtures.folder in Path(tempfile.mkdtemp()).parents
        assert Path(os.environ["TMPDIR"]).is_dir()
        return []

    before = os.environ.get("TMPDIR")
    replace_sections(monkeypatch, litter)
    run(tiny_sizes, sections=("loading",))
    assert list(temporary_root.iterdir()) == []
    assert os.environ.get("TMPDIR") == before
    assert tempfile.tempdir == str(temporary_root)


def test_failed_section_is_a_row_and_the_next_section_runs(tiny_sizes, temporary_root, monkeypatch):
    errors = iter([GliomasegError("broken"), MissingExtraError("absent")])

    def fail(_fixtures):
        raise next(errors)

    replace_sections(monkeypatch, fail)
    rows = run(tiny_sizes, sections=("loading", "startup")).rows
    assert [(row.figure, row.status, row.reason) for row in rows] == [
        ("loading", "failed", "broken"),
        ("startup", "left out", "absent"),
    ]


def test_full_disk_ends_the_benchmark_and_leaves_no_files(tiny_sizes, temporary_root, monkeypatch):
    def fail(_fixtures):
        raise ResourceError("the disk is full")

    replace_sections(monkeypatch, fail)
    with pytest.raises(ResourceError):
        run(tiny_sizes)
    assert list(temporary_root.iterdir()) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_ends_the_benchmark_and_leaves_no_files(number, tiny_sizes, temporary_root, monkeypatch):
    before = signal.getsignal(signal.SIGTERM)

    def stop(fixtures):
        (fixtures.folder / "half").touch()
        signal.raise_signal(number)

    replace_sections(monkeypatch, stop)
    with pytest.raises(KeyboardInterrupt):
        run(tiny_sizes)
    assert list(temporary_root.iterdir()) == []
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.mark.usefixtures("temporary_root")
def test_missing_model_is_an_error_before_the_first_section(tiny_sizes, tmp_path, monkeypatch):
    replace_sections(monkeypatch, lambda _fixtures: pytest.fail("a section ran"))
    with pytest.raises(ModelError):
        run(tiny_sizes, model=tmp_path / "none")


def test_chosen_sections_keep_the_order_of_all_sections():
    assert chosen_sections(" startup, loading") == ("loading", "startup")
    assert chosen_sections(None) == SECTIONS


@pytest.mark.parametrize(
    ("text", "value"), [("nothing", "'nothing'"), ("", "empty"), ("loading,nothing", "'nothing'"), (",", "empty")]
)
def test_unknown_section_is_a_usage_error(text, value):
    with pytest.raises(UsageError, match=f"section is {value}, expected one of loading, training"):
        chosen_sections(text)
