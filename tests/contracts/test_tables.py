"""A new format, engine, recipe, setting or mask format is complete; a failing test names the place that it lacks."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from gliomaseg.choices import MaskFormat
from gliomaseg.cli.options import EngineName
from gliomaseg.config import Recipe, recipe_names
from gliomaseg.config.base import Settings
from gliomaseg.engines import ENGINES
from gliomaseg.errors import UsageError
from gliomaseg.formats import FileKind, suffixes
from gliomaseg.inputs.input import Input, Kind, mask_formats
from gliomaseg.prediction.mask_writers import WRITERS
from gliomaseg.prediction.outputs import targets_of

GUIDE = Path(__file__).parents[2] / "docs" / "guide"


def test_every_engine_is_a_choice_and_has_a_row_in_the_guide() -> None:
    guide = (GUIDE / "predict.md").read_text("utf-8")
    assert set(ENGINES) == set(EngineName), "add the engine to ENGINES of engines/__init__.py and to cli/options.py"
    assert {name for name in ENGINES if f"| `{name}`" not in guide} == set(), "add a row to docs/guide/predict.md"


def test_every_volume_format_is_in_the_guide() -> None:
    guide = (GUIDE / "predict.md").read_text("utf-8")
    assert {name for name in suffixes(FileKind.VOLUME) if f"`{name}`" not in guide} == set(), (
        "name the suffix in the table of inputs of docs/guide/predict.md"
    )


def test_every_recipe_is_in_the_guide() -> None:
    guide = (GUIDE / "train.md").read_text("utf-8")
    assert {name for name in recipe_names() if f"`{name}`" not in guide} == set(), "describe it in docs/guide/train.md"


def test_every_setting_is_in_the_guide() -> None:
    guide = "\n".join(page.read_text("utf-8") for page in GUIDE.glob("*.md"))
    sections = [section for _, section in Recipe() if isinstance(section, Settings)]
    names = {name for section in sections for name in type(section).model_fields}
    missing = {name for name in names if not re.search(rf"[`.]{name}\b", guide)}
    assert missing == set(), "add a row to a table of docs/guide/train.md"


@pytest.mark.parametrize("form", MaskFormat)
@pytest.mark.parametrize(
    "entry",
    [Input(Path("a.nii"), Kind.VOLUME), Input(Path("a.dcm"), Kind.SERIES), Input(Path("a.png"), Kind.PICTURE)],
    ids=lambda entry: entry.kind.name.lower(),
)
def test_a_mask_format_has_a_writer_and_suffixes(form: MaskFormat, entry: Input) -> None:
    assert form in WRITERS, "add the function that writes a volume's mask to WRITERS of prediction/mask_writers.py"
    try:
        formats = mask_formats(entry, [form])
    except UsageError:
        return
    try:
        targets_of(entry, Path("out"), formats=formats, probabilities=False)
    except KeyError:
        pytest.fail(
            f"add a suffix of {form.value} for {entry.kind.value} to prediction/outputs.py, or refuse it in "
            "mask_formats of inputs/input.py"
        )
