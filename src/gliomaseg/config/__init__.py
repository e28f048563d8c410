"""Every setting of a run; a recipe is a TOML file of them. A file a section, and one for the whole."""

from gliomaseg.config.network import FcnResnet50, Network, ResidualUnet, Smp, Unet
from gliomaseg.config.preparation import Decision, Preparation
from gliomaseg.config.quality import Quality
from gliomaseg.config.recipe import Recipe, read_recipe, recipe_names
from gliomaseg.config.settings import Settings, parsed
from gliomaseg.config.training import LOSS_NAMES, Augmentation, Split, Training, loss_terms

__all__ = [
    "LOSS_NAMES",
    "Augmentation",
    "Decision",
    "FcnResnet50",
    "Network",
    "Preparation",
    "Quality",
    "Recipe",
    "ResidualUnet",
    "Settings",
    "Smp",
    "Split",
    "Training",
    "Unet",
    "loss_terms",
    "parsed",
    "read_recipe",
    "recipe_names",
]
