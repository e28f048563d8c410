"""The base class of all settings, and their validation."""

from __future__ import annotations

from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from gliomaseg.errors import ConfigError


class Settings(BaseModel):
    """A section of settings: immutable, and without unknown names."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


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
        # The value of a whole section would only make the message long.
        got = "" if isinstance(first["input"], dict) else f" (got {first['input']!r})"
        raise ConfigError(f"{name}: {what}{got}" if name else what, where=where) from fault
