"""Commands of gliomaseg in new processes that have imported its libraries already: each takes seconds less.

A server process imports the libraries once. For each command, it forks a process with the command's own folder,
environment and streams.
"""

from __future__ import annotations

import atexit
import functools
import gc
import io
import json
import os
import select
import subprocess
import sys
import tempfile
import traceback
import warnings
from pathlib import Path


def run_warm(
    words: list[str], *, folder: Path, env: dict[str, str], timeout_s: float
) -> subprocess.CompletedProcess[str]:
    """Run `gliomaseg` with these words in a folder, and return its exit code and output.

    Raises:
        subprocess.TimeoutExpired: the command takes too long; its process is killed.
    """
    server = _server()
    assert server.stdin is not None
    assert server.stdout is not None
    with tempfile.TemporaryDirectory() as streams:
        out, err = Path(streams) / "out", Path(streams) / "err"
        order = {"words": words, "folder": str(folder), "env": env, "out": str(out), "err": str(err)}
        server.stdin.write(json.dumps(order).encode() + b"\n")
        child = int(server.stdout.readline())
        if not select.select([server.stdout], [], [], timeout_s)[0]:
            os.kill(child, 9)
            server.stdout.readline()
            raise subprocess.TimeoutExpired(words, timeout_s)
        code = int(server.stdout.readline())
        texts = [path.read_text("utf-8", errors="replace") for path in (out, err)]  # a file name may not be text
        return subprocess.CompletedProcess(words, code, *texts)


@functools.cache
def _server() -> subprocess.Popen[bytes]:
    """Start the server; it ends when its standard input closes, so with the process of the tests."""
    # -P: the folder of this file must not come before the installed packages.
    command = [sys.executable, "-P", __file__]
    # Without buffers: `select` does not see a line that an earlier read has taken along.
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)


def _serve() -> None:
    _import_libraries()
    gc.freeze()  # the collector of a command leaves these objects alone, so that their memory stays shared
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            _become_command(**json.loads(line))
        sys.stdout.write(f"{child}\n")
        sys.stdout.flush()
        _, status = os.waitpid(child, 0)
        sys.stdout.write(f"{os.waitstatus_to_exitcode(status)}\n")
        sys.stdout.flush()


def _import_libraries() -> None:
    """Import what most commands import; an export of a network imports the rest of torch."""
    import torch

    import gliomaseg.api
    import gliomaseg.cli
    import gliomaseg.training.crossvalidation  # noqa: F401

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(torch.nn.ReLU(), (torch.zeros(1),), io.BytesIO(), dynamo=True, verbose=False)


def _become_command(words: list[str], folder: str, env: dict[str, str], out: str, err: str) -> None:
    """Run the command in this process, and end the process."""
    from gliomaseg.cli import main

    os.chdir(folder)
    os.environ.clear()
    os.environ.update(env)
    for number, path, flags in (
        (0, os.devnull, os.O_RDONLY),
        (1, out, os.O_WRONLY | os.O_CREAT),
        (2, err, os.O_WRONLY | os.O_CREAT),
    ):
        os.dup2(os.open(path, flags), number)
    sys.argv = ["gliomaseg", *words]
    code: object = 1
    try:
        main()
    except SystemExit as stop:
        code = stop.code or 0
    except BaseException:
        traceback.print_exc()
    # As at the end of a process, without the second that it takes to destroy the objects of torch.
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code if isinstance(code, int) else 1)


if __name__ == "__main__":
    _serve()
