import os

import pytest

from gliomaseg.engines import threads


@pytest.fixture(autouse=True)
def machine(tmp_path, monkeypatch):
    """Simulate a machine of four processors, two for each core, without a quota."""
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(threads, "QUOTA", tmp_path / "cpu.max")
    monkeypatch.setattr(threads, "CPUS", tmp_path)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _process: {0, 1, 2, 3}, raising=False)
    for processor, siblings in enumerate(("0-1", "0-1", "2-3", "2-3")):
        topology = tmp_path / f"cpu{processor}" / "topology"
        topology.mkdir(parents=True)
        (topology / "thread_siblings_list").write_text(f"{siblings}\n")
    return tmp_path


def test_threads_of_one_core_count_once():
    assert threads.thread_count() == 2


def test_only_allowed_processors_count(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _process: {3})
    assert threads.thread_count() == 1


def test_without_core_information_each_processor_is_a_core(monkeypatch, tmp_path):
    monkeypatch.setattr(threads, "CPUS", tmp_path / "none")
    assert threads.thread_count() == 4


@pytest.mark.parametrize(("text", "count"), [("1", 1), ("1,2", 1), ("9", 2), ("many", 2), ("0", 2)])
def test_omp_num_threads_is_a_limit(text, count, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", text)
    assert threads.thread_count() == count


@pytest.mark.parametrize(("text", "count"), [("100000 100000", 1), ("max 100000", 2), ("20000 100000", 1)])
def test_the_quota_of_a_container_is_a_limit(text, count, machine):
    (machine / "cpu.max").write_text(text)
    assert threads.thread_count() == count
