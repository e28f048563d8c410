"""The JSON documents of the API, for its checks and its OpenAPI description."""

from __future__ import annotations

import re
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

LONGEST_SERIES = 64
"""Characters of the field `series`: those of a UID."""
SERIES_FIELDS = ("series", "t1_series", "t1ce_series")
"""The fields of the form that name a DICOM series."""
ASK = "series"
"""The value of the field `ask`."""
BINARY = {"type": "string", "format": "binary"}


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the responses of a router that refuses requests with these statuses."""
    return {status: {"model": Problem} for status in statuses}


def form_schema(required: str, **fields: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of a form that has one required field, others, the series, and `ask`."""
    series = {"type": "string", "minLength": 1, "maxLength": LONGEST_SERIES}
    properties = fields | dict.fromkeys(SERIES_FIELDS, series) | {"ask": {"type": "string", "enum": [ASK]}}
    return {"type": "object", "properties": properties, "required": [required], "additionalProperties": False}


def allowed_methods(schema: dict[str, Any], path: str) -> list[str]:
    """Return the methods that an OpenAPI description has for a path, sorted; empty for another path.

    >>> allowed_methods({"paths": {"/a/{x}": {"get": {}, "delete": {}}, "/a/b": {"put": {}}}}, "/a/b")
    ['PUT']
    """
    fitting = [known for known in schema["paths"] if re.fullmatch(re.sub(r"{\w+}", "[^/]+", known), path)]
    if not fitting:
        return []
    return sorted(method.upper() for method in schema["paths"][min(fitting, key=lambda known: known.count("{"))])


class Problem(BaseModel):
    """Why a request is refused."""

    error: str = Field(examples=["there is no such job; it may have expired"])


class Choice(BaseModel):
    """One of the scans of an upload, or the series of a study that are FLAIR, T1 and T1ce."""

    model_config = ConfigDict(
        extra="forbid", strict=True, json_schema_extra={"examples": [{"choice": 2}, {"choice": 2, "t1": 1}]}
    )
    choice: int = Field(ge=1, le=100_000)
    t1: int | None = Field(default=None, ge=1, le=100_000)
    t1ce: int | None = Field(default=None, ge=1, le=100_000)

    @property
    def others(self) -> dict[str, int]:
        """The numbers of T1 and T1ce that are given."""
        return {name: number for name, number in (("t1", self.t1), ("t1ce", self.t1ce)) if number is not None}


class JobDocument(BaseModel):
    """A job."""

    id: str = Field(examples=["q3wDf0bqNn2y7wq0cV1x9A"])
    name: str = Field(examples=["flair.nii.gz"])
    state: str = Field(examples=["done"], description="queued, reading, choose, segmenting, done or failed")
    progress: int = Field(ge=0, le=100, description="per cent")
    created: str = Field(examples=["2026-11-29T08:00:00+00:00"])
    expires: str = Field(examples=["2026-11-29T09:00:00+00:00"])
    choices: list[dict[str, Any]] = Field(
        description="if the state is choose: number, title, voxels, series, sequence (by its header) and usable_as of "
        "each scan, or of each series of a study"
    )
    error: str | None
    result: dict[str, Any] | None
    reference: str | None = Field(examples=["expert.nii.gz"], description="the name of the reference mask")


class ModelList(BaseModel):
    """The bundled models."""

    models: list[dict[str, Any]]


class Health(BaseModel):
    """Whether the server answers, and how many jobs there are."""

    status: str = Field(examples=["ok"])
    queued: int
    running: int
