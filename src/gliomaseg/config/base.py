"""The base classes of settings and of result documents, and their validation."""

from __future__ import annotations

from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from gliomaseg.errors import ConfigError

LONGEST_TEXT = 2000


class Settings(BaseModel):
    """A section of settings: immutable, and without unknown names."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


def printable_text(text: str) -> str:
    """Return a text without control characters, cut to 2000 characters; surrogates become question marks."""
    kept = "".join(c if c.isprintable() else " " for c in text[:LONGEST_TEXT])
    return " ".join(kept.encode("utf-8", "replace").decode("utf-8").split())


Text = Annotated[str, AfterValidator(printable_text)]
Index = Annotated[int, Field(ge=0, le=10**9)]


class DocumentPart(BaseModel):
    """A part of a document that may come from anybody or from another version.

    Unknown keys are ignored. Null counts as missing if the default is not null.
    """

    model_config = ConfigDict(strict=True, extra="ignore", frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _without_nulls(cls, given: Any) -> Any:
        if not isinstance(given, dict):
            return given
        optional = {name for name, field in cls.model_fields.items() if field.default is None}
        return {k: v for k, v in given.items() if v is not None or k in optional}


S = TypeVar("S", bound=Settings)

Tree = dict[str, Any]
"""Parsed JSON or TOML before its validation."""


def parse_settings(kind: type[S], tree: Tree, *, where: str) -> S:
    """Return validated settings; missing values get their defaults.

    Raises:
        ConfigError: a name is unknown or a value is out of range; the message names the first one.
    """
    try:
        return kind.model_validate(tree)
    except ValidationError as fault:
        first = fault.errors()[0]
        name = ".".join(str(part) for part in first["loc"])
        what = first["msg"].removeprefix("Value error, ")
        if first["type"] == "union_tag_invalid":  # the key that chooses the class of a section
            tag, tags = first["ctx"]["tag"], first["ctx"]["expected_tags"].replace("'", "")
            key = f"{name}.{first['ctx']['discriminator'].strip(chr(39))}"
            raise ConfigError(f"{key} is {tag!r}, expected one of {tags}", where=where) from fault
        # The value of a whole section would only make the message long.
        got = "" if isinstance(first["input"], dict) else f" (got {first['input']!r})"
        raise ConfigError(f"{name}: {what}{got}" if name else what, where=where) from fault
