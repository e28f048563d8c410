"""The sequence of an MR series by its header: FLAIR, T1 before and after contrast, or T2."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gliomaseg.formats.dicom.values import item, items, number, numbers, text, value_of, words
from gliomaseg.naming import Role, parse_name
from gliomaseg.types import Sequence

if TYPE_CHECKING:
    from pydicom import Dataset

SEQUENCE_NAMES = {
    Sequence.FLAIR: "FLAIR",
    Sequence.T1: "T1 before contrast",
    Sequence.T1CE: "T1 after contrast",
    Sequence.T2: "T2",
}
"""The names of the sequences in messages."""
# "Dark fluid" is Siemens' name for FLAIR. Only letters are compared: scanners write spaces, hyphens and underscores.
_NAMES = ("flair", "darkfluid", "dafl")
_DERIVED_IMAGE_TYPES = {"LOCALIZER", "PROJECTION IMAGE", "MIP"}
# FLAIR has an inversion time of 1.3 s or more, which darkens fluid, and a long echo time, which brightens lesions.
_MIN_INVERSION_MS = 1_300.0
_MIN_ECHO_MS = 70.0
# With a shorter echo time a series is not FLAIR, in spite of its name: T1 FLAIR.
_NO_ECHO_MS = 50.0
_NO_AGENT = ("", "NO", "NONE", "N", "WITHOUT", "0")
_LONGEST_T1_ECHO_MS = 50.0


def sequence_of(header: Dataset) -> Sequence | None:
    """Return the sequence of an MR file by its names, contrast agent and times; None if it is another or unknown one.

    T1 is recognised without a name from a spin echo with a short repetition time, or from a gradient echo with the
    inversion time of MPRAGE. A contrast agent makes it contrast-enhanced T1.
    """
    if looks_like_flair(header):
        return Sequence.FLAIR
    role = _role_by_names(header)
    if is_derived(header) or role in (Role.OTHER, Role.MASK, Role.FLAIR):
        return None
    if role is Role.T2:
        return Sequence.T2
    echo_ms, _ = echo_and_inversion_ms(header)
    if role is None and not _has_t1_times(header):
        return None
    if echo_ms is not None and echo_ms > _LONGEST_T1_ECHO_MS:
        return None
    return Sequence.T1CE if role is Role.T1CE or _has_contrast(header) else Sequence.T1


def _role_by_names(header: Dataset) -> Role | None:
    """Return the role by the first name that has one; T1 after contrast if either name of T1 contains it."""
    names = (text(header, keyword) for keyword in ("SeriesDescription", "ProtocolName"))
    roles = [role for name in names if (role := parse_name(name).role) is not None]
    if roles[:1] == [Role.T1] and Role.T1CE in roles:
        return Role.T1CE
    return roles[0] if roles else None


def _has_contrast(header: Dataset) -> bool:
    if items(header, "ContrastBolusAgentSequence"):  # of multi-frame files
        return True
    return value_of(header, "ContrastBolusAgent") is not None and text(header, "ContrastBolusAgent").upper() not in (
        _NO_AGENT
    )


def _has_t1_times(header: Dataset) -> bool:
    echo_ms, inversion_ms = echo_and_inversion_ms(header)
    repetition_ms = number(header, "RepetitionTime")
    kinds = set(words(header, "ScanningSequence"))
    if echo_ms is None or repetition_ms is None or "EP" in kinds:
        return False
    if "SE" in kinds and inversion_ms is None:
        return echo_ms < 30 and 300 <= repetition_ms <= 1_000
    return "GR" in kinds and inversion_ms is not None and 500 <= inversion_ms <= 1_400 and echo_ms < 10


def looks_like_flair(header: Dataset) -> bool:
    """Return whether name and parameters look like FLAIR.

    The name is decisive unless the times contradict it (T1 FLAIR is not FLAIR here). Without such a name, the
    inversion time must be 1,300 ms or more and the echo time 70 ms or more.
    """
    if is_derived(header):
        return False
    echo_ms, inversion_ms = echo_and_inversion_ms(header)
    short_echo = echo_ms is not None and echo_ms < _NO_ECHO_MS
    short_inversion = inversion_ms is not None and inversion_ms < _MIN_INVERSION_MS
    if short_echo or short_inversion:
        return False
    if any(name in _letters(header) for name in _NAMES):
        return True
    if inversion_ms is None or echo_ms is None:
        return False
    return inversion_ms >= _MIN_INVERSION_MS and echo_ms >= _MIN_ECHO_MS


def is_derived(header: Dataset) -> bool:
    """Return whether an image is a localiser or a projection."""
    return bool(_DERIVED_IMAGE_TYPES & set(words(header, "ImageType")))


def _letters(header: Dataset) -> str:
    both = text(header, "SeriesDescription") + " " + text(header, "ProtocolName")
    return "".join(letter for letter in both.lower() if letter.isalpha())


def echo_and_inversion_ms(header: Dataset) -> tuple[float | None, float | None]:
    """Return echo and inversion time in ms; None for a missing value, for which scanners may write 0."""
    inversion, echo = number(header, "InversionTime"), number(header, "EchoTime")
    groups = [item(header, f"{kind}FunctionalGroupsSequence") for kind in ("Shared", "PerFrame")]
    modifier, timing = (
        item(groups[0], keyword) or item(groups[1], keyword) for keyword in ("MRModifierSequence", "MREchoSequence")
    )
    if modifier is not None and value_of(modifier, "InversionTimes") is not None:
        times = numbers(modifier, "InversionTimes", 1)
        inversion = None if times is None else float(times[0])
    if timing is not None:
        echo = number(timing, "EffectiveEchoTime")
    return echo or None, inversion or None
