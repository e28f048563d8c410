"""Messages for clients name no option of the command line, and say what to do."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import gliomaseg
from gliomaseg.errors import DataError, FormatError, GliomasegError, UsageError
from gliomaseg.serve.messages import for_client, with_cure

PACKAGE = Path(gliomaseg.__file__).parent
READERS = ("formats", "inputs", "preprocessing", "prediction", "correction")  # run in the worker
OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]+")
# An option of another program, and a message of `predict --skip-existing` alone.
KEPT = ("gdcmconv --raw", "cannot be used with --overwrite", "--skip-existing", '"--t1" not in')


def texts_with_options() -> Iterator[str]:
    for part in READERS:
        for file in (PACKAGE / part).rglob("*.py"):
            tree = ast.parse(file.read_text("utf-8"))
            docs = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
            for node in ast.walk(tree):
                text = node.value if isinstance(node, ast.Constant) and id(node) not in docs else None
                if isinstance(text, str) and OPTION.search(text) and not any(kept in text for kept in KEPT):
                    yield text


def test_no_message_of_the_readers_names_an_option() -> None:
    found = [text for text in texts_with_options() if text != "--t1"]
    assert len(found) > 5
    assert [text for text in found if OPTION.search(for_client(text))] == []


@pytest.mark.parametrize("kind", [FormatError, DataError, UsageError, GliomasegError])
def test_a_message_without_a_cure_gets_one(kind: type[GliomasegError]) -> None:
    assert with_cure(kind("is odd", where="a.nii", cure="crop it")) == "a.nii: is odd; crop it"
    assert with_cure(kind("is odd", where="a.nii")).startswith("a.nii: is odd; ")
