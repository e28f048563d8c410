"""Kill commands at random moments, and check that each result is the old one or the new one.

    python studies/kill_commands.py kills --kills 40

The results are in docs/results/reliability.md. Each command replaces the results of an earlier one (`--overwrite`). It
is killed (SIGKILL) at a random moment, again and again. After each kill, every file of the results must exist with its
old or its new content. Then the command runs to its end: the new results must be complete, and nothing unfinished may
be left. The name of a command is the seed of its moments.
"""

from __future__ import annotations

import argparse
import hashlib
import random
import re
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from gliomaseg.atomic import UNFINISHED
from gliomaseg.ownership import MANIFEST

SECONDS = re.compile(rb'^ "seconds": [\d.]+$', re.MULTILINE)
# What writes the old results, and what replaces them: a difference in the seed, the model or the input.
COMMANDS = {
    "phantom": (("phantom", "{out}", "--patients", "1"), ("phantom", "{out}", "--patients", "1", "--seed", "1")),
    "predict": (
        ("predict", "{data}/nifti", "--out", "{out}", "--model", "glioma-flair"),
        ("predict", "{data}/nifti", "--out", "{out}", "--model", "glioma-flair", "--to", "nifti", "--to", "png"),
    ),
    "predict slices": (
        ("predict", "{data}/kaggle_3m", "--out", "{out}", "--model", "glioma-flair"),
        ("predict", "{data}/kaggle_3m", "--out", "{out}", "--model", "glioma-flair", "--probabilities"),
    ),
    "evaluate": (
        ("evaluate", "{data}/kaggle_3m", "--out", "{out}", "--model", "glioma-flair"),
        ("evaluate", "{data}/brats", "--out", "{out}", "--model", "glioma-flair"),
    ),
    "download": (
        ("download", "--from", "{data}/kaggle_3m", "--to", "{out}"),
        ("download", "--from", "{data}/other/kaggle_3m", "--to", "{out}"),
    ),
    "export": (
        ("export", "glioma-flair", "--to", "onnx", "--out", "{out}/model"),
        ("export", "glioma-t1-flair", "--to", "onnx", "--out", "{out}/model"),
    ),
}


@dataclass(frozen=True)
class Outcome:
    """What the kills of one command did.

    Attributes:
        kills: how many processes were killed before their end.
        faults: a line for each result that was missing, half-written or left unfinished.
    """

    kills: int
    faults: tuple[str, ...]


def main() -> None:
    """Kill each command, and print a row of a table for each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--kills", type=int, default=40, help="of each command")
    parser.add_argument("--only", choices=COMMANDS, help="one command")
    arguments = parser.parse_args()
    data = write_data(arguments.folder / "data")
    sys.stdout.write("| command | killed | missing, half-written or left behind |\n|---|---|---|\n")
    for name in [arguments.only] if arguments.only else COMMANDS:
        outcome = kill_command(name, data, arguments.folder / name.replace(" ", "-"), kills=arguments.kills)
        sys.stdout.write("\n".join([f"| `{name}` | {outcome.kills} | {len(outcome.faults)} |", *outcome.faults, ""]))
        sys.stdout.flush()


def write_data(folder: Path) -> Path:
    """Write the phantoms that the commands read."""
    for kind in ("tiff", "nifti", "brats"):
        run(command_line("phantom", str(folder), "--patients", "1", "--as", kind))
    run(command_line("phantom", str(folder / "other"), "--patients", "1", "--seed", "1"))
    return folder


def kill_command(name: str, data: Path, folder: Path, *, kills: int) -> Outcome:
    """Replace old results again and again, and kill it each time."""
    shutil.rmtree(folder, ignore_errors=True)
    old, new, out = folder / "old", folder / "new", folder / "out"
    before, after = COMMANDS[name]
    run(filled(before, data, old))
    contents = {old: checksums(old)}
    started = time.monotonic()
    run(filled(after, data, new))
    seconds = time.monotonic() - started
    contents[new] = checksums(new)
    shutil.copytree(old, out)
    moments, killed, faults = random.Random(name), 0, []  # noqa: S311
    for _ in range(kills):
        killed += kill_after(moments.uniform(0.3, 1.0) * seconds, filled(after, data, out))
        faults += list_faults(checksums(out), *contents.values())
    run(filled(after, data, out))
    if checksums(out) != contents[new]:
        faults.append("the last run has other results")
    faults += [f"{path.name} was left" for path in out.rglob(f"{UNFINISHED}*") if path.name != MANIFEST]
    return Outcome(killed, tuple(faults))


def list_faults(found: dict[str, str], old: dict[str, str], new: dict[str, str]) -> list[str]:
    """Return a line for each file that is missing, or has neither its old content nor its new one."""
    missing = [f"{name} is missing" for name in sorted(old.keys() & new.keys() - found.keys())]
    known = {name: (old.get(name), new.get(name)) for name in found}
    return missing + [f"{name} is half-written" for name, content in found.items() if content not in known[name]]


def kill_after(seconds: float, command: list[str]) -> bool:
    """Start a command, and kill it after some seconds; return whether it had not ended by itself."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # noqa: S603
    try:
        process.wait(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        return True
    return False


def filled(arguments: tuple[str, ...], data: Path, out: Path) -> list[str]:
    """Return the command line that replaces results."""
    return command_line(*(part.format(data=data, out=out) for part in arguments))


def command_line(*arguments: str) -> list[str]:
    """Return the command line of gliomaseg."""
    return [sys.executable, "-m", "gliomaseg", *arguments, "--overwrite"]


def run(command: list[str]) -> None:
    """Run a command to its end."""
    subprocess.run(command, check=True, capture_output=True)  # noqa: S603


def checksums(folder: Path) -> dict[str, str]:
    """Return a checksum of each file that has its final name; the run time in `metrics.json` does not count."""
    return {
        file.relative_to(folder).as_posix(): hashlib.sha256(SECONDS.sub(b"", file.read_bytes())).hexdigest()
        for file in folder.rglob("*")
        if file.is_file() and not any(part.startswith(UNFINISHED) for part in file.relative_to(folder).parts)
    }


if __name__ == "__main__":
    main()
