"""The Ray that predicts: one of our own on this machine, or a cluster."""

from __future__ import annotations

import logging
import os
import secrets
import shutil
import socket
import sys
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from threading import Event, Thread
from typing import Any

from gliomaseg.bulk.run_folder import RAY_PREFIX
from gliomaseg.engines.threads import core_count
from gliomaseg.errors import GliomasegError, UsageError, import_extra

LOOPBACK = "127.0.0.1"
# A rerun has four kinds of tasks: reading, the filter of finished cases, the workers, and writing. The filter keeps one
# CPU for the whole run and the workers keep theirs; with a single further CPU, reading and writing wait for each other.
SPARE_CPUS = 2
_STORE_BYTES = 100 * 2**20  # rows are paths and numbers; Ray accepts no less than 75 MiB
_LONGEST_FOLDER = 40  # sockets lie in Ray's folder, and their paths may have 107 bytes
_ANSWER_S = 10
_START_S = 120
_SETTINGS = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_DATA_DISABLE_PROGRESS_BARS": "1",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}


@contextmanager
def connected(
    address: str | None, workers: int | None, note_folder: Callable[[Path], None], *, most: int
) -> Iterator[int]:
    """Start a Ray on this machine, or connect to a cluster; give the number of workers.

    A Ray that is started here listens on 127.0.0.1 only, and accepts only processes that have its random token, because
    other users of the machine can reach that address. Its dashboard and its statistics are off.

    Args:
        address: of a cluster, such as `auto` or `host:6379`; None starts a Ray.
        workers: None for one on each free core.
        note_folder: is called with the temporary folder of the Ray that is started here.
        most: more workers are not useful.

    Raises:
        MissingExtraError: Ray is not installed.
        UsageError: the address is one of Ray Client, or the cluster has too few CPUs.
        GliomasegError: Ray does not start, or the cluster does not answer.
    """
    with _environment(_SETTINGS | (_own_settings() if address is None else {})):
        ray: Any = import_extra("ray", "bulk", purpose="bulk")
        import_extra("ray.data", "bulk", purpose="bulk")
        for name in ("ray", "ray.data"):
            logging.getLogger(name).setLevel(logging.CRITICAL)
        opened = (
            _local(ray, min(workers or core_count(), most), note_folder)
            if address is None
            else _cluster(ray, address, workers)
        )
        with _own_messages_only(), opened as count:
            yield min(count, most)


@contextmanager
def _own_messages_only() -> Iterator[None]:
    """Drop what Ray prints: to stdout, where our result goes, and to file descriptor 2. `sys.stderr` stays as it is."""
    old = sys.stderr
    with Path(os.devnull).open("w") as null, redirect_stdout(null):
        try:
            number = old.fileno()
            kept = os.dup(number)
        except (AttributeError, OSError, ValueError):  # it is closed, or a buffer of a test
            yield
            return
        with open(kept, "w", buffering=1, encoding=old.encoding, errors=old.errors) as own:  # noqa: PTH123
            try:
                os.dup2(null.fileno(), number)
                sys.stderr = own
                yield
            finally:
                sys.stderr = old
                os.dup2(own.fileno(), number)


@contextmanager
def _local(ray: Any, workers: int, note_folder: Callable[[Path], None]) -> Iterator[int]:
    folder = Path(tempfile.mkdtemp(prefix=RAY_PREFIX))
    if len(str(folder)) > _LONGEST_FOLDER:
        folder.rmdir()
        folder = Path(tempfile.mkdtemp(prefix=RAY_PREFIX, dir="/tmp"))
    try:
        note_folder(folder)
        options = {
            "num_cpus": workers + SPARE_CPUS,
            "num_gpus": 0,
            "include_dashboard": False,
            "object_store_memory": _STORE_BYTES,
            "_node_ip_address": LOOPBACK,
            "_temp_dir": str(folder),
        }
        with _running(ray, "local", **options):
            used = {node["NodeManagerAddress"] for node in ray.nodes()}
            if used != {LOOPBACK}:  # Ray reads its setting when it is imported: somebody has imported it before
                what = f"Ray listens on {', '.join(sorted(used))}, expected {LOOPBACK}"
                raise GliomasegError(what, cure="start bulk in a process that has not imported ray")
            yield workers
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _cluster(ray: Any, address: str, workers: int | None) -> Iterator[int]:
    if not address or address.startswith("ray://"):
        what = f"address is {address or 'empty'}, expected HOST:PORT or auto"
        raise UsageError(what, where="--address", cure="start bulk on a machine of the cluster")
    _require_answer(address)
    with _running(ray, address):
        cpus = int(ray.cluster_resources().get("CPU", 0))
        needed = max(1, workers or 1) + SPARE_CPUS
        if cpus < needed:
            what = f"the cluster has {cpus} CPUs, expected {needed} or more"
            raise UsageError(what, where=address, cure=f"lower --workers: {SPARE_CPUS} CPUs read and write tables")
        yield workers or cpus - SPARE_CPUS


@contextmanager
def _running(ray: Any, address: str, **options: Any) -> Iterator[None]:
    """Start or join Ray, and end or leave it.

    Another thread does it: Ray may wait for ever, and in the main thread it would replace our handler of SIGTERM. The
    thread lives as long as Ray, whose processes Linux ends with the thread that started them.

    Raises:
        GliomasegError: Ray does not start or answer.
    """
    outcome: Future[None] = Future()
    ended = Event()

    def start() -> None:
        try:
            ray.init(address=address, log_to_driver=False, logging_level=logging.CRITICAL, **options)
        except BaseException as fault:  # it is that of the waiting thread
            outcome.set_exception(fault)
        else:
            outcome.set_result(None)
            ended.wait()

    Thread(target=start, daemon=True).start()
    try:
        _wait_for(outcome, address)
        yield
    finally:
        ray.shutdown()
        ended.set()


def _wait_for(outcome: Future[None], address: str) -> None:
    try:
        outcome.result(_START_S)
    except TimeoutError as fault:
        what = f"Ray does not answer within {_START_S} s"
        raise GliomasegError(what, where=address, cure="check the address, or the network of this machine") from fault
    except KeyboardInterrupt:
        wait([outcome], _START_S)  # half a Ray could not be shut down
        raise
    except (OSError, RuntimeError, ValueError) as fault:  # ConnectionError is an OSError
        what = f"Ray does not start ({str(fault).splitlines()[0] if str(fault) else type(fault).__name__})"
        if address == "local":
            raise GliomasegError(what, cure="check the memory and the temporary folder, and run again") from fault
        what = f"the cluster does not answer ({type(fault).__name__})"
        raise GliomasegError(what, where=address, cure="check the address, or start it with `ray start`") from fault


def _require_answer(address: str) -> None:
    """Check that something listens at HOST:PORT; Ray would wait for minutes.

    Raises:
        GliomasegError: there is no answer.
    """
    host, colon, port = address.rpartition(":")
    if not colon:
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_ANSWER_S).close()
    except (OSError, ValueError, OverflowError) as fault:
        cure = "check the address, or start the cluster with `ray start`"
        raise GliomasegError("the cluster does not answer", where=address, cure=cure) from fault


def _own_settings() -> dict[str, str]:
    return {
        # Otherwise Ray replaces 127.0.0.1 by the address of the machine, and listens on all of its addresses.
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": secrets.token_hex(32),
        # Otherwise workers have a lower priority than the command.
        "RAY_worker_niceness": "0",
    }


@contextmanager
def _environment(settings: dict[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in settings}
    os.environ.update(settings)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
