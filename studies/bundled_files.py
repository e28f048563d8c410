"""The files of `train_bundled.py` that travel.

The pack has the prepared slices of a data set, its folds and the recipes. The results have weights and logs of runs.
"""

from __future__ import annotations

import hashlib
import io
import json
import lzma
import tomllib
import zipfile
import zlib
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from safetensors import safe_open
from safetensors.numpy import save

from gliomaseg.atomic import new_folder, write_text
from gliomaseg.config import Recipe, Settings, parse_settings, read_recipe
from gliomaseg.data.cache import BRAIN, Cache, array_digests, open_cache
from gliomaseg.data.cache_digest import LAYOUT
from gliomaseg.data.case import Case
from gliomaseg.data.case_list import CaseList, DataOptions
from gliomaseg.data.layouts import read_cases
from gliomaseg.data.split import Fold, Splits, choose_fold, read_splits, require_disjoint, select
from gliomaseg.errors import DataError, UsageError
from gliomaseg.user_files import read_text

PLAN, ALL = "plan.json", "all"
WEIGHTS = "weights.safetensors"
PIECE_BYTES, PIECES = 16 * 2**20 - 2**16, 4  # the machine returns 16 MiB a file, 64 MiB in all
LOG_BYTES = 2**20  # for plan and logs
FoldName = int | Literal["all"]


class Variant(Settings):
    """A variant of the TOML file: a recipe with settings, and its folds; "all" trains on all patients."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    recipe: str
    settings: tuple[str, ...] = ()
    folds: tuple[FoldName, ...] = Field(min_length=1)


class Variants(Settings):  # noqa: D101 - the TOML file
    variant: tuple[Variant, ...] = Field(min_length=1)


class Job(Settings):
    """A run to train."""

    variant: str
    fold: FoldName
    cache: str
    recipe: Recipe

    @property
    def name(self) -> str:
        """The folder of the run, as `crossvalidate` names it."""
        return f"{self.variant}/{ALL if self.fold == ALL else f'fold-{self.fold}'}"


class PackedCache(Settings):
    """A cache in the pack: the names of its slices, and of the files of its channels, masks and brains."""

    names: tuple[str, ...]
    size_px: int
    channels: tuple[str, ...]
    masks: str
    brain: str | None


class Plan(Settings):
    """The content of `plan.json`; each case has its name, patient and site."""

    data: str
    cases: tuple[tuple[str, str, str], ...]
    splits: Splits
    caches: dict[str, PackedCache]
    jobs: tuple[Job, ...]

    @property
    def index(self) -> CaseList:
        """The data set without its files."""
        return CaseList(Path(self.data), tuple(Case(*case) for case in self.cases))

    def splits_of(self, job: Job) -> Splits:
        """Return the splits that the run's fold is in; those of "all" have one fold, without validation cases."""
        if job.fold != ALL:
            return self.splits
        return self.splits.model_copy(update={"folds": (self.fold_of(job),)})

    def fold_of(self, job: Job) -> Fold:
        """Return the two sides of a run."""
        if job.fold != ALL:
            return choose_fold(self.splits, job.fold)
        return Fold(train=tuple(name for name, _, _ in self.cases), validation=())


def write_pack(variants: Path, data: Path, splits: Path, out: Path, cache: Path | None, say: Any) -> str:
    """Write the slices, folds and recipes of the variants into a new folder, and return a line about it.

    Raises:
        GliomasegError: the folder exists, or the variants, the data or the splits cannot be used.
    """
    chosen = _read_variants(variants)
    recipes = [read_recipe(variant.recipe).with_settings(list(variant.settings)) for variant in chosen]
    drawn = read_splits(splits)
    index = read_cases(data, drawn.data.complete(DataOptions()))
    brain = any(recipe.augmentation.needs_brain for recipe in recipes)
    caches: dict[str, PackedCache] = {}
    jobs = []
    with new_folder(out) as folder:
        for variant, recipe in zip(chosen, recipes, strict=True):
            _require_packable(variant, recipe)
            opened = open_cache(index, recipe.preprocessing, folder=cache, brain=brain, progress=say)
            if opened.digest not in caches:
                caches[opened.digest] = _pack_cache(opened, folder)
            jobs += [Job(variant=variant.name, fold=k, cache=opened.digest, recipe=recipe) for k in variant.folds]
        cases = tuple((case.name, case.patient, case.site) for case in index.cases)
        plan = Plan(data=data.resolve().name, cases=cases, splits=drawn, caches=caches, jobs=tuple(jobs))
        if len({job.name for job in jobs}) < len(jobs):
            raise UsageError("two runs have the same name", where=variants, cure="rename a variant")
        for fold in map(plan.fold_of, jobs):
            require_disjoint(index, fold, drawn.by)
            select(plan.index, fold.train + fold.validation)
        write_text(folder / PLAN, plan.model_dump_json())
    megabytes = sum(file.stat().st_size for file in out.iterdir()) / 1e6
    return f"{len(jobs)} runs, {len(cases)} cases, {len(caches)} caches: {megabytes:.1f} MB in {out}"


def read_plan(folder: Path) -> Plan:
    """Return the plan of a pack.

    Raises:
        DataError: the folder is not a pack.
    """
    try:
        return Plan.model_validate_json((folder / PLAN).read_bytes())
    except (OSError, ValueError) as fault:
        raise DataError("is not a pack", where=folder, cure="write one with `pack`") from fault


def unpack(plan: Plan, pack: Path, folder: Path) -> None:
    """Write the caches as `open_cache` builds them, except existing ones.

    Raises:
        DataError: a file of the pack is missing or damaged.
    """
    for digest, packed in plan.caches.items():
        if (folder / digest).is_dir():
            continue
        size = (len(packed.names), packed.size_px)
        with new_folder(folder / digest, first_wins=True) as new:
            channels = [_unpack_array(pack / name, *size, bits=False) for name in packed.channels]
            np.save(new / "images.npy", np.stack(channels, axis=1))
            np.save(new / "masks.npy", _unpack_array(pack / packed.masks, *size, bits=True))
            if packed.brain is not None:
                np.save(new / BRAIN, _unpack_array(pack / packed.brain, *size, bits=True))
            manifest = {"layout": LAYOUT, "root": plan.data, "names": packed.names, "digests": array_digests(new)}
            write_text(new / "manifest.json", json.dumps(manifest))


def open_unpacked(plan: Plan, job: Job, folder: Path) -> Cache:
    """Return the cache of a run, as `open_cache` does with the data set."""
    arrays = [np.load(folder / job.cache / name, mmap_mode="r") for name in ("images.npy", "masks.npy")]
    brain = np.load(folder / job.cache / BRAIN, mmap_mode="r") if job.recipe.augmentation.needs_brain else None
    return Cache(job.cache, plan.caches[job.cache].names, *arrays, brain)


def trained_epochs(job: Job, work: Path) -> tuple[int, str]:
    """Return the finished epochs of a run, and the progress in its last checkpoint; 0 and "" without one."""
    file = work / "runs" / job.name / "checkpoint" / "last.safetensors"
    if not file.is_file():
        return 0, ""
    with safe_open(file, framework="numpy") as opened:
        text = opened.metadata()["progress"]
    return int(json.loads(text)["epoch"]), text


def is_trained(job: Job, work: Path) -> bool:
    """Return whether all epochs of a run are done."""
    return trained_epochs(job, work)[0] >= job.recipe.training.epochs


def write_part(plan: Plan, work: Path, out: Path, part: int) -> str:
    """Write one part of the finished runs, and the logs of all runs, as a zip file in pieces; return a line about it.

    Raises:
        UsageError: the part does not exist.
    """
    parts, size = [dict[str, bytes]()], 0
    for job in (job for job in plan.jobs if is_trained(job, work)):
        weights = _half_precision(job, work)
        size += len(weights)
        if size > PIECES * PIECE_BYTES - LOG_BYTES and parts[-1]:
            parts, size = [*parts, {}], len(weights)
        parts[-1][f"{job.name}/{WEIGHTS}"] = weights
    if not 1 <= part <= len(parts):
        raise UsageError(f"part is {part}, expected 1 to {len(parts)}", where="--part")
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(work / PLAN, PLAN)
        for pattern in ("runs/*/*/log.jsonl", "runs/*/*/config.toml", "output/*/*.txt"):
            for file in work.glob(pattern):
                archive.write(file, file.relative_to(work / pattern.partition("/")[0]))
        for name, weights in parts[part - 1].items():
            archive.writestr(name, weights)
    content = stream.getvalue()
    with new_folder(out / f"part-{part}", overwrite=True) as folder:
        for number, start in enumerate(range(0, len(content), PIECE_BYTES)):
            (folder / f"runs.zip.{number}").write_bytes(content[start : start + PIECE_BYTES])
    counts = f"{len(parts[part - 1])} of {sum(map(len, parts))} finished runs"
    return f"part {part} of {len(parts)}: {counts}, {len(content) / 1e6:.1f} MB in {out}"


def _half_precision(job: Job, work: Path) -> bytes:
    """Return the exported weights of a run as a safetensors file: 16 bits, but 32 for biases and norms."""
    name = f"{job.recipe.training.exported_checkpoint}.safetensors"
    prefix = "average." if job.recipe.training.ema else "network."
    with safe_open(work / "runs" / job.name / "checkpoint" / name, framework="numpy") as file:
        names = [name for name in file.keys() if name.startswith(prefix)]  # noqa: SIM118
        tensors = {name.removeprefix(prefix): file.get_tensor(name) for name in names}
    halves = {name: array.astype(np.float16) if array.ndim > 1 else array for name, array in tensors.items()}
    return bytes(save(halves, metadata={"progress": trained_epochs(job, work)[1]}))


def read_results(results: Path, folder: Path) -> Plan:
    """Unzip all parts of the results into a folder, and return their plan.

    Raises:
        DataError: a piece is missing or damaged.
    """
    for part in sorted(results.glob("part-*")):
        content = b"".join(file.read_bytes() for file in sorted(part.glob("runs.zip.*")))
        try:
            zipfile.ZipFile(io.BytesIO(content)).extractall(folder)
        except (zipfile.BadZipFile, zlib.error, ValueError) as fault:
            raise DataError("is not complete", where=part, cure="copy all of its pieces") from fault
    return read_plan(folder)


def _read_variants(file: Path) -> tuple[Variant, ...]:
    try:
        tree = tomllib.loads(read_text(file))
    except (OSError, ValueError) as fault:
        raise UsageError(f"cannot be read ({fault})", where=file) from fault
    return parse_settings(Variants, tree, where=str(file)).variant


def _require_packable(variant: Variant, recipe: Recipe) -> None:
    """Refuse a recipe that needs files beside the pack, or validation cases that "all" lacks."""
    if recipe.network.pretrained_weights != "none" or recipe.training.start_from is not None:
        raise UsageError("starts from other weights, expected random weights", where=variant.name)
    if ALL in variant.folds and recipe.training.exported_checkpoint == "best":
        cure = "set training.exported_checkpoint=last"
        raise UsageError('exports the best epoch, which "all" cannot choose', where=variant.name, cure=cure)


def _pack_cache(cache: Cache, folder: Path) -> PackedCache:
    """Write the arrays of a cache; equal arrays of several caches are stored once."""
    return PackedCache(
        names=cache.names,
        size_px=cache.images.shape[-1],
        channels=tuple(_pack_array(cache.images[:, k], folder) for k in range(cache.images.shape[1])),
        masks=_pack_array(cache.masks, folder),
        brain=None if cache.brain is None else _pack_array(cache.brain, folder),
    )


def _pack_array(array: NDArray[Any], folder: Path) -> str:
    """Write uint8 or bool slices (n, y, x), and return the file's name: a hash of their content."""
    rows = np.packbits(array, axis=-1) if array.dtype == bool else array
    content = rows.tobytes()
    name = f"{hashlib.sha256(content).hexdigest()}.xz"
    if not (folder / name).exists():
        # Differences of neighbouring rows are smaller than the levels, and than differences of neighbouring slices.
        delta = {"id": lzma.FILTER_DELTA, "dist": min(rows.shape[-1], 256)}  # 256 is the largest
        filters = [delta, {"id": lzma.FILTER_LZMA2, "preset": 6}]
        (folder / name).write_bytes(lzma.compress(content, filters=filters))
    return name


def _unpack_array(file: Path, count: int, size_px: int, *, bits: bool) -> NDArray[Any]:
    """Return what `_pack_array` has written: shape (count, size_px, size_px)."""
    try:
        content = lzma.decompress(file.read_bytes())
    except (OSError, lzma.LZMAError):
        content = b""
    if file.stem != hashlib.sha256(content).hexdigest():
        raise DataError("is missing or damaged", where=file, cure="pack again")
    rows = np.frombuffer(content, np.uint8).reshape(count, size_px, -1)
    return np.unpackbits(rows, axis=-1, count=size_px).view(np.bool_) if bits else rows
