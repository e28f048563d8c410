"""Settings of version 0.1.0 (format 1) are read as format 2."""

import json
import shutil
from pathlib import Path

import pytest

from gliomaseg.config import Augmentation, metrics_to_format_2, read_recipe
from gliomaseg.errors import ConfigError
from gliomaseg.model import load_model, write_digests
from gliomaseg.pretrained import HOME

OLD = Path(__file__).parent / "format_1"


@pytest.mark.parametrize("name", ["glioma-flair", "glioma-t1-flair"])
def test_bundled_models_of_version_0_1_0_equal_the_current_ones(name, tmp_path):
    folder = tmp_path / name
    shutil.copytree(HOME / name, folder)
    shutil.copy(OLD / f"{name}.config.json", folder / "config.json")  # as released with 0.1.0
    write_digests(folder)
    old, new = load_model(folder).config, load_model(HOME / name).config
    assert json.loads((folder / "config.json").read_text())["format"] == 1
    assert old == new


@pytest.mark.parametrize("name", ["residual_unet_quick", "unet", "unet_small", "fcn_resnet50"])
def test_recipes_of_version_0_1_0_equal_the_current_ones(name):
    old = read_recipe(str(OLD / f"{name}.toml"))
    assert old.model_dump(exclude={"title"}) == read_recipe(name).model_dump(exclude={"title"})


def test_the_recipe_with_t1_has_another_augmentation_since_version_0_1_0():
    old, new = read_recipe(str(OLD / "residual_unet_t1.toml")), read_recipe("residual_unet_t1")
    others = {"title", "augmentation"}
    assert old.model_dump(exclude=others) == new.model_dump(exclude=others)
    assert old.augmentation == Augmentation(preset="strong", t1_dropout=0.1)


@pytest.mark.parametrize(
    ("section", "setting"),
    [
        ("network", 'name = "residual_unet"\nmembers = 2'),
        ("augmentation", "tumour_contrast = 0.3"),
        ("augmentation", "graft = 0.3"),
    ],
)
def test_a_removed_setting_that_was_in_use_raises(section, setting, tmp_path):
    recipe = tmp_path / "old.toml"
    recipe.write_text(f"[{section}]\n{setting}\n")
    with pytest.raises(ConfigError, match=setting.rpartition("\n")[2].split(" ")[0]):
        read_recipe(str(recipe))


def test_a_removed_setting_that_was_not_in_use_is_dropped(tmp_path):
    recipe = tmp_path / "old.toml"
    recipe.write_text('[network]\nname = "residual_unet"\nmembers = 1\npresence = false\n')
    assert read_recipe(str(recipe)).network == read_recipe("residual_unet").network


def test_a_key_of_format_2_wins_over_its_old_name(tmp_path):
    recipe = tmp_path / "mixed.toml"
    recipe.write_text("[preprocessing]\ncontext_slices = 2\nneighbours = 1\n[split]\nby = 'patient'\n")
    assert read_recipe(str(recipe)).preprocessing.context_slices == 2


def test_the_postprocessing_of_each_fold_gets_its_new_name():
    old = {"decision": {"flips": True}, "decisions_by_fold": [{"smallest_voxels": 20}], "patients": []}
    assert metrics_to_format_2(old) == {
        "postprocessing": {"tta_flip": True},
        "postprocessing_by_fold": [{"min_component_voxels": 20}],
        "patients": [],
    }
