"""Recipes: all settings of a run, from a TOML file and from `section.key=value`."""

from __future__ import annotations

import json
import shlex
import tomllib
from importlib import resources
from typing import Any, Literal, Self

from pydantic import model_validator

from gliomaseg.config.base import Settings, Tree, parse_settings
from gliomaseg.config.migration import to_format_2
from gliomaseg.config.network import FcnResnet50, Network, ResidualUnet
from gliomaseg.config.preprocessing import Postprocessing, Preprocessing
from gliomaseg.config.training import Augmentation, Split, Training
from gliomaseg.errors import ConfigError, FormatError
from gliomaseg.user_files import expand_home, read_text

CHANGED = ", with changed settings"
LARGEST_BYTES = 16 * 1024
# A key of thousands of parts takes seconds: the time grows with the square of their number.
_MOST_DOTS = 200


class Recipe(Settings):
    """All settings of a run, from pixels to mask."""

    format: Literal[2] = 2
    title: str = ""
    preprocessing: Preprocessing = Preprocessing()
    network: Network = FcnResnet50()
    split: Split = Split()
    training: Training = Training()
    augmentation: Augmentation = Augmentation()
    postprocessing: Postprocessing = Postprocessing()

    @model_validator(mode="after")
    def _fits(self) -> Self:
        """Raise ValueError if settings of two sections contradict each other."""
        network, preprocessing = self.network, self.preprocessing
        levels = network.downsampling_steps
        if preprocessing.size_px % 2**levels:
            unshuffled = isinstance(network, ResidualUnet) and network.pixel_unshuffle > 1
            included = ", including network.pixel_unshuffle" if unshuffled else ""
            raise ValueError(
                f"preprocessing.size_px is {preprocessing.size_px}, expected a multiple of {2**levels} for {levels} "
                f"levels{included}"
            )
        if isinstance(network, ResidualUnet):
            self._fits_residual_unet(network)
        self._fits_normalisation()
        if isinstance(network, FcnResnet50) and network.weights != "none" and preprocessing.inputs != 3:
            raise ValueError(
                f"network.weights is {network.weights!r}, expected 'none' with {preprocessing.inputs} channels of input"
            )
        if self.training.start_from is not None and network.pretrained_weights != "none":
            raise ValueError(
                f"network.weights is {network.pretrained_weights!r}, expected 'none' with training.start_from"
            )
        if preprocessing.context_slices and self.split.by == "slice":
            raise ValueError(
                f"preprocessing.context_slices is {preprocessing.context_slices}, expected 0 with a split by slice, "
                "which separates neighbours"
            )
        return self

    def _fits_normalisation(self) -> None:
        for name in ("mean", "std") if self.preprocessing.normalisation == "zscore" else ():
            value, default = getattr(self.preprocessing, name), Preprocessing.model_fields[name].default
            if value != default:  # a complete recipe has the unused default
                raise ValueError(
                    f"preprocessing.{name} is {value}, expected the default {default} with preprocessing.normalisation "
                    f"= 'zscore', which does not use it; remove {name}, or set normalisation to 'fixed'"
                )

        limit = self.preprocessing.max_zscore
        if limit is not None and self.preprocessing.normalisation == "fixed":
            raise ValueError(
                f"preprocessing.max_zscore is {limit}, expected no value with preprocessing.normalisation = 'fixed', "
                "which does not use it; remove max_zscore, or set normalisation to 'zscore'"
            )

    def _fits_residual_unet(self, network: ResidualUnet) -> None:
        features, coarsest = len(network.features), self.preprocessing.size_px >> network.downsampling_steps
        if network.pixel_unshuffle > 1 and coarsest < 2:  # batch normalisation has no variance for one value
            raise ValueError(
                f"network.features has {features} levels, expected fewer: with network.pixel_unshuffle = "
                f"{network.pixel_unshuffle} the coarsest level has one pixel"
            )

    def with_settings(self, settings: list[str]) -> Self:
        """Return the recipe with `section.key=value` settings applied, values written as in TOML.

        A new `network.name` sets all defaults of that network; settings of the network may precede or follow it. If a
        setting changes, the title gets the note "with changed settings".

        Raises:
            ConfigError: the form, the name or the value of a setting is wrong.
        """
        tree = self.model_dump()
        parsed = [(setting, *_parse(setting)) for setting in settings]
        # The network's name comes first, because it clears the section.
        for setting, section, key, value in sorted(parsed, key=lambda entry: entry[1:3] != ("network", "name")):
            if section not in tree or not isinstance(tree[section], dict):
                raise ConfigError(
                    f"section is {section!r}, which does not exist",
                    where=f"setting {setting}",
                    cure=f"sections are {', '.join(k for k, v in tree.items() if isinstance(v, dict))}",
                )
            if section == "network" and key == "name" and value != tree[section]["name"]:
                tree[section] = {}
            tree[section][key] = value
        changed = parse_settings(self.__class__, tree, where="setting " + " ".join(settings))
        return changed.model_copy(update={"title": _title(self, changed)})


def _title(old: Recipe, new: Recipe) -> str:
    """Return the old title, with a note if settings other than the split changed."""
    ignored = {"title", "split"}
    same = old.model_dump(exclude=ignored) == new.model_dump(exclude=ignored)
    return old.title if same or not old.title or old.title.endswith(CHANGED) else old.title + CHANGED


def _parse(setting: str) -> tuple[str, str, Any]:
    name, equals, text = setting.partition("=")
    section, dot, key = name.strip().partition(".")
    if not (equals and dot and key):
        raise ConfigError(
            "setting has another form, expected section.key=value",
            where=f"setting {setting}",
            cure="write for example training.epochs=5",
        )
    try:
        value = _toml(f"value = {text}", where=f"setting {name}")["value"]
    except (ValueError, RecursionError):
        value = text.strip()
    return section, key, value


def _toml(text: str, *, where: str) -> Tree:
    """Return parsed TOML.

    Raises:
        ConfigError: the text is too long, or a line has too many dots.
        ValueError: it is not TOML, or a number has thousands of digits.
        RecursionError: it is nested too deeply.
    """
    if len(text) > LARGEST_BYTES or any(line.count(".") > _MOST_DOTS for line in text.splitlines()):
        what = f"has over {LARGEST_BYTES:,} letters, or over {_MOST_DOTS} dots in a line"
        raise ConfigError(what, where=where, cure="write section.key = value")
    return tomllib.loads(text)


def setting_text(name: str, value: Any) -> str:
    """Return a setting as `--set` takes it, quoted for a shell.

    >>> setting_text("network.features", [16, 32])
    "'network.features=[16,32]'"
    """
    text = value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))
    return shlex.quote(f"{name}={text}")


def recipe_names() -> list[str]:
    """Return the names of the packaged recipes, sorted."""
    folder = resources.files("gliomaseg").joinpath("recipes")
    return sorted(entry.name.removesuffix(".toml") for entry in folder.iterdir() if entry.name.endswith(".toml"))


def read_recipe(name_or_file: str) -> Recipe:
    """Return a packaged recipe by its name, or the recipe of a TOML file.

    Raises:
        ConfigError: neither a packaged recipe nor a file has this name, or the file is not a recipe.
    """
    if name_or_file in recipe_names():
        text = resources.files("gliomaseg").joinpath("recipes", f"{name_or_file}.toml").read_text("utf-8")
    else:
        path = expand_home(name_or_file)
        try:
            if path.suffix != ".toml" or not path.is_file():
                raise ConfigError(
                    "recipe does not exist",
                    where=name_or_file,
                    cure=f"name a .toml file or a packaged recipe: {', '.join(recipe_names())}",
                )
            text = read_text(path, most_bytes=LARGEST_BYTES)
        except FormatError as fault:
            raise ConfigError(fault.what, where=path, cure="check that it is a recipe") from fault
        except (OSError, UnicodeDecodeError) as fault:
            raise ConfigError(f"cannot be read ({fault})", where=path) from fault
    try:
        tree = _toml(text, where=name_or_file)
    except (ValueError, RecursionError) as fault:  # invalid TOML, or a number of thousands of digits
        raise ConfigError(f"is not TOML ({fault})", where=name_or_file) from fault
    return parse_settings(Recipe, to_format_2(tree), where=name_or_file)
