"""How the program starts, and its exit codes for a wrong command line."""

import subprocess
import sys

import pytest

import gliomaseg
from gliomaseg.cli import app, main


@pytest.fixture
def run(monkeypatch, capsys):
    """Return `run(*arguments)`: the exit code and the captured output of the command line."""

    def run_main(*arguments):
        monkeypatch.setattr("sys.argv", ["gliomaseg", *arguments])
        with pytest.raises(SystemExit) as exit_info:
            main()
        return exit_info.value.code, capsys.readouterr()

    return run_main


def test_the_package_runs_as_a_module():
    command = [sys.executable, "-m", "gliomaseg", "--version"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == f"{gliomaseg.__version__}\n"


def test_no_command_prints_the_help_to_stderr_and_exits_2(run):
    code, printed = run()
    assert code == 2
    assert printed.out == ""
    assert printed.err.startswith("Usage: gliomaseg [OPTIONS] COMMAND")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nothing"], "no such command 'nothing'; see `gliomaseg --help`"),
        (["models", "--nothing"], "no such option: --nothing; see `gliomaseg models --help`"),
        (
            ["predict", "a.nii", "--out", "o", "--model", ""],
            "the value of --model is empty; see `gliomaseg predict --help`",
        ),
        (["predict", "a.nii", "", "--out", "o"], "the value of INPUT is empty; see `gliomaseg predict --help`"),
        (
            ["predict", "a.nii", "--out", "o", "--model=a", "--model", "b"],
            "--model is given more than once; see `gliomaseg predict --help`",
        ),
        (["audit", ""], "the value of DATA is empty; see `gliomaseg audit --help`"),
        (
            ["train", "r", "--data", "d", "--out", "o", "--set", "a=1", "--set", ""],
            "the value of --set is empty; see `gliomaseg train --help`",
        ),
    ],
)
def test_a_wrong_command_line_is_one_line_and_exits_2(arguments, message, run):
    code, printed = run(*arguments)
    assert (code, printed.out) == (2, "")
    assert printed.err == f"gliomaseg: error: {message}\n"


def test_options_for_several_values_and_switches_may_be_repeated(run, tmp_path):
    masks = ["--to", "nifti", "--to", "tiff", "--skip-existing", "--skip-existing"]
    code, printed = run("predict", str(tmp_path / "missing.nii"), "--out", str(tmp_path / "out"), *masks)
    assert code != 2
    assert "missing.nii" in printed.err


@pytest.mark.parametrize("wrong", [[""], ["--model", "a", "--model", "b"]])
def test_the_help_of_a_wrong_command_line_is_printed(wrong, run):
    code, printed = run("predict", *wrong, "--help")
    assert (code, printed.err) == (0, "")
    assert printed.out.lstrip().startswith("Usage: gliomaseg predict")


def test_a_shell_completes_a_wrong_command_line(monkeypatch, capsys):
    monkeypatch.setenv("_GLIOMASEG_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", "gliomaseg predict a.nii --model a --model b --ou")
    monkeypatch.setenv("COMP_CWORD", "7")
    with pytest.raises(SystemExit):
        app(prog_name="gliomaseg")
    assert "--out" in capsys.readouterr().out
