"""All settings of a run. A recipe is a TOML file of settings; each of its sections is a class here."""

from gliomaseg.config.base import DocumentPart, Index, Settings, Text, Tree, parse_settings, printable_text
from gliomaseg.config.migration import metrics_to_format_2, model_config_to_format_2
from gliomaseg.config.network import Network
from gliomaseg.config.preprocessing import DiceEstimator, Postprocessing, Preprocessing
from gliomaseg.config.recipe import Recipe, read_recipe, recipe_names, setting_text
from gliomaseg.config.training import LOSS_NAMES, Augmentation, Split, Training, loss_terms

__all__ = [
    "LOSS_NAMES",
    "Augmentation",
    "DiceEstimator",
    "DocumentPart",
    "Index",
    "Network",
    "Postprocessing",
    "Preprocessing",
    "Recipe",
    "Settings",
    "Split",
    "Text",
    "Training",
    "Tree",
    "loss_terms",
    "metrics_to_format_2",
    "model_config_to_format_2",
    "parse_settings",
    "printable_text",
    "read_recipe",
    "recipe_names",
    "setting_text",
]
