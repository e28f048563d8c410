"""Write an audit as one self-contained HTML file: a contact sheet with an image of each case.

All text from the data set is escaped. The page's content security policy forbids loading and sending.
"""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

import gliomaseg
from gliomaseg.data.audit import Audit
from gliomaseg.data.case_audit import CaseFindings, ExaminedCase, ShownSlice
from gliomaseg.data.case_list import Problem
from gliomaseg.errors import import_extra
from gliomaseg.overlays import overlay, with_square_pixels
from gliomaseg.ownership import OutputFolder
from gliomaseg.report.html import load_template, template_text
from gliomaseg.report.terminal import audit_facts, verdict

SIDE_PX = 224
SHOWN_REASONS = 3
QUALITY = 80
MARGIN = 0.04  # of the image's side, around the head
DARK = 24  # levels of the background


@dataclass(frozen=True)
class Tile:
    """One case of the contact sheet.

    Attributes:
        findings: of the audit.
        src: its image as a data URL; None if no file could be read.
        amount: the tumour's size, for people.
        place: which slice is shown.
        problems: reasons why training on the case is unsafe.
        warnings: reasons to check the case.
    """

    findings: CaseFindings
    src: str | None
    amount: str
    place: str
    problems: tuple[str, ...]
    warnings: tuple[str, ...]

    @property
    def rank(self) -> tuple[int, str]:
        """Sorts cases with problems first, then those with warnings, then those without tumour."""
        marks = (self.problems, self.warnings, not self.findings.tumour_voxels)
        return next((place for place, mark in enumerate(marks) if mark), len(marks)), self.findings.case


@dataclass
class AuditPage:
    """Draws one case after the other while they are audited, then writes the page.

    Attributes:
        out: the HTML file to write.
        overwrite: whether an earlier page of that name is replaced.

    Raises:
        OutputExistsError: `out` exists and `overwrite` is not set, or it is not a page of ours or was changed since.
        MissingExtraError: Jinja is not installed.
    """

    out: Path
    overwrite: bool = False
    _images: dict[str, tuple[str, str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check that the page can be written, before the data set is read."""
        import_extra("jinja2", "report", purpose="a page")
        self._folder.require_replaceable(self.out, overwrite=self.overwrite)

    @property
    def _folder(self) -> OutputFolder:
        return OutputFolder(self.out.parent, "audit", option="--html")

    def add(self, examined: ExaminedCase) -> None:
        """Draw one case."""
        if shown := examined.shown:
            place = f"slice {shown.number}" + (f"/{shown.slices}" if shown.slices else "")
            self._images[examined.case.name] = (draw_thumbnail(shown), place)

    def write(self, findings: Audit) -> None:
        """Write the page.

        Raises:
            ResourceError: the disk is full.
        """
        self._folder.write_text(self.out, render(findings, self._images))


def render(findings: Audit, images: dict[str, tuple[str, str]]) -> str:
    """Return the page.

    Args:
        findings: of the audit.
        images: by the name of a case, its image as a data URL and which slice it shows.
    """
    template = load_template("audit.html")
    general = [list(entries) for entries in (findings.problems, findings.warnings)]
    tiles = []
    copies = _copies(findings)
    for one in findings.by_case:
        problems, warnings = (_take(entries, one) for entries in general)
        src, place = images.get(one.case, (None, ""))
        tiles.append(Tile(one, src, amount_text(one), place, (*problems, *copies.get(one.case, ())), warnings))
    page_text: str = template.render(
        findings=findings,
        name="/".join(Path(findings.root).resolve().parts[-2:]),
        verdict=verdict(findings),
        facts=audit_facts(findings),
        problems=general[0],
        warnings=general[1],
        shown=SHOWN_REASONS,
        tiles=sorted(tiles, key=lambda tile: tile.rank),
        style=template_text("audit.css"),
        version=gliomaseg.__version__,
    )
    return page_text


def _take(entries: list[Problem], findings: CaseFindings) -> tuple[str, ...]:
    """Remove the problems of one case from the list, and return their texts."""
    own = [entry for entry in entries if entry.where == findings.case or findings.case in Path(entry.where).parts]
    entries[:] = [entry for entry in entries if entry not in own]
    return tuple(_reason(entry, findings.case) for entry in own)


def _copies(findings: Audit) -> dict[str, list[str]]:
    """Return a reason for each case but the first that shares slices: the problem is listed at the first one."""
    names = {one.case for one in findings.by_case}
    reasons: dict[str, list[str]] = {}
    for group in findings.duplicates:
        first, *others = dict.fromkeys(where if where in names else where.rpartition("/")[0] for where in group)
        for name in others:
            reasons.setdefault(name, []).append(f"shares slices with {first}")
    return {name: list(dict.fromkeys(texts)) for name, texts in reasons.items()}


def _reason(entry: Problem, case: str) -> str:
    """Return what is wrong with a case, or with one of its files, whose name is shortened by that of the case."""
    name = Path(entry.where).name.replace(case, "\u2026", 1)
    return entry.what if entry.where == case else f"{name}: {entry.what}"


def amount_text(findings: CaseFindings) -> str:
    """Return the size of a case's tumour, in ml if the spacing is known."""
    if not findings.slices:
        return "not readable"
    if not findings.tumour_voxels:
        return "no tumour"
    if findings.tumour_ml is None:
        return f"{findings.tumour_voxels:,} pixels"
    return f"{findings.tumour_ml:.1f} ml"


def draw_thumbnail(shown: ShownSlice) -> str:
    """Return a slice, cut to the head, with the outline of the mask, as the data URL of a small JPEG."""
    rows, columns = _head(shown)
    image, mask = with_square_pixels(
        shown.image[rows, columns], shown.mask[rows, columns], shown.pixel_mm, side_px=SIDE_PX
    )
    content = io.BytesIO()
    # Full colour resolution: the outline is one pixel wide.
    Image.fromarray(overlay(image[..., None], reference=mask)).save(
        content, "JPEG", quality=QUALITY, subsampling=0, optimize=True
    )
    return f"data:image/jpeg;base64,{base64.b64encode(content.getvalue()).decode('ascii')}"


def _head(shown: ShownSlice) -> tuple[slice, slice]:
    """Return the rows and columns of a slice that have something bright or a mask, with a margin."""
    spans = []
    filled = (shown.image > DARK) | shown.mask
    for across, length in ((1, filled.shape[0]), (0, filled.shape[1])):
        lines = np.flatnonzero(np.count_nonzero(filled, axis=across) > 0.01 * filled.shape[across])
        masked = np.flatnonzero(shown.mask.any(axis=across))
        lines = np.concatenate([lines, masked])
        if not lines.size:
            return slice(None), slice(None)
        margin = round(MARGIN * length)
        spans.append(slice(max(0, int(lines.min()) - margin), min(length, int(lines.max()) + 1 + margin)))
    return spans[0], spans[1]
