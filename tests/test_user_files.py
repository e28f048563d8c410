"""Home folders, and text files of Windows editors."""

from __future__ import annotations

from pathlib import Path

import pytest

from gliomaseg.user_files import expand_home, read_text


def test_a_tilde_is_the_home_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert expand_home("~/masks") == tmp_path / "masks"
    assert expand_home(Path("~")) == tmp_path
    assert expand_home("a/~/b~") == Path("a/~/b~")
    assert expand_home("~no-such-user/a") == Path("~no-such-user/a")


TEXT = "Größe = 1\n"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_text_is_read_with_and_without_a_byte_order_mark(tmp_path: Path, encoding: str, newline: str) -> None:
    (tmp_path / "a.toml").write_bytes(TEXT.replace("\n", newline).encode(encoding))
    assert read_text(tmp_path / "a.toml") == TEXT


def test_other_encodings_raise(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_bytes(TEXT.encode("latin-1"))
    with pytest.raises(UnicodeDecodeError):
        read_text(tmp_path / "a.toml")


def test_an_empty_file_is_empty(tmp_path: Path) -> None:
    (tmp_path / "a.toml").touch()
    assert read_text(tmp_path / "a.toml") == ""
