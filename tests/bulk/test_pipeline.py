"""The error that ends a pipeline is the one of gliomaseg; the table at the end is never older than its rows."""

import errno
from contextlib import nullcontext
from pathlib import Path

import pytest

from gliomaseg.bulk import BulkOptions
from gliomaseg.bulk.pipeline import _translated
from gliomaseg.bulk.run import _predict
from gliomaseg.bulk.run_folder import RunFolder
from gliomaseg.errors import GliomasegError, ModelError


class WrappedError(Exception):
    """Keeps the exception of a worker as Ray's errors do."""

    def __init__(self, cause):
        super().__init__("worker failed\nwith a long trace")
        self.cause = cause


@pytest.mark.parametrize(
    ("fault", "code", "message"),
    [
        (WrappedError(WrappedError(ModelError("is another model"))), 3, "is another model"),
        (WrappedError(OSError(errno.ENOSPC, "No space left on device")), 5, "the disk is full"),
        (
            WrappedError(ValueError("x")),
            1,
            r"the run ended early \(WrappedError: worker failed\); run the same command again",
        ),
    ],
)
def test_the_fault_of_a_worker_ends_the_command(fault, code, message):
    with pytest.raises(GliomasegError, match=message) as error:
        raise _translated(fault, RunFolder(Path("out")))
    assert error.value.exit_code == code


def test_the_old_table_is_gone_before_rows_change(tmp_path, monkeypatch):
    folder = RunFolder(tmp_path)
    folder.rows.mkdir(parents=True)
    folder.results.write_text("old")

    def stop(*_arguments, **_options):
        raise KeyboardInterrupt

    monkeypatch.setattr("gliomaseg.bulk.run.connected", lambda *_arguments, **_options: nullcontext(1))
    monkeypatch.setattr("gliomaseg.bulk.run.run_pipeline", stop)
    with pytest.raises(KeyboardInterrupt):
        _predict(folder, None, BulkOptions(), 1, lambda *_arguments: nullcontext())
    assert not folder.results.exists()
