"""Trackers: programs that draw the curves of many runs. Each has one adapter, which writes the records of epochs.

`log.jsonl` has every record, with or without trackers. A tracker changes no weights, so a resumed run may have others.
"""

from __future__ import annotations

import json
import logging
import os
import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar, Protocol

from gliomaseg.atomic import write_text
from gliomaseg.config import Recipe
from gliomaseg.errors import GliomasegError, MissingExtraError, UsageError
from gliomaseg.training.checkpoint import EpochRecord, Progress
from gliomaseg.training.run_folder import TrainOptions

STATE = "trackers.json"
PROJECT, MLFLOW_URI = "gliomaseg", "MLFLOW_TRACKING_URI"


@dataclass(frozen=True)
class TrackedRun:
    """The run that a tracker shows.

    Attributes:
        folder: the run's folder.
        recipe: all settings.
        identifier: 16 hexadecimal digits; the same each time the run is resumed.
        written: number of epochs that the tracker has already.
    """

    folder: Path
    recipe: Recipe
    identifier: str
    written: int = 0

    @property
    def settings(self) -> dict[str, Any]:
        """All settings by their names in a recipe, such as "training.batch"; of the start only its name, no folder."""
        parts = self.recipe.model_dump(mode="json").items()
        values = {f"{name}.{key}": one for name, part in parts if isinstance(part, dict) for key, one in part.items()}
        return values | {"training.start_from": Path(self.recipe.training.start_from or "").name}


class Tracker(Protocol):
    """Writes the records of one run.

    Attributes:
        needs: the packages, as they are imported.
        extra: the optional part of gliomaseg that installs them.
    """

    needs: ClassVar[tuple[str, ...]]
    extra: ClassVar[str]

    def __init__(self, run: TrackedRun) -> None:
        """Open the log of a run; go on with it if the run is resumed."""

    def write(self, record: EpochRecord) -> None:
        """Write the numbers of an epoch."""

    def close(self) -> None:
        """Write buffered numbers and close the log."""


class TensorBoard:
    """Writes to `tensorboard/` in the run's folder."""

    needs: ClassVar[tuple[str, ...]] = ("tensorboard",)
    extra: ClassVar[str] = "board"

    def __init__(self, run: TrackedRun) -> None:
        from torch.utils.tensorboard import SummaryWriter  # slow to import

        writer: Any = SummaryWriter
        self._writer = writer(str(run.folder / "tensorboard"), purge_step=run.written + 1)

    def write(self, record: EpochRecord) -> None:
        """Write the numbers of an epoch."""
        for name, value in _numbers(record).items():
            self._writer.add_scalar(name, value, record.epoch)
        self._writer.flush()

    def close(self) -> None:
        """Close the log."""
        self._writer.close()


class Mlflow:
    """Writes to the SQLite file `mlruns/mlflow.db` in the run's folder, or to the store at `MLFLOW_TRACKING_URI`.

    MLflow 3 refuses its older store, a folder of text files, unless a variable allows it. It opens SQLite offline and
    without a server.
    """

    needs: ClassVar[tuple[str, ...]] = ("mlflow", "sqlalchemy", "alembic")
    extra: ClassVar[str] = "mlflow"

    def __init__(self, run: TrackedRun) -> None:
        store = (run.folder / "mlruns" / "mlflow.db").resolve()
        store.parent.mkdir(exist_ok=True)
        self._client = _mlflow_client(os.environ.get(MLFLOW_URI) or f"sqlite:///{store.as_posix()}")
        self._epochs, self._last = run.recipe.training.epochs, run.written
        self._run = self._find_run(run) or self._start_run(run)

    def _find_run(self, run: TrackedRun) -> str | None:
        own, experiment = f"tags.{PROJECT} = '{run.identifier}'", _mlflow_experiment(self._client)
        if not (found := self._client.search_runs([experiment], filter_string=own)):
            return None
        self._client.update_run(found[0].info.run_id, status="RUNNING")
        return str(found[0].info.run_id)

    def _start_run(self, run: TrackedRun) -> str:
        from mlflow.entities import Param

        experiment, tags = _mlflow_experiment(self._client), {PROJECT: run.identifier}
        info = self._client.create_run(experiment, run_name=run.folder.resolve().name, tags=tags).info
        params = [Param(key, str(value)) for key, value in run.settings.items()]
        self._client.log_batch(info.run_id, params=params)
        return str(info.run_id)

    def write(self, record: EpochRecord) -> None:
        """Write the numbers of an epoch, with the epoch as their step."""
        from mlflow.entities import Metric

        now_ms = int(time.time() * 1000)
        metrics = [Metric(name, value, now_ms, record.epoch) for name, value in _numbers(record).items()]
        self._client.log_batch(self._run, metrics=metrics)
        self._last = record.epoch

    def close(self) -> None:
        """Mark the run as finished, or as interrupted."""
        self._client.set_terminated(self._run, "FINISHED" if self._last >= self._epochs else "KILLED")


def _mlflow_client(uri: str) -> Any:
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # read on import
    import mlflow

    for name in ("alembic", "mlflow.store"):  # a new database reports every migration
        logging.getLogger(name).setLevel(logging.WARNING)
    return mlflow.MlflowClient(tracking_uri=uri)


def _mlflow_experiment(client: Any) -> str:
    name = os.environ.get("MLFLOW_EXPERIMENT_NAME", PROJECT)
    found = client.get_experiment_by_name(name)
    return str(found.experiment_id if found else client.create_experiment(name))


def create_shared_stores(names: Sequence[str] | None) -> None:
    """Create the store that several runs share. If all their processes created it at once, it would be damaged."""
    if "mlflow" in (names or ()) and (uri := os.environ.get(MLFLOW_URI)):
        _mlflow_experiment(_mlflow_client(uri))


class Wandb:
    """Writes an offline run to `wandb/` in the run's folder; `wandb sync` uploads it.

    It uses the network only if the user sets `WANDB_MODE=online`. A resumed run gets a new folder with the same
    identifier and the epochs that follow.
    """

    needs: ClassVar[tuple[str, ...]] = ("wandb",)
    extra: ClassVar[str] = "wandb"

    def __init__(self, run: TrackedRun) -> None:
        os.environ.setdefault("WANDB_ERROR_REPORTING", "false")  # would use the network
        import wandb

        # Machine, code and console output stay out of the log: they may contain names of patients and paths.
        private = wandb.Settings(
            silent=True, symlink=False, host="", console="off", save_code=False, disable_code=True, disable_git=True,
            disable_job_creation=True, x_disable_meta=True, x_disable_stats=True, x_disable_machine_info=True,
        )  # fmt: skip
        mode = os.environ.get("WANDB_MODE", "")
        self._run = wandb.init(
            project=os.environ.get("WANDB_PROJECT", PROJECT), name=run.folder.resolve().name, id=run.identifier,
            dir=str(run.folder), config=run.settings, mode=mode if mode in {"online", "disabled"} else "offline",
            resume="allow", reinit="create_new", settings=private,
        )  # fmt: skip
        for file in (run.folder / "wandb").glob("*/logs/debug-core.log"):  # a link to the user's cache
            file.unlink()

    def write(self, record: EpochRecord) -> None:
        """Write the numbers of an epoch, with the epoch as their step."""
        self._run.log(_numbers(record), step=record.epoch)

    def close(self) -> None:
        """Wait until the log is on the disk."""
        self._run.finish()


TRACKERS: dict[str, type[Tracker]] = {"tensorboard": TensorBoard, "mlflow": Mlflow, "wandb": Wandb}


class Trackers:
    """The trackers of a run. Each gets every epoch once, those of the time before it was chosen too."""

    def __init__(self, folder: Path, recipe: Recipe, names: Sequence[str], say: Callable[[str], None]) -> None:
        """Open the trackers; `say` is called with a warning if one fails later.

        Raises:
            GliomasegError: a tracker cannot be opened.
        """
        self._file, self._say = folder / STATE, say
        self._identifier, self._written = _read_state(self._file)
        self._open: dict[str, Tracker] = {}
        for name in names:
            run = TrackedRun(folder, recipe, self._identifier, self._written.get(name, 0))
            try:
                self._open[name] = TRACKERS[name](run)
            except Exception as fault:
                self.close()
                raise GliomasegError(
                    f"the tracker {name} cannot be opened ({fault})", where=folder, cure="repair it, or omit --tracker"
                ) from fault

    def write(self, history: Sequence[EpochRecord]) -> None:
        """Write the records of a run that a tracker does not have yet.

        A tracker that fails is closed with a warning: the run goes on, and the tracker gets the records on resume.
        """
        for name, tracker in list(self._open.items()):
            try:
                for record in history[self._written.get(name, 0) :]:
                    tracker.write(record)
                    self._written[name] = record.epoch
            except Exception as fault:
                del self._open[name]
                self._say(f"warning: the tracker {name} has failed ({fault}); log.jsonl has all epochs")
        if self._written:
            write_text(self._file, json.dumps({"identifier": self._identifier, "written": self._written}))

    def close(self) -> None:
        """Close all trackers."""
        for name, tracker in self._open.items():
            try:
                tracker.close()
            except Exception as fault:
                self._say(f"warning: the tracker {name} cannot be closed ({fault})")
        self._open.clear()


@contextmanager
def open_trackers(options: TrainOptions, progress: Progress, say: Callable[[str], None]) -> Iterator[Trackers]:
    """Yield the trackers of a run, with the epochs of a resumed run that they lack; close them at the end.

    Raises:
        GliomasegError: a tracker cannot be opened.
    """
    trackers = Trackers(options.out, options.recipe, choose_trackers(options.trackers), say)
    with closing(trackers):
        trackers.write(progress.history)
        yield trackers


def choose_trackers(names: Sequence[str] | None) -> tuple[str, ...]:
    """Return the trackers of a run; for None, TensorBoard if it is installed; for "none", no tracker.

    Raises:
        UsageError: no tracker has this name, or "none" is not alone.
        MissingExtraError: the packages of a tracker are not installed.
    """
    if names is None:
        return ("tensorboard",) if find_spec("tensorboard") else ()
    if set(names) == {"none"}:
        return ()
    for name in names:
        if name not in TRACKERS:
            raise UsageError(f"tracker is '{name}', expected {', '.join(TRACKERS)}, or none alone", where="--tracker")
        for package in TRACKERS[name].needs:
            if find_spec(package) is None:
                cure = f'pip install "gliomaseg[{TRACKERS[name].extra}]"'
                raise MissingExtraError(f"the tracker {name} needs {package}", cure=cure)
    return tuple(dict.fromkeys(names))


def _numbers(record: EpochRecord) -> dict[str, float]:
    """Return the numbers of an epoch by name, without its number and without undefined scores."""
    return {name: value for name, value in record.document().items() if name != "epoch" and value is not None}


def _read_state(file: Path) -> tuple[str, dict[str, int]]:
    """Return the identifier of a run, and how many epochs each tracker has; a new identifier for a new run."""
    try:
        state = json.loads(file.read_text("utf-8"))
        return str(state["identifier"]), {str(name): int(count) for name, count in state["written"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return secrets.token_hex(8), {}
