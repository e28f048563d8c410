"""A case of a work list, with what is known of it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from gliomaseg.data.tables import Row
from gliomaseg.serve.job import Job
from gliomaseg.serve.worklist.cases import WorkCase


@dataclass
class Entry:
    """A case of the list.

    Attributes:
        number: from 1, in the order of the names; the key of the API.
        case: its name and files.
        values: predicted Dice and volume; None until it is segmented.
        error: why it cannot be segmented.
        job: with its arrays; None if it has none.
        opened: a count that grows with each opening; 0 for a case that is not open.
        attempts: how often segmenting ended the process.
    """

    number: int
    case: WorkCase
    values: dict[str, Any] | None = None
    error: str | None = None
    job: Job | None = None
    opened: int = 0
    attempts: int = 0

    @property
    def urgency(self) -> tuple[int, float, int]:
        """A sort key: by predicted Dice, then those without one, then those not segmented, then failed ones."""
        dice = (self.values or {}).get("predicted_dice")
        group = 3 if self.error else 2 if self.values is None else 1 if dice is None else 0
        return group, dice or 0.0, self.number

    def take_values(self, job: Job) -> dict[str, Any]:
        """Keep the values of a finished job, and return them."""
        result = job.model_result or {}
        self.values = {name: result[name] for name in ("predicted_dice", "tumour_volume_ml")}
        self.error = None
        return self.values

    def described(self, row: Row, job: Job | None) -> dict[str, Any]:
        """Return the case as JSON.

        Args:
            row: of the manifest; empty if the case is not stored.
            job: of the case, if it is open.
        """
        values = self.values or {}
        state = "corrected" if row else "failed" if self.error else "segmented" if self.values else "waiting"
        changed = number_in(row.get("changed_voxels"))
        return {
            "number": self.number,
            "case": self.case.name,
            "state": state,
            "predicted_dice": values.get("predicted_dice"),
            "tumour_volume_ml": values.get("tumour_volume_ml"),
            "job": None if job is None else job.id,
            "error": self.error,
            "corrected_at": row.get("corrected_at"),
            "seconds": number_in(row.get("seconds")),
            "changed_voxels": None if changed is None else int(changed),
            "reader": row.get("reader"),
        }


def number_in(text: str | None) -> float | None:
    """Return the number in a cell; None if it is empty, or a person has written something else."""
    try:
        value = float(text or "nan")
    except ValueError:
        return None
    return value if math.isfinite(value) else None
