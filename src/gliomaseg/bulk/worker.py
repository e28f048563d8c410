"""One worker: a warm engine that predicts cases, one after the other."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from gliomaseg.bulk.entries import BulkCase, input_of, path_of
from gliomaseg.bulk.rows import ATTEMPT, CaseRow, to_table
from gliomaseg.errors import GliomasegError, ModelError, OutputExistsError, ResourceError
from gliomaseg.formats import stem_of
from gliomaseg.inputs.input import Input, Kind
from gliomaseg.ownership import file_digest
from gliomaseg.prediction import PredictOptions, PredictRow, ScanPredictor, failed_row, open_models
from gliomaseg.prediction.predict import predict as predict_input
from gliomaseg.prediction.predictor import settings_digest
from gliomaseg.pretrained import find_models

MOST_STARTS = 3
"""A case in which the process ended so often fails: it may need more memory than there is, or crash a library."""


@dataclass(frozen=True)
class WorkerSettings:
    """What a worker must know.

    Attributes:
        model: a path or a bundled model's name; None for all bundled models.
        digest: `settings_digest` of the models that the run began with.
        out: the folder of the results; absolute.
        started: the folder with a file for each case that a worker is predicting.
        call: identifies this call of the command.
        cases_per_folder: of the folders part-0000, ...; None if all files are in one folder.
    """

    model: str | None
    digest: str
    out: str
    started: str
    call: str
    cases_per_folder: int | None = None

    def folder_of(self, row_id: int) -> Path:
        """Return the folder of the files of a case."""
        if self.cases_per_folder is None:
            return Path(self.out)
        return Path(self.out) / f"part-{row_id % ATTEMPT // self.cases_per_folder:04d}"


class CaseWorker:
    """Predicts the cases of a table; Ray Data makes one in each process."""

    def __init__(self, settings: WorkerSettings) -> None:
        """Open the engine, on one thread.

        Raises:
            ModelError: the model of this machine is not that of the run.
        """
        os.environ["OMP_NUM_THREADS"] = "1"  # before the engine opens: there is one worker for each core
        self._settings = settings
        self._predictor = open_models(find_models(None if settings.model is None else Path(settings.model)))
        if settings_digest(self._predictor) != settings.digest:
            cure = "install the same version of gliomaseg on all machines"
            what = "is another model on a worker than where the run began"
            raise ModelError(what, where=settings.model or "bundled models", cure=cure)

    def __call__(self, table: Any) -> Any:
        """Return the rows of results for a table with the columns id, case, name and text.

        Raises:
            ResourceError: the disk is full, so further cases would fail too.
        """
        rows = table.to_pylist()
        return to_table([self._predict(row["id"], BulkCase(row["case"], row["name"], row["text"])) for row in rows])

    def _predict(self, row_id: int, case: BulkCase) -> CaseRow:
        settings, out = self._settings, self._settings.folder_of(row_id)
        starts = Path(settings.started) / str(row_id)
        if note_start(starts, settings.call) > MOST_STARTS:
            # Its files are not opened again. The starts stay: another case may end the process in the same block.
            return CaseRow(row_id, case.name, _crashed(case))
        entry = input_of(case)
        row = predict_one(entry, out, self._predictor)
        digests: tuple[str | None, str | None] = None, None
        try:
            digests = input_digest(entry, Path(settings.out)), mask_digest(entry, row.outputs)
        except OSError as fault:
            what = f"its mask cannot be read ({fault.strerror})"
            row = failed_row(entry, GliomasegError(what, where=out, cure="run the same command again"))
        starts.unlink(missing_ok=True)
        return CaseRow(row_id, case.name, row, *digests)


def _crashed(case: BulkCase) -> PredictRow:
    what = f"the process of its worker ended {MOST_STARTS} times"
    fault = ResourceError(what, where=case.name, cure="check its size and the memory, or predict it alone")
    return PredictRow(path_of(case), error=fault.line(), fault=fault)


def predict_one(entry: Input, out: Path, predictor: ScanPredictor) -> PredictRow:
    """Write the files of one case and return its row; any error but a full disk becomes a row.

    Files that an interrupted call wrote are replaced.

    Raises:
        ResourceError: the disk is full.
    """
    try:
        row = predict_input(entry, out, predictor)
        if isinstance(row.fault, OutputExistsError):
            # Only now: with `overwrite`, each case reads the list of all files in the folder.
            row = predict_input(entry, out, predictor, PredictOptions(overwrite=True))
        return row
    except ResourceError:
        raise
    except Exception as fault:  # a fault of ours in one case must not end a run of a million
        what = f"internal error ({type(fault).__name__}: {fault})"
        return failed_row(entry, GliomasegError(what, where=entry.path, cure="please report it"))


def note_start(file: Path, call: str) -> int:
    """Add a start to the file of a case, and return how often it was started in this call of the command."""
    try:
        starts = file.read_text("ascii").splitlines()
    except OSError:
        starts = []
    starts = [*(line for line in starts if line == call), call]
    file.write_text("\n".join(starts), "ascii")
    return len(starts)


def input_digest(entry: Input, out: Path) -> str | None:
    """Return the SHA-256 of the input's file; of several files, over their digests; None if they cannot be read."""
    try:
        if entry.t1 is None and entry.t1ce is None and entry.pictures == (entry.path,) and entry.path.is_file():
            return file_digest(entry.path)
        return entry.content_digest(without=out)
    except OSError:
        return None


def mask_digest(entry: Input, outputs: Sequence[str]) -> str | None:
    """Return the SHA-256 of the first mask; of a stack, over the digests of its masks in order; None without a mask."""
    masks = [Path(name) for name in outputs if stem_of(Path(name)).endswith("_mask")]
    if not masks:
        return None
    if entry.kind is not Kind.STACK:
        return file_digest(masks[0])
    return replace(entry, path=masks[0], pictures=tuple(masks), t1=None, t1ce=None).content_digest(without=Path("-"))
