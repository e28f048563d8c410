"""What a series of our own says of itself."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Acquisition:
    """What the header of a series says besides its geometry; the default is a FLAIR of nobody.

    Attributes:
        description: SeriesDescription and ProtocolName.
        patient: PatientName and PatientID; the UIDs follow from it, the number and the description.
        number: SeriesNumber.
        repetition_ms: RepetitionTime.
        echo_ms: EchoTime.
        inversion_ms: InversionTime; None for a sequence without an inversion.
    """

    description: str = "FLAIR phantom"
    patient: str = "PHANTOM"
    number: int = 1
    repetition_ms: float = 9_000.0
    echo_ms: float = 120.0
    inversion_ms: float | None = 2_500.0
