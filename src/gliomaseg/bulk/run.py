"""Predict an archive: list the cases, run the pipeline of Ray Data, and write the table of results."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import gliomaseg
from gliomaseg.atomic import locked, new_file
from gliomaseg.bulk.cases import read_archive
from gliomaseg.bulk.cluster import connected
from gliomaseg.bulk.pipeline import run_pipeline
from gliomaseg.bulk.rows import FoundRows, count_rows, find_rows, next_ids, write_results
from gliomaseg.bulk.run_folder import RunFolder, RunIdentity, write_list
from gliomaseg.bulk.worker import WorkerSettings
from gliomaseg.errors import DataError, GliomasegError, MissingExtraError, UsageError, counted, import_extra, printable
from gliomaseg.prediction import ScanPredictor, open_models
from gliomaseg.prediction.predictor import settings_digest
from gliomaseg.pretrained import find_models

CASES_PER_FOLDER = 10_000
"""Masks of a larger archive go to the folders part-0000, part-0001, ...: a folder of a million files is slow."""
Progress = Callable[[Callable[[], int], int], AbstractContextManager[None]]
_LIST = ".gliomaseg-list"


@dataclass(frozen=True)
class BulkOptions:
    """The options of a run.

    Attributes:
        model: a run, a model folder or a bundled model's name; None for all bundled models.
        workers: processes with one engine each; None for one on each free core.
        address: of a Ray cluster; None starts a Ray on this machine.
        overwrite: whether a run that began in the folder is removed first.
    """

    model: Path | None = None
    workers: int | None = None
    address: str | None = None
    overwrite: bool = False


@dataclass(frozen=True)
class BulkSummary:
    """The outcome of a run.

    Attributes:
        cases: their number; each has one row in `results`.
        predicted: the cases that this call predicted.
        failed: the cases whose row has an error, or lacks an output.
        workers: the number of workers of this call; 0 if nothing was left to predict.
        seconds: from the listing to the table of results.
        predict_seconds: the part of it in which Ray was running.
        model: names of the models.
        results: the table of results.
    """

    cases: int
    predicted: int
    failed: int
    workers: int
    seconds: float
    predict_seconds: float
    model: str
    results: str

    def document(self) -> dict[str, Any]:
        """Return the summary for JSON."""
        return asdict(self)


def predict_archive(
    source: Path, out: Path, options: BulkOptions, *, say: Callable[[str], None], progress: Progress
) -> BulkSummary:
    """Predict each case of an archive once, and return the summary. An interrupted run is continued.

    Cases that failed before are predicted again. Masks are written before their rows, and `results.parquet` when every
    case has a row.

    Args:
        source: a folder of scans, a manifest, or a Parquet table.
        out: a new folder, or that of the interrupted run.
        options: model, workers, cluster.
        say: is called with messages.
        progress: shows the progress; it gets a function that counts the cases that are finished, and the number of
            cases that were left.

    Raises:
        FolderInUseError: another run is at work in the folder.
        OutputExistsError: the folder has other files.
        UsageError: the run that began in the folder has other cases or another model, or Ray cannot read its path.
        DataError: there is no such archive, it has no case, or two cases with one name.
        GliomasegError: Ray does not start, or the run ended early.
    """
    started = time.perf_counter()
    _require_extra()
    if not source.exists():  # before a folder is made
        raise DataError("there is no such file or folder", where=source, cure="check the path")
    folder = RunFolder(out.absolute())
    if odd := next((letter for letter in str(folder.out) if letter == "?" or not letter.isprintable()), None):
        what = f"the path has the character {odd!r}, which Ray does not read"
        raise UsageError(what, where=f"--out {printable(str(out))}", cure="use another folder")
    predictor = open_models(find_models(options.model))
    with locked(folder.out):
        identity, is_continued = _open(folder, source, predictor, overwrite=options.overwrite)
        folder.remove_old_ray()
        found = find_rows(folder.rows, identity.cases)
        ids, left = _left(folder, found, identity.cases)
        if is_continued:
            retried = f", of which {found.failed:,} failed before" if found.failed else ""
            say(f"continued: {left:,} of {counted(identity.cases, 'case')} left{retried}")
        begun = time.perf_counter()
        workers = 0
        if left:
            folder.write_cases(ids)
            settings = _settings(options, identity.model, folder, identity.cases)
            workers = _predict(folder, settings, options, left, progress)
            found = find_rows(folder.rows, identity.cases)
        predict_seconds = time.perf_counter() - begun
        if not folder.results.exists():
            _write_results(folder, found, identity.cases)
    return BulkSummary(
        cases=identity.cases,
        predicted=left,
        failed=found.failed,
        workers=workers,
        seconds=round(time.perf_counter() - started, 3),
        predict_seconds=round(predict_seconds, 3),
        model=identity.models,
        results=str(folder.results),
    )


def _require_extra() -> None:
    """Check that Ray is installed, before any work. It is not imported yet: it reads its settings when it is."""
    if find_spec("ray") is None:
        raise MissingExtraError("bulk needs ray", cure='pip install "gliomaseg[bulk]"')
    import_extra("pyarrow", "bulk", purpose="bulk")


def _open(folder: RunFolder, source: Path, predictor: ScanPredictor, *, overwrite: bool) -> tuple[RunIdentity, bool]:
    """List the archive and open the folder; return the run, and whether it is continued."""
    listed = folder.out / _LIST
    try:
        with new_file(listed) as temporary:
            archive, cases = write_list(read_archive(source, without=folder.out), temporary)
        models = " + ".join(model.config.name for model in predictor.models)
        identity = RunIdentity(
            archive, cases, settings_digest(predictor), models, gliomaseg.__version__, str(folder.out)
        )
        return identity, folder.open(identity, listed, overwrite=overwrite)
    finally:
        listed.unlink(missing_ok=True)


def _left(folder: RunFolder, found: FoundRows, cases: int) -> tuple[NDArray[np.int64], int]:
    """Return the id of each case for this call, and the number of cases without a row of success."""
    ids = next_ids(found, cases=cases, checkpoint=folder.checkpoint, out=folder.out)
    succeeded = found.codes == 0
    return ids, cases - int((found.ids == ids[found.numbers])[succeeded].sum())


def _settings(options: BulkOptions, digest: str, folder: RunFolder, cases: int) -> WorkerSettings:
    is_path = options.model is not None and options.model.exists()
    model = None if options.model is None else str(options.model.absolute() if is_path else options.model)
    return WorkerSettings(
        model=model,
        digest=digest,
        out=str(folder.out),
        started=str(folder.started),
        call=secrets.token_hex(8),
        cases_per_folder=CASES_PER_FOLDER if cases > CASES_PER_FOLDER else None,
    )


def _predict(folder: RunFolder, settings: WorkerSettings, options: BulkOptions, left: int, progress: Progress) -> int:
    """Predict the cases that are left, and return the number of workers."""
    counts: dict[str, int] = {}
    before = count_rows(folder.rows, counts)
    with (
        connected(options.address, options.workers, folder.note_ray, most=left) as workers,
        progress(lambda: count_rows(folder.rows, counts) - before, left),
    ):
        folder.results.unlink(missing_ok=True)  # its rows change from here on
        run_pipeline(folder, settings, workers=workers, cases=left)
        return workers


def _write_results(folder: RunFolder, found: FoundRows, cases: int) -> None:
    """Write the table of results if each case has a row.

    Raises:
        GliomasegError: a case has none.
    """
    if len(found.ids) != cases:
        what = f"{counted(cases - len(found.ids), 'case')} of {cases:,} have no row"
        raise GliomasegError(what, where=folder.out, cure="run the same command again")
    with folder.output.new_file(folder.results) as temporary:
        write_results(found, temporary)
