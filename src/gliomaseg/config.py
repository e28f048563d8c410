"""Every setting of a run, in one place; a recipe is a TOML file of them."""

from __future__ import annotations

import re
import tomllib
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from gliomaseg.errors import ConfigError


class Settings(BaseModel):
    """A section of settings: unknown names are refused, values never change."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


S = TypeVar("S", bound=Settings)


class Preparation(Settings):
    """How a slice becomes what the network takes; it travels with the model.

    `neighbours` slices on each side are channels too. "volume" scales by the head's own mean and standard
    deviation, over the whole stack, in place of `mean` and `std`.

    The last three matter only for volumes that say where their voxels lie. Their defaults are those of the
    LGG data set: of 24 patients, the largest slice of the head is 233 x 190 pixels (median), as heads are about
    195 x 160 mm, so 256 pixels are about 215 mm; and the 99.5 percentile of FLAIR is 157 of 255 (median).
    """

    size_px: int = Field(default=256, ge=32, le=2048, multiple_of=16)
    channels: Literal["grey", "flair", "all"] = "grey"
    mean: float = 0.5
    std: float = Field(default=0.5, gt=0)
    neighbours: int = Field(default=0, ge=0, le=4)
    normalise: Literal["fixed", "volume"] = "fixed"
    field_mm: float = Field(default=215, ge=50, le=1000)  # the side of what the network sees, whatever its pixels
    slice_mm: float | None = Field(default=None, gt=0, le=50)  # thinner slices are merged to this; None: they stay
    bright_level: float = Field(default=157, ge=32, le=255)  # what the 99.5 percentile of the intensities becomes

    @property
    def sequences(self) -> int:
        """How many channels a stored slice has."""
        return 3 if self.channels == "all" else 1

    @property
    def inputs(self) -> int:
        """How many channels the network takes; a single one is repeated to three, as the reference does."""
        return self.sequences * (2 * self.neighbours + 1) if self.neighbours else 3


class FcnResnet50(Settings):
    """torchvision's fully convolutional network on a ResNet-50."""

    name: Literal["fcn_resnet50"] = "fcn_resnet50"
    head: Literal["fcn", "linear"] = "fcn"
    weights: Literal["none", "imagenet", "coco"] = "none"


class Unet(Settings):
    """A U-Net; `width` is the number of features of its first level."""

    name: Literal["unet"] = "unet"
    width: int = Field(default=32, ge=4, le=256)
    levels: int = Field(default=4, ge=2, le=6)


class ResidualUnet(Settings):
    """A U-Net with a residual skip at each level; `widths` are the features of its levels, finest first."""

    name: Literal["residual_unet"] = "residual_unet"
    widths: tuple[Annotated[int, Field(ge=4, le=1024)], ...] = Field(
        default=(16, 32, 64, 128, 192, 256), min_length=2, max_length=8
    )
    deep_supervision: int = Field(default=0, ge=0)  # how many coarser levels have a loss of their own
    presence: bool = False  # a second head: is there tumour in the slice at all?


class Smp(Settings):
    """Any network of segmentation_models.pytorch, by its names there."""

    name: Literal["smp"] = "smp"
    architecture: str = "Unet"
    encoder: str = "resnet34"
    weights: Literal["none", "imagenet"] = "none"


Network = Annotated[FcnResnet50 | Unet | ResidualUnet | Smp, Field(discriminator="name")]
SMP_HALVINGS = 5  # of its encoders, unless told otherwise


def halvings(network: Network) -> int:
    """Return how often a network halves the slice, so that its side must divide: 0 where it need not."""
    if isinstance(network, Unet):
        return network.levels
    if isinstance(network, ResidualUnet):
        return len(network.widths) - 1
    return SMP_HALVINGS if isinstance(network, Smp) else 0


class Split(Settings):
    """Who trains and who validates."""

    by: Literal["patient", "site", "slice"] = "patient"
    folds: int | None = Field(default=None, ge=2)
    holdout: float = Field(default=0.2, gt=0, lt=1)
    seed: int = Field(default=0, ge=0)


LOSS_NAMES = ("cross_entropy", "bce", "dice", "focal", "tversky")
_TERM = re.compile(r"(?:(\d+(?:\.\d*)?|\.\d+)\s*\*?\s*)?([a-z_]+)")


def loss_terms(text: str) -> tuple[tuple[float, str], ...]:
    """Return the weight and the name of each term of a loss.

    Raises:
        ValueError: it is no sum of losses, or a weight is 0.

    >>> loss_terms("0.5 bce + dice")
    ((0.5, 'bce'), (1.0, 'dice'))
    """
    found = [_TERM.fullmatch(term.strip()) for term in text.split("+")]
    terms = tuple((float(match[1] or 1), match[2]) for match in found if match)
    if len(terms) < len(found) or not all(weight > 0 and name in LOSS_NAMES for weight, name in terms):
        raise ValueError(f"a loss is one of {', '.join(LOSS_NAMES)}, or a sum of them such as '0.5 bce + dice'")
    return terms


def _checked_loss(text: str) -> str:
    loss_terms(text)
    return text


class Training(Settings):
    """The loop: loss, optimiser, length, precision."""

    loss: Annotated[str, AfterValidator(_checked_loss)] = "cross_entropy"
    optimiser: Literal["adam"] = "adam"
    learning_rate: float = Field(default=1e-4, gt=0)
    schedule: Literal["constant", "cosine"] = "constant"
    batch: int = Field(default=4, ge=1)
    epochs: int = Field(default=3, ge=1)
    augment: Literal["none", "light"] = "none"
    seed: int = Field(default=0, ge=0, le=2**63 - 1)  # torch takes no larger one
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    export: Literal["last", "best"] = "last"
    checkpoint_minutes: float = Field(default=10, ge=0)


class Decision(Settings):
    """From probability to mask."""

    threshold: float = Field(default=0.5, gt=0, lt=1)


class Recipe(Settings):
    """A whole run, from pixels to mask."""

    title: str = ""
    preparation: Preparation = Preparation()
    network: Network = FcnResnet50()
    split: Split = Split()
    training: Training = Training()
    decision: Decision = Decision()

    @model_validator(mode="after")
    def _fits(self) -> Self:
        """Refuse settings of two sections that do not go together."""
        network, preparation = self.network, self.preparation
        levels = halvings(network)
        if preparation.size_px % 2**levels:
            raise ValueError(f"preparation.size_px must be a multiple of {2**levels} for {levels} levels")
        if isinstance(network, ResidualUnet) and network.deep_supervision > levels - 1:
            raise ValueError(f"network.deep_supervision is at most {levels - 1} for {levels + 1} widths")
        if isinstance(network, FcnResnet50) and network.weights != "none" and preparation.inputs != 3:
            raise ValueError(
                f"network.weights are of 3 channels, and preparation.neighbours gives {preparation.inputs}"
            )
        if preparation.neighbours and self.split.by == "slice":
            raise ValueError(
                "a split by slice parts neighbours: preparation.neighbours needs a split by patient or site"
            )
        return self

    def with_settings(self, settings: list[str]) -> Self:
        """Return the recipe with `section.key=value` settings applied, values written as in TOML.

        Another `network.name` brings that network's defaults; its own settings may stand before or after.

        Raises:
            ConfigError: a setting has no such form, name or value.
        """
        tree = self.model_dump()
        forms = [(setting, *_parse(setting)) for setting in settings]
        # A network's name first: it empties the section.
        for setting, section, key, value in sorted(forms, key=lambda form: form[1:3] != ("network", "name")):
            if section not in tree or not isinstance(tree[section], dict):
                raise ConfigError(
                    f"there is no section {section!r}",
                    where=f"--set {setting}",
                    cure=f"sections are {', '.join(k for k, v in tree.items() if isinstance(v, dict))}",
                )
            if section == "network" and key == "name" and value != tree[section]["name"]:
                tree[section] = {}
            tree[section][key] = value
        return parsed(self.__class__, tree, where="--set " + " ".join(settings))


def _parse(setting: str) -> tuple[str, str, Any]:
    name, equals, text = setting.partition("=")
    section, dot, key = name.strip().partition(".")
    if not (equals and dot and key):
        raise ConfigError(
            "a setting is written section.key=value",
            where=f"--set {setting}",
            cure="for example --set training.epochs=5",
        )
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except (tomllib.TOMLDecodeError, RecursionError):
        value = text.strip()
    return section, key, value


def parsed(kind: type[S], tree: dict[str, Any], *, where: str) -> S:
    """Return settings of a kind, checked and complete.

    Raises:
        ConfigError: an unknown name or a value out of range; names the first one.
    """
    try:
        return kind.model_validate(tree)
    except ValidationError as fault:
        first = fault.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        what = first["msg"].removeprefix("Value error, ")
        # A whole section says nothing that the message does not.
        got = "" if isinstance(first["input"], dict) else f" (got {first['input']!r})"
        raise ConfigError(f"{place}: {what}{got}" if place else what, where=where) from fault


def recipe_names() -> list[str]:
    """Return the names of the packaged recipes, sorted."""
    folder = resources.files("gliomaseg").joinpath("recipes")
    return sorted(entry.name.removesuffix(".toml") for entry in folder.iterdir() if entry.name.endswith(".toml"))


def read_recipe(name_or_file: str) -> Recipe:
    """Return a packaged recipe by its name, or one from a TOML file.

    Raises:
        ConfigError: there is no such recipe, or the file is not a recipe.
    """
    if name_or_file in recipe_names():
        text = resources.files("gliomaseg").joinpath("recipes", f"{name_or_file}.toml").read_text("utf-8")
    else:
        path = Path(name_or_file)
        try:
            if path.suffix != ".toml" or not path.is_file():
                raise ConfigError(
                    "there is no such recipe",
                    where=name_or_file,
                    cure=f"packaged recipes are {', '.join(recipe_names())}; or name a .toml file",
                )
            text = path.read_text("utf-8")
        except (OSError, UnicodeDecodeError) as fault:
            raise ConfigError(f"cannot be read ({fault})", where=path) from fault
    try:
        tree = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as fault:
        raise ConfigError(f"is not TOML ({fault})", where=name_or_file) from fault
    return parsed(Recipe, tree, where=name_or_file)
