"""Work of the worker process on a case of a work list: store its mask in the user's folder, and read it again."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gliomaseg.data.case import Case, Slice, VolumeFile, Volumes, read_case, with_sequences
from gliomaseg.data.case_list import DataOptions
from gliomaseg.data.layouts import manifest
from gliomaseg.data.tables import Row
from gliomaseg.errors import DataError, FormatError
from gliomaseg.formats import read_pages, write_picture, write_volume
from gliomaseg.inputs import Input, Kind, LoadedScan, load_input, with_series
from gliomaseg.prediction import ScanPredictor
from gliomaseg.prediction.mask_writers import mask_levels
from gliomaseg.prediction.predict import MAX_BYTES
from gliomaseg.serve import tasks
from gliomaseg.serve.scans import chosen_scan
from gliomaseg.serve.sources import has_changed_source
from gliomaseg.serve.view import View
from gliomaseg.serve.worklist.cases import WorkCase
from gliomaseg.serve.worklist.correction_folder import CorrectionFolder
from gliomaseg.types import Mask, Sequence


def store(folder: Path, *, out: str, case: str, version: str, about: Row) -> None:
    """Write the mask of a job, then its row of the manifest. If the row cannot be written, the former mask stays.

    Args:
        folder: of the job.
        out: the folder of the user.
        case: name of the case.
        version: `corrected` or `model`.
        about: the columns of the correction.

    Raises:
        OutputExistsError: the mask in the folder was changed by another program.
        DataError: the scan has changed since it was segmented, or the manifest is damaged.
        GliomasegError: a file cannot be read or written.
    """
    target = CorrectionFolder(Path(out))
    target.rows()  # a fault of the manifest is found before the mask is replaced
    if has_changed_source(folder):
        raise DataError("scan has changed since it was segmented", where=case, cure="open it again")
    document = json.loads((folder / "prediction.json").read_text("utf-8"))
    work = WorkCase(case, chosen_scan(folder, document["number"]))
    loaded = load_input(with_series(replace(work.entry, t1=None, t1ce=None), document["series"]), max_bytes=MAX_BYTES)
    mask: Mask = np.load(folder / "arrays" / f"{version}.npy")
    if work.entry.kind is Kind.PAGES:  # their rows name files that are written here
        about = about | {"scan": manifest.relative_path(work.entry.path, target.folder)}
    known = work.examination
    described = Case(case, known.patient, known.site, date=known.date)
    paths = [target.mask_of(case)] if work.entry.has_affine else [target.slices_of(case), target.pages_of(case)]
    target.masks.require_replaceable(*paths, overwrite=True)
    with target.put_back_on_failure(*paths):
        if work.entry.has_affine:
            described = replace(described, volumes=_write_volume(target, work, loaded, mask))
        else:
            described = replace(described, slices=_write_slices(target, work, loaded, mask))
        target.add(described, about)


def _write_volume(target: CorrectionFolder, work: WorkCase, loaded: LoadedScan, mask: Mask) -> Volumes:
    if loaded.grid is None:
        raise TypeError("a volume has a grid")
    file = target.mask_of(work.name)
    with target.masks.new_file(file) as temporary:
        write_volume(temporary, mask.view(np.uint8), loaded.grid, description="mask")
    series = None if loaded.series is None else str(loaded.series.headers[0].SeriesInstanceUID)
    images = {Sequence.FLAIR: VolumeFile(work.entry.path, series=series)}
    for sequence, entry in ((Sequence.T1, work.entry.t1), (Sequence.T1CE, work.entry.t1ce)):
        if entry is not None:
            images[sequence] = VolumeFile(entry.path)
    return Volumes(images, VolumeFile(file))


def _write_slices(target: CorrectionFolder, work: WorkCase, loaded: LoadedScan, mask: Mask) -> tuple[Slice, ...]:
    folder, numbers = target.slices_of(work.name), _numbers(work.entry, len(mask))
    with target.masks.new_folder(folder, overwrite=True) as inside:
        for k, (number, plane) in enumerate(zip(numbers, mask, strict=True)):
            orientation = loaded.orientations[min(k, len(loaded.orientations) - 1)]
            file = inside / f"{work.name}_{number}_mask.tif"
            write_picture(file, mask_levels(plane), orientation=orientation)
    masks = [folder / f"{work.name}_{number}_mask.tif" for number in numbers]
    images = _write_pages(target, work, numbers) if work.entry.kind is Kind.PAGES else work.entry.pictures
    return tuple(Slice(*entry) for entry in zip(numbers, images, masks, strict=True))


def _numbers(entry: Input, count: int) -> tuple[int, ...]:
    """Return the numbers of the slices in the manifest, which takes no negative ones."""
    own = entry.numbers
    is_usable = len(own) == count and all(0 <= number < 10**manifest.MOST_DIGITS for number in own)
    return own if is_usable else tuple(range(1, count + 1))


def _write_pages(target: CorrectionFolder, work: WorkCase, numbers: tuple[int, ...]) -> list[Path]:
    """Write the pages of a TIFF as files: a manifest has no other form for them."""
    pages: NDArray[Any] = read_pages(work.entry.path, max_bytes=MAX_BYTES)
    if pages.dtype != np.uint8:
        what = f"has pages of {pages.dtype}, expected uint8"
        raise FormatError(what, where=work.entry.path, cure="save one TIFF file for each slice, in a folder")
    # "evaluate" takes "<case>_<n>.tif" for a mask.
    folder, names = target.pages_of(work.name), [f"{work.name}_page_{number}.tif" for number in numbers]
    with target.masks.new_folder(folder, overwrite=True) as inside:
        for name, page in zip(names, pages, strict=True):
            write_picture(inside / name, page if page.shape[-1] == 3 else page[..., 0])
    return [folder / name for name in names]


def restore(folder: Path, *, out: str, case: str, predictor: ScanPredictor) -> dict[str, Any]:
    """Make the stored mask of a case the corrected mask of its job, and return the result.

    Args:
        folder: of the job, which is segmented.
        out: the folder of the user.
        case: name of the case, which has a row.
        predictor: the models.

    Raises:
        GliomasegError: the mask is missing or damaged, or a file cannot be written.
    """
    cases = manifest.read(CorrectionFolder(Path(out)).manifest, DataOptions()).cases
    stored = next((one for one in cases if one.name.casefold() == case.casefold()), None)
    if stored is None:
        raise DataError("mask is missing", where=case, cure="correct the case again")
    mask = read_case(with_sequences(stored, {Sequence.FLAIR})).reference
    view = View.from_json((folder / "view.json").read_text("utf-8"))
    tasks.store_correction(folder, view.to_bytes(mask))
    return tasks.write_correction(folder, predictor=predictor)
