import json
import os
import signal
import tempfile
from pathlib import Path
from types import SimpleNamespace

import pytest

from gliomaseg.bench import run as run_module
from gliomaseg.bench.run import benchmark_text
from gliomaseg.bench.timing import BenchRow, Timing
from gliomaseg.errors import GliomasegError, MissingExtraError, ModelError, ResourceError, UsageError


@pytest.fixture
def place(tmp_path, monkeypatch):
    """Where temporary folders are made."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def sections(monkeypatch, measure):
    monkeypatch.setattr(run_module, "import_module", lambda _name: SimpleNamespace(measure=measure))


def run(tiny, **given):
    return run_module.run_benchmark(tiny, log=lambda _line: None, **given)


def test_the_document_holds_machine_and_sections(tiny, place, monkeypatch):
    sections(monkeypatch, lambda material: [BenchRow("x", status="left out", reason=str(material.folder.is_dir()))])
    document = run(tiny, sections=("loading", "startup"))
    json.dumps(document)
    assert list(document["sections"]) == ["loading", "startup"]
    assert document["sections"]["startup"]["rows"][0]["reason"] == "True"
    assert list(place.iterdir()) == []


def test_what_others_keep_in_temporary_files_goes_too(tiny, place, monkeypatch):
    def litter(material):
        assert material.folder in Path(tempfile.mkdtemp()).parents
        assert Path(os.environ["TMPDIR"]).is_dir()
        return []

    before = os.environ.get("TMPDIR")
    sections(monkeypatch, litter)
    run(tiny, sections=("loading",))
    assert list(place.iterdir()) == []
    assert os.environ.get("TMPDIR") == before
    assert tempfile.tempdir == str(place)


def test_a_section_that_fails_is_a_row_and_the_next_one_goes_on(tiny, place, monkeypatch):
    faults = iter([GliomasegError("broken"), MissingExtraError("absent")])

    def fail(_material):
        raise next(faults)

    sections(monkeypatch, fail)
    document = run(tiny, sections=("loading", "startup"))
    rows = [section["rows"][0] for section in document["sections"].values()]
    assert [(row["status"], row["reason"]) for row in rows] == [("failed", "broken"), ("left out", "absent")]


def test_a_full_disk_ends_it_and_leaves_nothing(tiny, place, monkeypatch):
    def fail(_material):
        raise ResourceError("the disk is full")

    sections(monkeypatch, fail)
    with pytest.raises(ResourceError):
        run(tiny)
    assert list(place.iterdir()) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_and_leaves_nothing(number, tiny, place, monkeypatch):
    before = signal.getsignal(signal.SIGTERM)

    def stop(material):
        (material.folder / "half").touch()
        signal.raise_signal(number)

    sections(monkeypatch, stop)
    with pytest.raises(KeyboardInterrupt):
        run(tiny)
    assert list(place.iterdir()) == []
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_model_that_is_none_is_refused_before_anything_is_measured(tiny, place, tmp_path):
    with pytest.raises(ModelError):
        run(tiny, model=tmp_path / "none")


def test_sections_keep_our_order():
    assert run_module.chosen_sections(" startup, loading") == ("loading", "startup")
    assert run_module.chosen_sections(None) == run_module.SECTIONS


@pytest.mark.parametrize("text", ["nothing", "", "loading,nothing"])
def test_a_section_that_does_not_exist_is_refused(text):
    with pytest.raises(UsageError, match="loading, training"):
        run_module.chosen_sections(text)


def text_of(*rows):
    machine = {"processor": "CPU", "processors": 2, "threads": 2, "load_before": 0.1, "flags": ["avx2"]}
    section = {"seconds": 3.0, "rows": [row.document() for row in rows]}
    return benchmark_text({"machine": machine, "sections": {"loading": section}, "plan": "quick", "seconds": 4.0})


def test_a_row_shows_both_sides_the_ratio_and_the_agreement():
    row = BenchRow("slices", "slices/s", Timing("cache", (3000.0,)), Timing("files", (1000.0,)), {"flipped_pixels": 0})
    text = text_of(row)
    for part in ("CPU, 2 processors", "slices\n", "3,000 slices/s", "files", "times         3", "flipped_pixels 0"):
        assert part in text


def test_a_row_that_was_left_out_shows_its_reason():
    assert "left out: lightning is not installed" in text_of(
        BenchRow("x", status="left out", reason="lightning is not installed")
    )
