"""The layout of nnU-Net (versions 1 and 2) and of the Medical Segmentation Decathlon.

A folder has `dataset.json`, `imagesTr` and `labelsTr`, and may have `imagesTs` and `labelsTs`. The sequences of a case
are files of one channel each, `<case>_0000.nii.gz`, or the channels of one 4D file, `<case>.nii.gz`.

Source: documentation/dataset_format.md of https://github.com/MIC-DKFZ/nnUNet, and http://medicaldecathlon.com.
"""

from __future__ import annotations

import json
import os
import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gliomaseg.data.case import Case, VolumeFile, Volumes
from gliomaseg.data.case_list import CaseList, DataOptions
from gliomaseg.data.file_listing import iterate_files, list_files
from gliomaseg.data.findings import Findings
from gliomaseg.data.masks import MaskLabels
from gliomaseg.data.patients import parse_examination
from gliomaseg.errors import DataError, counted
from gliomaseg.formats import FileKind, stem_of, suffixes
from gliomaseg.naming import Role, parse_name
from gliomaseg.scan import SEQUENCE_OF_ROLE
from gliomaseg.types import Sequence
from gliomaseg.user_files import read_text

DESCRIPTION, IGNORE = "dataset.json", "ignore"
SHAPE = "dataset.json, imagesTr and labelsTr"
_TRAINING, _TEST = ("imagesTr", "labelsTr"), ("imagesTs", "labelsTs")
_CHANNEL = re.compile(r"(?P<case>.+)_(?P<channel>\d{4})")

ChannelFiles = dict[int | None, Path]
"""The image files of a case by channel; the key None has the file of all channels."""
Cases = dict[str, tuple[ChannelFiles, Path]]
"""The image files and the mask of each case."""


@dataclass(frozen=True)
class Description:
    """The content of `dataset.json`.

    Attributes:
        file: its path.
        channels: the names of the channels, in order.
        labels: the values of each label.
        explicit: the image files and the mask file of each case, if it names them (nnU-Net 2); else empty.
        listed: the number of training cases that it names or counts; None if it does not.
    """

    file: Path
    channels: tuple[str, ...]
    labels: dict[str, tuple[int, ...]]
    explicit: Cases
    listed: int | None

    @property
    def sequences(self) -> dict[Sequence, int]:
        """The channel of each sequence; the first one if several have the same sequence."""
        found: dict[Sequence, int] = {}
        for number, name in enumerate(self.channels):
            role = parse_name(name).role
            if role in SEQUENCE_OF_ROLE:
                found.setdefault(SEQUENCE_OF_ROLE[role], number)
        return found

    @property
    def ignored_values(self) -> tuple[int, ...]:
        """The values of nnU-Net's ignore label: voxels without a label."""
        return next((values for name, values in self.labels.items() if name.lower() == IGNORE), ())


def recognise(data: Path) -> bool:
    """Return whether a folder, or a data set's folder in it, has `dataset.json` and `imagesTr`."""
    return bool(_data_set_folders(data))


def read(data: Path, options: DataOptions) -> CaseList:
    """List the cases of a data set; test images with masks are cases too.

    Raises:
        DataError: the folder has several data sets or no case; or `dataset.json` cannot be read, or names no FLAIR
            channel.
    """
    description = _read_description(_only_data_set(data) / DESCRIPTION)
    found = Findings(list_files(description.file.parent))
    labels = _labels(description, options.labels, found)
    files = _files_by_folder(description, found)
    training = description.explicit or _paired(description, _TRAINING, files, found)
    test = _paired(description, _TEST, files, found)
    for name in sorted(training.keys() & test.keys()):
        found.report(test.pop(name)[1], "has the name of a training case")
    if test:
        found.notes.append(f"reads {counted(len(test), 'case')} of {_TEST[0]} too, with masks in {_TEST[1]}")
    if description.listed is not None and description.listed != len(training):
        found.notes.append(
            f"{DESCRIPTION} names {counted(description.listed, 'training case')}, found: {len(training)}"
        )
    cases = []
    for name, (channels, mask) in {**training, **test}.items():
        images = _images(name, channels, description, found)
        if images is not None and found.are_files([*dict.fromkeys(v.path for v in images.values()), mask]):
            known = parse_examination(name)
            volumes = Volumes(images, VolumeFile(mask))
            cases.append(Case(name, known.patient, known.site, (), volumes, known.date, labels))
    return found.case_list(cases, "nnunet", expected=SHAPE)


def _data_set_folders(data: Path) -> list[Path]:
    """Return the folder if it is a data set, else the data sets at any depth below it, sorted."""
    if not data.is_dir() or _is_data_set(data):
        return [data] if data.is_dir() else []
    return sorted(file.parent for file in iterate_files(data) if file.name == DESCRIPTION and _is_data_set(file.parent))


def _is_data_set(folder: Path) -> bool:
    return (folder / DESCRIPTION).is_file() and any((folder / name).is_dir() for name in _TRAINING)


def _only_data_set(data: Path) -> Path:
    folders = _data_set_folders(data)
    if not folders and (data / DESCRIPTION).is_file():
        return data  # a dataset.json that names files elsewhere
    if not folders:
        raise DataError("contains no data set of nnU-Net", where=data, cure=f"expected {DESCRIPTION} and imagesTr")
    if len(folders) > 1:
        names = ", ".join(folder.name for folder in folders)
        raise DataError(f"contains {len(folders)} data sets ({names})", where=data, cure="name one of their folders")
    return folders[0]


def _read_description(file: Path) -> Description:
    """Return the content of `dataset.json`.

    Raises:
        DataError: it cannot be read, names no FLAIR or several, or its images are not volumes.
    """
    try:
        tree = json.loads(read_text(file))
    except (ValueError, RecursionError) as fault:
        raise DataError("is not a JSON file", where=file, cure="repair it") from fault
    if not isinstance(tree, dict):
        raise DataError(f"is a JSON {type(tree).__name__}, expected an object", where=file, cure="repair it")
    names = _numbered(tree.get("channel_names") or tree.get("modality"), file)
    ending = str(tree.get("file_ending") or ".nii.gz")
    if not ending.lower().endswith(tuple(suffixes(FileKind.VOLUME))):
        cure = "convert the images to NIfTI, or use the layout pairs for slices"
        raise DataError(f"file_ending is {ending}, expected a volume format", where=file, cure=cure)
    explicit = _explicit_files(tree.get("dataset"), len(names), file)
    listed = tree.get("training")
    count = len(listed) if isinstance(listed, list) else tree.get("numTraining")
    description = Description(file, names, _label_values(tree.get("labels")), explicit, _whole(count))
    if [parse_name(name).role for name in names].count(Role.FLAIR) != 1:
        what = f"channels are {', '.join(names)}, expected one FLAIR"
        raise DataError(what, where=file, cure="name the channel of FLAIR in channel_names")
    return description


def _numbered(tree: Any, file: Path) -> tuple[str, ...]:
    """Return the names of the channels, in order: of `{"0": "FLAIR"}`, `{"FLAIR": 0}` or `["FLAIR"]`."""
    if isinstance(tree, list):
        return tuple(str(name) for name in tree)
    if not isinstance(tree, dict):
        raise DataError("has neither channel_names nor modality", where=file, cure="name its channels")
    pairs = [(_whole(key), value) if _whole(key) is not None else (_whole(value), key) for key, value in tree.items()]
    numbers = sorted(number for number, _ in pairs if number is not None)
    if numbers != list(range(len(pairs))):
        raise DataError(f"channels are {tree}, expected numbers from 0", where=file, cure="number its channels")
    return tuple(str(name) for _, name in sorted((number or 0, name) for number, name in pairs))


def _label_values(tree: Any) -> dict[str, tuple[int, ...]]:
    """Return the values of each label: of `{"tumour": 1}`, `{"1": "tumour"}` or, for regions, `{"whole": [1, 2]}`."""
    values = {}
    for key, value in tree.items() if isinstance(tree, dict) else ():
        name, numbers = (value, [key]) if _whole(key) is not None and isinstance(value, str) else (key, value)
        wholes = [_whole(number) for number in (numbers if isinstance(numbers, list) else [numbers])]
        values[str(name)] = tuple(number for number in wholes if number is not None)
    return values


def _whole(value: Any) -> int | None:
    """Return a whole number from JSON, which may be a text; None for anything else."""
    if isinstance(value, str) and re.fullmatch(r"[0-9]{1,9}", value):
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _explicit_files(tree: Any, channels: int, file: Path) -> Cases:
    """Return the files of each case in the section `dataset` of nnU-Net 2; paths are relative to its folder."""
    cases: Cases = {}
    for name, entry in tree.items() if isinstance(tree, dict) else ():
        images, label = (entry.get("images"), entry.get("label")) if isinstance(entry, dict) else (None, None)
        if not (isinstance(images, list) and images and isinstance(label, str)):
            what = f"case {name} of dataset is {entry}, expected images and a label"
            raise DataError(what, where=file, cure="name the files of every case")
        if not re.fullmatch(r"[^./\\][^/\\]*", name):  # results are files of this name
            raise DataError(f"case of dataset is {name!r}, expected a file name", where=file, cure="rename it")
        paths = [file.parent / os.path.expandvars(str(path)) for path in images]
        by_channel: ChannelFiles = {None: paths[0]} if len(paths) == 1 < channels else dict(enumerate(paths))
        cases[str(name)] = (by_channel, file.parent / os.path.expandvars(label))
    return cases


def _labels(description: Description, chosen: MaskLabels, found: Findings) -> MaskLabels:
    """Return which values are tumour; without a choice all above 0 but the ignore label."""
    named = {value for values in description.labels.values() for value in values}
    if chosen.tumour is not None:
        if unknown := sorted(chosen.tumour - named if named else ()):
            found.notes.append(f"{DESCRIPTION} does not name the chosen labels {', '.join(map(str, unknown))}")
        return chosen
    if not (ignored := description.ignored_values):
        return chosen
    found.notes.append(f"label {ignored[0]} is named {IGNORE!r} in {DESCRIPTION} and does not count as tumour")
    return MaskLabels(frozenset(named - {0, *ignored}))


def _files_by_folder(description: Description, found: Findings) -> dict[str, list[Path]]:
    """Return the volumes in each folder of the layout; other files are skipped."""
    root = description.file.parent
    named = (path for images, mask in description.explicit.values() for path in (*images.values(), mask))
    explicit = {os.path.realpath(path) for path in named}
    files: dict[str, list[Path]] = {name: [] for name in (*_TRAINING, *_TEST)}
    for file in found.listing.files:
        folder = file.parent.name if file.parent.parent == root else ""
        if file == description.file or os.path.realpath(file) in explicit:
            continue
        if folder not in files:
            found.skip(file, "is not part of the layout of nnU-Net")
        elif description.explicit and folder in _TRAINING:
            found.skip(file, f"is not named in {DESCRIPTION}")
        else:
            files[folder].append(file)
    return {name: found.volumes(inside) for name, inside in files.items()}


def _paired(description: Description, folders: tuple[str, str], files: dict[str, list[Path]], found: Findings) -> Cases:
    """Return the image files and the mask of each case in two folders, by their names."""
    masks: dict[str, Path] = {}
    for file in files[folders[1]]:
        if (first := masks.setdefault(stem_of(file), file)) != file:
            found.report(file, f"is a second mask beside {first.name}")
    images: dict[str, ChannelFiles] = defaultdict(dict)
    for file in files[folders[0]]:
        name, channel = _case_and_channel(stem_of(file), masks, len(description.channels))
        if (first := images[name].setdefault(channel, file)) != file:
            found.report(file, f"is a second image beside {first.name}")
    for name in sorted(masks.keys() - images.keys()):
        found.report(masks[name], "is a mask without an image")
    for file in (file for name in sorted(images.keys() - masks.keys()) for file in images[name].values()):
        if folders == _TEST:
            found.skip(file, "is a test image without a mask")
        else:
            found.report(file, "has no mask")
    return {name: (images[name], masks[name]) for name in sorted(images.keys() & masks.keys())}


def _case_and_channel(stem: str, masks: Iterable[str], channels: int) -> tuple[str, int | None]:
    """Return the case and the channel of an image's name: `case_2021` is a case if a mask has that name."""
    match = _CHANNEL.fullmatch(stem)
    if stem in masks or match is None or not (match["case"] in masks or int(match["channel"]) < channels):
        return stem, None
    return match["case"], int(match["channel"])


def _images(
    name: str, files: ChannelFiles, description: Description, found: Findings
) -> dict[Sequence, VolumeFile] | None:
    """Return the sequences of a case; None if its files have a problem."""
    sequences = description.sequences
    if None in files:
        if len(files) > 1:
            found.report(files[None], f"is {name} in one file, and there are files of single channels")
            return None
        several = len(description.channels) > 1
        images = {key: VolumeFile(files[None], number if several else None) for key, number in sequences.items()}
    else:
        images = {key: VolumeFile(files[number]) for key, number in sequences.items() if number in files}
        _skip_unused(files, description, found)
    if Sequence.FLAIR not in images:
        number = sequences[Sequence.FLAIR]
        found.report(next(iter(files.values())), f"is of case {name}, which has no channel {number} (FLAIR)")
        return None
    return images


def _skip_unused(files: ChannelFiles, description: Description, found: Findings) -> None:
    names = dict(enumerate(description.channels))
    for number, file in files.items():
        if number is not None and number not in description.sequences.values():
            name = names.get(number, f"not in {DESCRIPTION}")
            found.skip(file, f"is channel {number} ({name}), which is not used")
