"""`~` in the paths of all commands, and the check of outputs before any work."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import pytest
import typer

from gliomaseg.cli import app, main
from gliomaseg.cli.paths import Output, require_output, with_checked_paths
from gliomaseg.errors import UsageError

COMMANDS: list[Callable[..., Any]] = [entry.callback for entry in app.registered_commands if entry.callback]


def run(*arguments: str, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr("sys.argv", ["gliomaseg", *arguments])
    with pytest.raises(SystemExit) as stop:
        main()
    return int(stop.value.code or 0)


def test_a_command_gets_its_paths_expanded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    seen: dict[str, Any] = {}

    def command(inputs: list[Path], model: Path | None = None, text: str = "") -> None:
        seen.update(inputs=inputs, model=model, text=text)

    with_checked_paths(command)(inputs=[Path("~/a"), Path("b~")], model=Path("~/m"), text="~/t")
    assert seen == {"inputs": [tmp_path / "a", Path("b~")], "model": tmp_path / "m", "text": "~/t"}


def test_out_with_a_tilde_after_the_equals_sign_is_in_the_home_folder(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    assert run("phantom", "~/data", "--patients", "1", "--size", "64", monkeypatch=monkeypatch) == 0
    assert run("split", "~/data", "--out=~/splits.json", monkeypatch=monkeypatch) in (0, 3)
    assert (tmp_path / "home" / "data").is_dir()
    assert not (tmp_path / "~").exists()


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.__name__)
def test_every_output_option_states_what_it_writes(command: Callable[..., Any]) -> None:
    hints = get_type_hints(command, include_extras=True)
    for name in {"out", "to", "folder", "cache"} & set(inspect.signature(command).parameters):
        if Path in getattr(hints[name], "__args__", ()) or hints[name].__origin__ is Path:
            assert any(isinstance(mark, Output) for mark in hints[name].__metadata__)


@pytest.mark.parametrize(
    "arguments",
    [
        ("predict", "missing.nii", "--out", "notes"),
        ("predict", "missing.nii", "--out", "notes/masks"),
        ("bulk", "missing", "--out", "notes"),
        ("evaluate", "missing", "--out", "notes"),
        ("train", "unet", "--data", "missing", "--out", "notes"),
        ("crossvalidate", "unet", "--data", "missing", "--out", "notes"),
        ("demo", "--out", "notes"),
        ("export", "missing", "--out", "notes"),
        ("download", "--to", "notes"),
        ("phantom", "notes"),
        ("split", "missing", "--out", "notes/splits.json"),
        ("report", "missing", "--out", "notes/report.html"),
    ],
)
def test_an_output_folder_that_is_a_file_is_refused_before_any_work(
    arguments: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("notes").write_text("mine")
    assert run(*arguments, monkeypatch=monkeypatch) == 2
    assert capsys.readouterr().err == ("gliomaseg: error: notes: is a file, expected a folder; name another output\n")
    assert Path("notes").read_text() == "mine"


@pytest.mark.parametrize("command", ["split", "report"])
def test_an_output_file_that_is_a_folder_is_refused(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("here").mkdir()
    assert run(command, "missing", "--out", "here", monkeypatch=monkeypatch) == 2
    assert "here: is a folder, expected a file; name a file in it" in capsys.readouterr().err


def test_an_output_that_is_a_link_to_a_missing_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "gone")
    with pytest.raises(UsageError, match="is a link to a missing folder"):
        require_output(tmp_path / "link", Output.FOLDER)


def test_new_and_existing_outputs_are_accepted(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    require_output(tmp_path / "new" / "deeper", Output.FOLDER)
    require_output(tmp_path, Output.FOLDER)
    require_output(tmp_path / "new" / "file", Output.FILE)
    require_output(tmp_path / "file", Output.FILE)


def test_a_wrapped_command_keeps_its_options() -> None:
    def command(out: Annotated[Path, typer.Option("--out", help="Here."), Output.FOLDER]) -> None:
        """Do it."""

    wrapped = with_checked_paths(command)
    assert wrapped.__doc__ == "Do it."
    assert inspect.signature(wrapped) == inspect.signature(command)
