"""The layout of DICOM: a folder for each patient, of any depth, with FLAIR and a SEG or RTSTRUCT that refers to it.

Series, masks and patients are recognised by their headers; only the names of folders become names of cases. T1 and T2
of the same study belong to the case: the only series on the grid of FLAIR, else the only one in its frame of reference.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

from gliomaseg.data.case import Case, VolumeFile, Volumes
from gliomaseg.data.case_list import CaseList, DataOptions, Problem
from gliomaseg.data.dicom_examinations import Examination, Parts, find_examinations, folder_of
from gliomaseg.data.file_listing import iterate_files, list_files
from gliomaseg.data.findings import Findings
from gliomaseg.data.patients import parse_examination
from gliomaseg.errors import DataError, counted
from gliomaseg.formats import FileKind, stem_of, suffix_of, suffixes
from gliomaseg.formats.dicom import DicomObjects, is_dicom, list_objects
from gliomaseg.types import Sequence as MriSequence

SHAPE = "<patient>/ with the files of a FLAIR series and a DICOM SEG or RTSTRUCT that refers to it, at any depth"
_DICOM = suffixes(FileKind.SERIES) - {".zip"}
_OTHER_LAYOUTS = frozenset({"sourcedata", "derivatives"})  # of BIDS
# Values that tools for anonymisation write for every patient.
_NO_PATIENT = frozenset({"", "0", "1", "anon", "anonymous", "anonymized", "anonymised", "none", "patient", "unknown"})


def recognise(data: Path) -> bool:
    """Return whether a folder contains a DICOM file, by its suffix, or by its first bytes if it has none.

    Files with the name of a result of `predict` do not count, nor do DICOM files beside a data set in BIDS.
    """
    return data.is_dir() and any(_is_dicom(file, data) for file in iterate_files(data))


def _is_dicom(file: Path, root: Path) -> bool:
    suffix = suffix_of(file)
    if stem_of(file).endswith("_mask") or not _OTHER_LAYOUTS.isdisjoint(file.relative_to(root).parts):
        return False
    return suffix in _DICOM or (not suffix.strip(".0123456789") and is_dicom(file))


def read(data: Path, options: DataOptions) -> CaseList:
    """List the cases below a folder: each FLAIR series with the one mask that refers to it.

    A damaged file, several masks of one series, and a mask without FLAIR are problems. A FLAIR series without a mask
    is skipped, and so are all other series and objects.

    Raises:
        DataError: it is not a folder, or has no such case.
        MissingExtraError: the extra `dicom` is not installed.
    """
    if not data.is_dir():
        raise DataError("is a file, expected a folder", where=data, cure="name the folder of the patients")
    listing = list_files(data)
    objects = list_objects(listing.files)
    found = Findings(listing)
    found.problems += [Problem(listing.name_of(file), what) for file, what in objects.faults]
    found.skipped += [Problem(listing.name_of(file), reason) for file, reason in objects.skipped]
    examinations = find_examinations(objects, found)
    cases = _named_cases(examinations, found, options)
    if not cases:
        raise _no_case(data, objects, found)
    found.notes += _notes(objects, examinations)
    return found.case_list(cases, "dicom", expected=SHAPE)


def _no_case(data: Path, objects: DicomObjects, found: Findings) -> DataError:
    flair = sum(series.sequence is MriSequence.FLAIR for series in objects.series)
    masks = counted(len(objects.masks), "mask")
    what = f"has no case: {len(objects.series)} MR series, {flair} of them FLAIR, and {masks}"
    if found.problems:
        first = found.problems[0]
        what += f"; {first.where} {first.what}"
    return DataError(what, where=data, cure="put a SEG or RTSTRUCT beside each FLAIR series, or write a manifest")


def _notes(objects: DicomObjects, examinations: Sequence[Examination]) -> tuple[str, ...]:
    masked = {series for mask in objects.masks for series in mask.references.series} | {
        entry.flair.identity.uid for entry in examinations
    }
    flair = [series for series in objects.series if series.sequence is MriSequence.FLAIR]
    without = sum(series.identity.uid not in masked for series in flair)
    return (f"{without} FLAIR series without a mask are skipped",) if without else ()


def _named_cases(examinations: Sequence[Examination], found: Findings, options: DataOptions) -> list[Case]:
    named = dict(zip(_names(examinations, found.listing.root), examinations, strict=True))
    patients = _patients(named)
    cases = []
    for name, entry in named.items():
        known = parse_examination(name)
        images = {
            sequence: VolumeFile(folder_of(series), series=series.identity.uid)
            for sequence, series in entry.images.items()
        }
        volumes = Volumes(images, VolumeFile(entry.mask.path))
        cases.append(Case(name, patients[name], known.site, (), volumes, known.date, options.labels))
    return cases


def _names(examinations: Sequence[Examination], root: Path) -> list[str]:
    """Return the name of each case: the first folders of its path that no other case has, without those of all.

    `data/P1/study 7` is `P1`, or `P1_study 7` if P1 has several studies.
    """
    shared = Counter(entry.folder for entry in examinations)
    # Masks may lie apart from the images: the folder above both is then that of several cases.
    paths = [
        entry.folder if entry.folder and shared[entry.folder] == 1 else _parts(folder_of(entry.flair), root)
        for entry in examinations
    ]
    if len({entry.flair.patient for entry in examinations}) > 1:
        common = len(_shared_start([path[:-1] for path in paths]))
        paths = [path[common:] for path in paths]
    paths = [path or (root.resolve().name,) for path in paths]
    counts = Counter(path[:length] for path in paths for length in range(1, len(path) + 1))
    names = ["_".join(next((start for start in _starts(path) if counts[start] == 1), path)) for path in paths]
    taken: Counter[str] = Counter()
    for k, name in enumerate(names):
        taken[name.casefold()] += 1
        if taken[name.casefold()] > 1:  # several FLAIR series with masks in one folder
            names[k] = f"{name}_{taken[name.casefold()]}"
    return names


def _starts(path: Parts) -> list[Parts]:
    return [path[:length] for length in range(1, len(path) + 1)]


def _shared_start(paths: Sequence[Parts]) -> Parts:
    """Return the parts with which all paths start."""
    start = min(paths, key=len)
    return next((start[:k] for k in range(len(start), 0, -1) if all(path[:k] == start[:k] for path in paths)), ())


def _parts(path: Path, root: Path) -> Parts:
    parts = path.relative_to(root).parts
    return parts[:-1] if path.is_file() else parts


def _patients(named: Mapping[str, Examination]) -> dict[str, str]:
    """Return the patient of each case: a name from its folder, the same for all cases with one PatientID.

    The PatientID itself is never used as a name. Values that tools write for every patient are ignored.
    """
    by_id: dict[str, list[str]] = defaultdict(list)
    patients = {name: parse_examination(name).patient for name in sorted(named)}
    for name in patients:
        if (identifier := named[name].flair.patient.casefold()) not in _NO_PATIENT:
            by_id[identifier].append(name)
    for names in by_id.values():
        same = {patients[name] for name in names}
        if len(same) > 1:
            folder = "_".join(_shared_start([named[name].folder for name in names]))
            first = folder if folder and folder not in patients.values() else patients[names[0]]
            # Cases whose folders give one patient are of that patient, whatever their PatientID is.
            patients.update({name: first for name, patient in patients.items() if patient in same})
    return patients
