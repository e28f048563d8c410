"""Run the server: its folder, its address and its end."""

from __future__ import annotations

import gc
import logging
import os
import shutil
import socket
import tempfile
import threading
import time
import webbrowser
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path

import uvicorn

from gliomaseg.atomic import locked
from gliomaseg.errors import GliomasegError, UsageError
from gliomaseg.file_locks import try_lock
from gliomaseg.pretrained import find_models
from gliomaseg.serve.app import create_app
from gliomaseg.serve.protocol import stall_limited
from gliomaseg.serve.settings import ServeSettings
from gliomaseg.serve.worklist.folders import WorkFolders

_PREFIX, _LOCK = "gliomaseg-serve-", ".lock"
_NEW_S = 60  # a folder so young may not have its lock yet


def serve(
    settings: ServeSettings, *, say: Callable[[str], None], open_browser: bool = False, work: WorkFolders | None = None
) -> None:
    """Serve the page and the API until Ctrl-C or SIGTERM.

    Args:
        settings: address, model and limits.
        say: called with the address as soon as the server listens.
        open_browser: whether the page is opened.
        work: the folders of a work list; None without one.

    Raises:
        FolderInUseError: another server has the folder of corrected masks.
        UsageError: the address cannot be used, or it is not loopback and there is no token.
        ModelError: the model is missing or damaged.
    """
    settings.require_safe()
    logging.getLogger("python_multipart").addHandler(logging.NullHandler())  # a damaged form is the client's matter
    find_models(settings.model)
    listening = _listen(settings)
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    address = f"http://{host}:{listening.getsockname()[1]}"
    with _job_folder() as folder, nullcontext() if work is None else locked(work.out.folder):
        config = uvicorn.Config(
            create_app(settings, folder, work),
            http=stall_limited(settings.stall_s),
            log_level="warning",
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=5,
            timeout_keep_alive=10,
        )
        server = uvicorn.Server(config)
        announce = partial(_announce, server, address, say, open_browser=open_browser)
        threading.Thread(target=announce, daemon=True).start()
        gc.freeze()  # a collection of all modules takes 50 ms, in which no request is answered
        server.run(sockets=[listening])


def _announce(server: uvicorn.Server, address: str, say: Callable[[str], None], *, open_browser: bool) -> None:
    while not server.started and not server.should_exit:
        time.sleep(0.02)
    if server.started:
        say(f"the page is at {address}; Ctrl-C ends it and removes all uploads")
        if open_browser:
            webbrowser.open(address)


def _listen(settings: ServeSettings) -> socket.socket:
    try:
        family, kind, _, _, address = socket.getaddrinfo(settings.host, settings.port, type=socket.SOCK_STREAM)[0]
        listening = socket.socket(family, kind)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
    except OSError as fault:
        where = f"--host {settings.host} --port {settings.port}"
        raise UsageError(f"cannot listen ({fault.strerror})", where=where, cure="choose another --port") from fault
    return listening


@contextmanager
def _job_folder() -> Iterator[Path]:
    """Make a folder that only this user can read, and remove it at the end; also those of servers that were killed."""
    _remove_left_behind()
    try:
        folder = Path(tempfile.mkdtemp(prefix=_PREFIX))
    except OSError as fault:
        raise GliomasegError(f"no folder can be made ({fault.strerror})", where=tempfile.gettempdir()) from fault
    (folder / _LOCK).touch()
    handle = try_lock(folder / _LOCK)
    if handle is None:
        raise GliomasegError("another server removed the folder of this one", where=folder, cure="start it again")
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(handle)


def _user() -> int:
    # Windows has no numbers of users; its folder of temporary files is the user's own.
    return os.getuid() if hasattr(os, "getuid") else 0


def _remove_left_behind() -> None:
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        try:
            is_own = folder.is_dir() and not folder.is_symlink() and folder.stat().st_uid == _user()
            is_new = not (folder / _LOCK).exists() and time.time() - folder.stat().st_mtime < _NEW_S
            if not is_own or is_new:
                continue
            handle = try_lock(folder / _LOCK, certainly=True)
        except OSError:
            continue
        if handle is not None:
            shutil.rmtree(folder, ignore_errors=True)
            os.close(handle)
