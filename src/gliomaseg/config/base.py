"""What every section of settings is, and how a tree of values becomes one."""

from __future__ import annotations

from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from gliomaseg.errors import ConfigError


class Settings(BaseModel):
    """A section of settings: unknown names are refused, values never change."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


S = TypeVar("S", bound=Settings)


def parse_settings(kind: type[S], tree: dict[str, Any], *, where: str) -> S:
    """Return settings of a kind, checked and complete.

    Raises:
        ConfigError: an unknown name or a value out of range; names the first one.
    """
    try:
        return kind.model_validate(tree)
    except ValidationError as fault:
        first = fault.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        what = first["msg"].removeprefix("Value error, ")
        # A whole section says nothing that the message does not.
        got = "" if isinstance(first["input"], dict) else f" (got {first['input']!r})"
        raise ConfigError(f"{place}: {what}{got}" if place else what, where=where) from fault
