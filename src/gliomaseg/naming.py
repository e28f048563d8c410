"""File names of MRI data sets and hospitals: which case a file belongs to, and which image it is.

The tables below contain the names of BIDS, BraTS 2012 to 2025, UCSF-PDGM, UPENN-GBM, REMBRANDT, TCGA-GBM and TCGA-LGG,
RSNA, MSSEG, nnU-Net, and the series names of scanners, such as `t2_tirm_tra_dark-fluid`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cache


class Role(StrEnum):
    """The image that a file contains, by its name."""

    FLAIR = "flair"
    T1 = "t1"
    T1CE = "t1ce"
    T2 = "t2"
    MASK = "mask"
    OTHER = "other"


@dataclass(frozen=True)
class FileName:
    """The meaning of a file name.

    Attributes:
        case: the part that identifies the case, as it is written; empty if the name has a role only.
        role: None if no word of the name is in the tables.
        is_copy: whether the name marks a processed copy of another image, such as `_FLAIR_bias`.
    """

    case: str
    role: Role | None
    is_copy: bool = False


_PLANE = r"(?:ax|axial|sag|cor|tra|3d|2d)"
_BODY = r"(?:ax|axial|auto|brain|expert|final|gold|head|lesion|liver|manual|ref|reference|tumou?r|whole|wm)"
_WORDS: tuple[tuple[str, str], ...] = (
    # The first row that matches a whole word decides.
    (
        "strong mask",
        rf"{_BODY}?(?:a|d|prob)?(?:seg|segm|segs|segmentations?|masks?|labels?|labelmaps?)(?:tr|ts|va)?\d*",
    ),
    ("strong mask", r"gt\d*|groundtruths?|truth|manual(?:ly)?(?:corrected|segmentation|mask)\d*|glistrboost|wmh"),
    ("weak mask", rf"(?:{_BODY}?rois?|lesions?|consensus|manual|annotations?|contours?)\d*"),
    ("tumour", r"tumou?r\d*"),
    ("t1", r"t1w?flair"),
    ("flair", r".*flair.*|t2f|(?:t2)?tirm.*|darkfluid|dafl"),
    (
        "other",
        r"t2(?:star|s|\*)w?|t[12](?:map|rho)|(?:pd|dp)w?|pdt2|adc|e?adc(?:map)?|e?dwi.*|dti|swi|asl|hardi|trace.*",
    ),
    ("other", r"b0|b\d{3,4}|bold|sbref|epi|angio|mra|tof|r?cb[vf]|perf|perfusion|dsc|dce|phase|locali[sz]er|scout"),
    ("other", r"fieldmap|magnitude\d?|mrs|ct|cta|pet"),
    (
        "t1ce",
        rf"{_PLANE}?(?:t1w?(?:c|ce|cw|gd|gad|gado|km|ks|post|contrast|enhanced|\+c?)w?|(?:ce|c)-?t1w?|gado|t1cont)",
    ),
    ("t1", rf"{_PLANE}?t1(?:w|wi|n|pre|native|weighted|tse|se|tfe|ffe|gre|f?spgr|mprage|mpr|3d|2d|ax|sag|cor|tra)*"),
    ("t1", r"mprage|mp2rage|bravo|f?spgr"),
    ("t2", rf"{_PLANE}?t2(?:w|wi|weighted|tse|fse|frfse|se|blade|propeller|space|3d|2d|ax|sag|cor|tra)*"),
    ("contrast", r"c|ce|\+c|gd|gad|gadolinium|post|postcontrast|postgd|contrast|km|kontrast|mdc|enhanced"),
    ("target", r"to|in|on|2|reg2|regto|registered2|space"),
    ("copy", r"bias|biascorr|biascorrected|n4"),
    ("qualifier", rf"{_PLANE}|transversal|sagittal|coronal|tse|fse|fs|fatsat|spc|space|cube|vista|iso|isovox|brain"),
    ("qualifier", r"(?:un|skull)?stripped|preproc|preprocessed|processed|weighted|automated|approx|parenchyma"),
    # Details do not end the name of a case: P2 may be a patient.
    (
        "detail",
        r"p2|se|gre|ir|pp|seq|native|pre|ground|mr|mri|img|image|scan|lps|rsri|reg|registered|norm|normali[sz]ed",
    ),
)
_TABLE = tuple((kind, re.compile(pattern)) for kind, pattern in _WORDS)
_WORD = re.compile(r"[^-_. ()\[\],;]+")
_TWO_WORDS = {
    ("dark", "fluid"): "darkfluid",
    ("da", "fl"): "dafl",
    ("ground", "truth"): "groundtruth",
    ("t2", "star"): "t2star",
    ("t1", "flair"): "t1flair",
    ("t1w", "flair"): "t1flair",
    ("proton", "density"): "pd",
    ("t2", "space"): "t2space",
    ("t2w", "space"): "t2space",
}
ENTITY = re.compile(r"([A-Za-z]+)-([^_]+)")
_WITHOUT_ROLE = ("", "detail", "target", "contrast", "copy")
_SEQUENCES = frozenset({"flair", "t1", "t1ce", "t2", "other"})


def parse_name(stem: str) -> FileName:
    """Return the case and the role in a file's or folder's name.

    Args:
        stem: the name without its suffix.

    >>> parse_name("BraTS-GLI-00000-000-t1c")
    FileName(case='BraTS-GLI-00000-000', role=<Role.T1CE: 't1ce'>, is_copy=False)
    >>> parse_name("sub-01_ses-2_acq-3D_FLAIR")
    FileName(case='sub-01_ses-2', role=<Role.FLAIR: 'flair'>, is_copy=False)
    >>> parse_name("T2_FLAIR").case, parse_name("scan").role
    ('', None)
    """
    return _parse_bids(stem) or _parse_words(stem)


def channel_of(stem: str) -> tuple[str, int] | None:
    """Return the case and the channel of a name of nnU-Net, such as `BRATS_001_0003`; None for other names."""
    match = re.fullmatch(r"(.+)_(000\d)", stem)
    return (match[1], int(match[2])) if match else None


def split_entities(stem: str) -> tuple[dict[str, str], str]:
    """Return the entities of a name of BIDS, with keys in small letters, and the other words.

    >>> split_entities("sub-01_acq-3D_FLAIR")
    ({'sub': '01', 'acq': '3D'}, 'FLAIR')
    """
    parts = [(part, ENTITY.fullmatch(part)) for part in stem.split("_")]
    entities = {match[1].lower(): match[2] for _, match in parts if match}
    return entities, "_".join(part for part, match in parts if not match)


def _parse_bids(stem: str) -> FileName | None:
    """Return the meaning of `sub-<label>[_<entity>-<label>...]_<suffix>`; None for other names."""
    if not re.match(r"sub-[A-Za-z0-9]+(?:_|$)", stem, re.IGNORECASE):
        return None
    entities, suffix = split_entities(stem)
    case = "_".join(part for part in stem.split("_") if part.lower().startswith(("sub-", "ses-")))
    found = _parse_words(suffix)
    role = Role.T1CE if found.role is Role.T1 and "ce" in entities else found.role
    return FileName(case, role, found.is_copy or bool(entities.keys() & {"space", "desc"}))


def _parse_words(stem: str) -> FileName:
    words = _merged([(match[0].lower(), match.start(), match.end()) for match in _WORD.finditer(stem)], stem)
    kinds = [_kind_of(word) for word, _, _ in words]
    if words and words[0][0] == "vsd":  # BraTS 2012 to 2015: OT is the mask by experts
        kinds = ["strong mask" if word == "ot" else kind for (word, _, _), kind in zip(words, kinds, strict=True)]
    # "anna_tumour" and "tumour_mask" are masks, "tumour_07" may be a scan.
    tumour = "weak mask" if "strong mask" in kinds or kinds[-1:] == ["tumour"] else ""
    kinds = [tumour if kind == "tumour" else kind for kind in kinds]
    role = _role_of(kinds)
    if role is None:
        return FileName(stem, None, "copy" in kinds)
    first = next(k for k, kind in enumerate(kinds) if kind not in _WITHOUT_ROLE)
    if any(kind != "contrast" or len(word) == 1 for (word, _, _), kind in zip(words[:first], kinds, strict=False)):
        return FileName(stem[: words[first - 1][2]], role, "copy" in kinds)
    rest = [stem[start:end] for (_, start, end), kind in zip(words, kinds, strict=True) if not kind]
    return FileName("_".join(rest), role, "copy" in kinds)


def _merged(words: list[tuple[str, int, int]], stem: str) -> list[tuple[str, int, int]]:
    """Join two words that have one meaning, such as "dark-fluid"; each word has its first and last position."""
    merged: list[tuple[str, int, int]] = []
    for word, start, end in words:
        is_entity = word == "space" and stem[end : end + 1] == "-"  # "T2_space-FLAIR" lies in the space of FLAIR
        if merged and not is_entity and (joined := _TWO_WORDS.get((merged[-1][0], word))):
            merged[-1] = (joined, merged[-1][1], end)
        else:
            merged.append((word, start, end))
    return merged


@cache
def _kind_of(word: str) -> str:
    return next((kind for kind, pattern in _TABLE if pattern.fullmatch(word)), "")


def _role_of(kinds: Sequence[str]) -> Role | None:
    """Return the role of a name from the kinds of its words."""
    if "strong mask" in kinds:
        return Role.MASK
    named = [k for k, kind in enumerate(kinds) if kind in _SEQUENCES or kind == "weak mask"]
    if not named:
        return None
    if kinds[named[-1]] == "weak mask" or (kinds[named[0]] == "weak mask" and len(named) == 1):
        return Role.MASK
    return _sequence_of(kinds, [k for k in named if kinds[k] in _SEQUENCES])


def _sequence_of(kinds: Sequence[str], sequences: Sequence[int]) -> Role:
    """Return the role of a name with sequences at some positions."""
    if any(kinds[k] == "target" for k in range(sequences[0], sequences[-1])):  # "T1_to_FLAIR" contains T1
        sequences = sequences[:1]
    roles = {kinds[k] for k in sequences}
    if "flair" in roles:
        return Role.FLAIR
    if "t1ce" in roles:
        return Role.T1CE
    if "t1" in roles:
        position = next(k for k in sequences if kinds[k] == "t1")
        beside = {kind for k, kind in enumerate(kinds) if k == position - 1 or k > position}
        return Role.T1CE if "contrast" in beside else Role.T1
    return Role(kinds[sequences[0]])
