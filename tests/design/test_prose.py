"""The prose style of CONTRIBUTING.md, held by four patterns.

`python tests/design/test_prose.py FILE_OR_FOLDER...` lists the clauses of any text or source files that match.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
AT_MOST = 0.01

# How each share is counted: clauses that match, of all clauses.
PATTERNS = {
    "a clause as subject": re.compile(
        r"\b(what|who|which ones) (is|are|was|were|has|have|had|does|do|did|can|could|will|would|must|may|might"
        r"|comes?|stands?|lies|lay|needs?|makes?|gives?|takes?|goes|holds?|shows?|counts?|remains?|follows?)\b"
        r"|\b(those|that|one) (that|who|which|of which)\b|^(?-i:What|Who|Whoever|Whatever|Where|Of)\b",
        re.IGNORECASE,
    ),
    "nobody, whoever, nothing": re.compile(r"\b(nobody|no one|whoever|whatever|whichever|nothing)\b", re.IGNORECASE),
    "is no": re.compile(r"\b(is|are|was|were|be|been) (no|none)\b", re.IGNORECASE),
    "a program that talks": re.compile(
        r"\b(tell|tells|told|ask|asks|asked|say|says|said|speak|speaks|spoken|see|sees|seen|know|knows|known|knew"
        r"|look at|looks at|looked at|hold|holds|held|bear|bears|borne|wish|wishes|wished)\b",
        re.IGNORECASE,
    ),
}


def clauses(text: str) -> list[str]:
    """Return the clauses of plain text: what stands between two marks of punctuation, of two words or more."""
    parts = re.split(r"[.;:!?]+(?=\s|$)|,(?=\s)|[()|]| - |\n\s*\n|\n\s*[-*>#\d]+\.?\s", text)
    return [" ".join(part.split()) for part in parts if len(part.split()) > 1]


def prose_of_markdown(text: str) -> str:
    """Return a page without its code, its links' targets, comments and pictures."""
    text = re.sub(r"(?ms)^ *```.*?^ *```", "\n\n", text)
    text = re.sub(r"(?s)<!--.*?-->|<[^>]+>", " ", text)
    text = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", text)
    return re.sub(r"`[^`]*`", "code", text)


def docstrings(source: str) -> Iterator[str]:
    """Yield the docstrings of a module's source, attributes' among them, without their examples."""
    for node in ast.walk(ast.parse(source)):
        for statement in getattr(node, "body", []) if not isinstance(node, ast.Lambda | ast.IfExp) else []:
            value = statement.value if isinstance(statement, ast.Expr) else None
            if isinstance(value, ast.Constant) and isinstance(value.value, str):
                text = re.sub(r"(?ms)^ *>>>.*?(^\s*$|\Z)", "\n", value.value)
                yield re.sub(r"`[^`]*`", "code", text)


def messages(source: str) -> Iterator[str]:
    """Yield the texts of a module's raised errors, its `help=` and the like: all strings of several words."""
    tree = ast.parse(source)
    documented = {id(part) for node in ast.walk(tree) if isinstance(node, ast.Expr) for part in ast.walk(node.value)
                  if isinstance(node.value, ast.Constant)}  # fmt: skip
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            documented |= {id(part) for part in node.values}
            yield "".join(part.value if isinstance(part, ast.Constant) else "code" for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in documented:
            yield node.value if node.value.count(" ") > 2 else ""


def texts_of(path: Path) -> str:
    """Return the prose of a page, or the docstrings and messages of a module."""
    text = path.read_text("utf-8")
    if path.suffix == ".py":
        return "\n\n".join([*docstrings(text), *messages(text)])
    return prose_of_markdown(text)


def matches(text: str) -> dict[str, list[str]]:
    """Return the clauses of a text that match each pattern."""
    parts = clauses(text)
    return {name: [part for part in parts if pattern.search(part)] for name, pattern in PATTERNS.items()}


def _group(name: str) -> str:
    package = sorted((ROOT / "src/gliomaseg").rglob("*.py"))
    if name == "docstrings":
        return "\n\n".join(text for path in package for text in docstrings(path.read_text("utf-8")))
    if name == "messages":
        return "\n\n".join(text for path in package for text in messages(path.read_text("utf-8")))
    pages = sorted(page for page in ROOT.glob(name) if page.is_file())
    assert pages, name
    return "\n\n".join(prose_of_markdown(page.read_text("utf-8")) for page in pages)


GROUPS = [
    "README.md", "CONTRIBUTING.md", "docs/guide/*.md", "docs/decisions/*.md", "docs/results/*.md",
    "src/gliomaseg/pretrained/*/README.md", "docstrings", "messages",
]  # fmt: skip


@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("group", GROUPS)
def test_at_most_one_clause_in_a_hundred_matches(group: str, pattern: str) -> None:
    text = _group(group)
    found = matches(text)[pattern]
    assert len(found) <= AT_MOST * len(clauses(text)), "\n".join(found)


def test_the_patterns_find_the_riddles_that_they_are_for() -> None:
    riddles = [
        ("a clause as subject", "What is warned of counts only where all are"),
        ("nobody, whoever, nothing", "Whoever holds the identifier can find the mark again"),
        ("is no", "its affine is no 4 x 4 matrix"),
        ("a program that talks", "the model is asked, and its word is what is told"),
    ]
    for name, riddle in riddles:
        assert matches(riddle)[name], riddle
    plain = "gliomaseg runs both models and averages their predictions, weighted by their predicted Dice."
    assert not any(matches(plain).values())


if __name__ == "__main__":
    named = [Path(argument) for argument in sys.argv[1:]]
    files = [file for path in named for file in ([path] if path.is_file() else sorted(path.rglob("*.py")))]
    for file in files:
        text = texts_of(file)
        for pattern, parts in matches(text).items():
            if parts:
                print(f"{file}: {pattern}: {len(parts)} of {len(clauses(text))}")
                print("".join(f"    {part}\n" for part in parts), end="")
