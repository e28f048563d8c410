"""Names of volumes in the Brain Imaging Data Structure: which image or mask a file is.

Source: https://bids-specification.readthedocs.io (entities; derivatives of imaging: masks and segmentations).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from gliomaseg.data.file_listing import PREDICTED
from gliomaseg.formats import stem_of
from gliomaseg.naming import ENTITY, Role, parse_name, split_entities

_IMAGE_ENTITIES = ("acq", "run", "rec", "part", "echo")  # they distinguish images of one sequence
_CONTRAST = re.compile(r"ce|gd|gad.*|post.*|.*contrast", re.IGNORECASE)
_MASK_SUFFIX = re.compile(r"(?:.*_)?(?:mask|dseg|roi|seg|label|labels|lesion|tumou?r)", re.IGNORECASE)
_TUMOUR = re.compile(r"lesion|tumou?r|gliom|glioblastoma|neoplasm|abnormal|o?edema|\bwt\b|wmh", re.IGNORECASE)
_OTHER_TISSUE = re.compile(
    r"brain|head|skull|parenchyma|ventric|tissue|aparc|aseg|hippo|cortex|\b(?:bet|csf|gm|wm|healthy)\b", re.IGNORECASE
)
_TISSUE_PIPELINES = re.compile(
    r"[a-z]?mri(?:prep|qc)|qsiprep|aslprep|f(?:ree|ast)surfer|synthseg|cat12|hd-?bet|ants|fsl|spm", re.IGNORECASE
)
NATIVE_SPACES = frozenset({"", "flair", "individual", "native", "orig", "original", "scanner", "subject"})


@dataclass(frozen=True)
class BidsVolume:
    """A volume and the meaning of its name.

    Attributes:
        entities: of the name, in small letters.
        suffix: the other words of the name, such as `FLAIR` or `lesion_mask`.
    """

    file: Path
    entities: Mapping[str, str]
    suffix: str

    @cached_property
    def role(self) -> Role | None:
        """The sequence, or a mask; None for unknown words."""
        role = parse_name(stem_of(self.file)).role
        has_contrast = _CONTRAST.fullmatch(self.entities.get("acq", ""))
        return Role.T1CE if role is Role.T1 and has_contrast else role

    @cached_property
    def is_copy(self) -> bool:
        """Whether an image is a processed copy, by its name."""
        return bool(self.entities.keys() & {"space", "desc"}) or parse_name(stem_of(self.file)).is_copy

    @property
    def space(self) -> str:
        """The entity `space`, empty without."""
        return self.entities.get("space", "")

    @property
    def is_mask(self) -> bool:
        """Whether the name is that of a mask or a label map."""
        return self.role is Role.MASK or _MASK_SUFFIX.fullmatch(self.suffix) is not None

    @property
    def is_probability(self) -> bool:
        """Whether the name is that of a map of probabilities."""
        return re.search("probseg|probability", self.suffix, re.IGNORECASE) is not None

    @property
    def is_tumour(self) -> bool:
        """Whether the words of a mask name a tumour."""
        return _TUMOUR.search(self.words) is not None

    @property
    def is_on_flair(self) -> bool:
        """Whether no word of a mask's suffix names another sequence than FLAIR."""
        roles = {parse_name(word).role for word in self.suffix.split("_")}
        return Role.FLAIR in roles or not roles & {Role.T1, Role.T1CE, Role.T2, Role.OTHER}

    @property
    def distinction(self) -> str:
        """The entities that distinguish an image from others of its sequence, as they are written."""
        found = ((match[1].lower(), match[0]) for match in ENTITY.finditer(stem_of(self.file)))
        return "_".join(text for key, text in found if key in _IMAGE_ENTITIES)

    @property
    def words(self) -> str:
        """The words that name the structure of a mask."""
        return " ".join([self.entities.get("label", ""), self.entities.get("desc", ""), self.suffix.replace("_", " ")])

    def is_of(self, image: BidsVolume) -> bool:
        """Return whether a mask may belong to an image: no entity of its name contradicts the image."""
        if self.space not in (*NATIVE_SPACES, image.space):
            return False
        return all(self.entities.get(key) in (None, image.entities.get(key)) for key in _IMAGE_ENTITIES)

    def has_entities_of(self, image: BidsVolume) -> bool:
        """Return whether the entities that distinguish images are equal."""
        return all(self.entities.get(key) == image.entities.get(key) for key in _IMAGE_ENTITIES)


def parse_volume(file: Path) -> BidsVolume:
    """Return a volume with the meaning of its name."""
    entities, suffix = split_entities(stem_of(file))
    return BidsVolume(file, {key: value.lower() for key, value in entities.items()}, suffix)


def other_mask_reason(mask: BidsVolume, pipeline: Sequence[str]) -> str:
    """Return why a mask is not one of the tumour, by its name; empty if it may be."""
    if "gliomaseg" in (name.lower() for name in pipeline):
        return PREDICTED
    if mask.is_tumour:
        return ""
    if _OTHER_TISSUE.search(mask.words):
        return "is a mask of another structure than the tumour"
    if label := mask.entities.get("label"):
        return f"is a mask of {label}"
    if any(_TISSUE_PIPELINES.match(name) for name in pipeline):
        return f"is a mask by {pipeline[0]}, which does not outline tumours"
    return ""
