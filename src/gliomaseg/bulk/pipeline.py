"""The pipeline of Ray Data: read the table of cases, predict, write the rows."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

from gliomaseg.atomic import is_disk_full
from gliomaseg.bulk.run_folder import RunFolder
from gliomaseg.bulk.worker import CaseWorker, WorkerSettings
from gliomaseg.errors import GliomasegError, ResourceError, import_extra, printable

MOST_BLOCK_ROWS = 16
BLOCKS_PER_WORKER = 16
"""Cases are committed in blocks: after a kill, up to two blocks of each worker are predicted again."""


def run_pipeline(folder: RunFolder, settings: WorkerSettings, *, workers: int, cases: int) -> None:
    """Predict the cases that Ray's checkpoint does not name, in blocks of at most 16, and write their rows.

    If the process of a worker ends, Ray starts another one, which repeats the block.

    Args:
        folder: has the tables of cases.
        settings: of each worker.
        workers: their number.
        cases: how many are left.

    Raises:
        ResourceError: the disk is full.
        GliomasegError: the run ended early for another reason.
    """
    data: Any = import_extra("ray.data", "bulk", purpose="bulk")
    checkpoint: Any = import_extra("ray.data.checkpoint", "bulk", purpose="bulk")
    context = data.DataContext.get_current()
    context.enable_progress_bars = False
    context.raise_original_map_exception = True
    context.checkpoint_config = checkpoint.CheckpointConfig(
        id_column="id", checkpoint_path=str(folder.checkpoint), delete_checkpoint_on_success=False
    )
    rows = max(1, min(MOST_BLOCK_ROWS, cases // (workers * BLOCKS_PER_WORKER)))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of Ray Data, on its own plan
            # A folder `name=x` on the path must not become a column.
            cases_read = data.read_parquet(str(folder.cases), partitioning=None)
            cases_read.repartition(target_num_rows_per_block=rows).map_batches(
                CaseWorker,
                fn_constructor_kwargs={"settings": settings},
                batch_size=None,
                batch_format="pyarrow",
                compute=data.ActorPoolStrategy(size=workers, max_tasks_in_flight_per_actor=2),
                num_cpus=1,
            ).write_parquet(str(folder.rows), mode=data.SaveMode.APPEND)
    except Exception as fault:
        raise _translated(fault, folder) from fault
    finally:
        context.checkpoint_config = None


def _translated(fault: Exception, folder: RunFolder) -> GliomasegError:
    """Return the error of gliomaseg that ended a worker, or the first line of another one."""
    for cause in _causes(fault):
        if isinstance(cause, GliomasegError):
            return cause
        if isinstance(cause, OSError) and is_disk_full(cause):
            return ResourceError("the disk is full", where=folder.out, cure="free some space and run again")
    line = printable((str(fault).strip().splitlines() or [type(fault).__name__])[0])
    return GliomasegError(
        f"the run ended early ({type(fault).__name__}: {line})", where=folder.out, cure="run the same command again"
    )


def _causes(fault: BaseException) -> Iterator[BaseException]:
    """Yield an exception and those that caused it; Ray keeps the one of a worker in `cause`."""
    seen: set[int] = set()
    left: list[BaseException | None] = [fault]
    while left:
        one = left.pop()
        if isinstance(one, BaseException) and id(one) not in seen:
            seen.add(id(one))
            yield one
            left += [one.__context__, one.__cause__, getattr(one, "cause", None)]
