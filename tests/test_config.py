"""Settings: packaged recipes, `--set`, and one-line errors for wrong values."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from gliomaseg.config import Augmentation, Network, Preprocessing, Recipe, parse_settings, read_recipe, recipe_names
from gliomaseg.config.network import FcnResnet50, ResidualUnet, Smp, Unet
from gliomaseg.errors import ConfigError, printable


@pytest.fixture
def reference() -> Recipe:
    return read_recipe("fcn_resnet50")


def refusal(recipe: Recipe, *settings: str) -> str:
    with pytest.raises(ConfigError) as caught:
        recipe.with_settings(list(settings))
    assert "\n" not in caught.value.line()
    return caught.value.line()


# --- recipes


def test_packaged_recipes_have_names() -> None:
    assert {"fcn_resnet50", "unet_small"} <= set(recipe_names())


@pytest.mark.parametrize("name", recipe_names())
def test_packaged_recipe_parses_and_has_a_title(name: str) -> None:
    assert read_recipe(name).title


def test_reference_recipe_is_the_reference_notebook(reference: Recipe) -> None:
    tree = reference.model_dump(exclude={"title"})
    assert tree == {
        "format": 2,
        "preprocessing": {
            "size_px": 256,
            "input": "grey",
            "mean": 0.5,
            "std": 0.5,
            "context_slices": 0,
            "normalisation": "fixed",
            "max_zscore": None,
            "fov_mm": 215,
            "min_slice_spacing_mm": None,
            "p99_5_level": 157,
        },
        "network": {"name": "fcn_resnet50", "head": "fcn", "weights": "none"},
        "split": {"by": "slice", "folds": None, "holdout": 0.2, "seed": 0},
        "training": {
            "loss": "cross_entropy",
            "optimiser": "adam",
            "weight_decay": 0,
            "learning_rate": 1e-4,
            "schedule": "constant",
            "warmup": 0,
            "clip_norm": 0,
            "ema": 0,
            "batch": 4,
            "epochs": 3,
            "tumour_oversampling": 1,
            "seed": 0,
            "precision": "auto",
            "exported_checkpoint": "last",
            "onnx_precision": "fp32",
            "checkpoint_minutes": 10,
            "start_from": None,
        },
        "augmentation": Augmentation().model_dump(),  # not used
        "postprocessing": {
            "threshold": 0.5,
            "temperature": 1,
            "tta_flip": False,
            "min_component_voxels": 0,
            "min_component_ml": 0,
        },
    }


def test_split_is_by_patient_unless_a_recipe_says_otherwise() -> None:
    assert Recipe().split.by == "patient"


def test_recipe_is_read_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text('title = "mine"\n[training]\nepochs = 7\n')
    recipe = read_recipe(str(tmp_path / "mine.toml"))
    assert (recipe.title, recipe.training.epochs, recipe.training.batch) == ("mine", 7, 4)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_recipe_of_a_windows_editor_is_read(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "mine.toml").write_bytes('title = "mine"\r\n[training]\r\nepochs = 7\r\n'.encode(encoding))
    assert read_recipe(str(tmp_path / "mine.toml")).training.epochs == 7


def test_recipe_in_the_home_folder_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine.toml").write_text('title = "mine"')
    monkeypatch.setenv("HOME", str(tmp_path))
    assert read_recipe("~/mine.toml").title == "mine"


def test_unknown_recipe_error_lists_the_packaged_ones() -> None:
    with pytest.raises(ConfigError, match=r"recipe does not exist; .*packaged recipe: fcn_resnet50, .*unet_small"):
        read_recipe("resnet")


def test_folder_called_toml_is_not_a_recipe(tmp_path: Path) -> None:
    (tmp_path / "x.toml").mkdir()
    with pytest.raises(ConfigError, match="recipe does not exist"):
        read_recipe(str(tmp_path / "x.toml"))


def test_name_too_long_for_the_disk_raises() -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        read_recipe("a" * 5000 + ".toml")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"title = ", "is not TOML"),
        (b"\xfftitle", "cannot be read"),
        (b"[training]\nepoch = 3", "training.epoch: Extra inputs are not permitted"),
        (b"[trainig]\nepochs = 3", "trainig: Extra inputs are not permitted"),
        (b"training = 3", "training: "),
        (b'network = "unet"', "network: "),
        (
            b'[network]\nname = "alexnet"',
            "network.name is 'alexnet', expected one of fcn_resnet50, unet, residual_unet, smp",
        ),
        (
            b'[training]\nstart_from = " "',
            "training: start_from is ' ', expected a run, a model folder or a bundled model",
        ),
        (b'[network]\nname = "unet"\nhead = "fcn"', "network.unet.head: Extra inputs are not permitted"),
        (b"[preprocessing]\nmean = nan", "preprocessing.mean: Input should be a finite number"),
    ],
)
def test_broken_recipe_file_error_is_one_line_with_the_setting(tmp_path: Path, content: bytes, message: str) -> None:
    file = tmp_path / "broken.toml"
    file.write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        read_recipe(str(file))
    assert caught.value.line().startswith(f"{file}: {message}")
    assert "\n" not in caught.value.line()


def test_settings_are_immutable(reference: Recipe) -> None:
    with pytest.raises(ValidationError, match="frozen"):
        reference.training.epochs = 5  # type: ignore[misc]


def test_parse_settings_error_names_the_first_wrong_setting() -> None:
    with pytest.raises(ConfigError, match=r"^here: split\.holdout: .*\(got 1\.5\)$"):
        parse_settings(Recipe, {"split": {"holdout": 1.5}}, where="here")


# --- section.key=value


def test_number_is_set(reference: Recipe) -> None:
    assert reference.with_settings(["training.epochs=5"]).training.epochs == 5


def test_exponent_is_set(reference: Recipe) -> None:
    assert reference.with_settings(["training.learning_rate=3e-4"]).training.learning_rate == 3e-4


def test_bare_word_is_set_as_text(reference: Recipe) -> None:
    assert reference.with_settings(["preprocessing.input=flair"]).preprocessing.input == "flair"


def test_quoted_word_is_set_as_in_toml(reference: Recipe) -> None:
    assert reference.with_settings(['preprocessing.input="t1_flair_t1ce"']).preprocessing.input == "t1_flair_t1ce"


@pytest.mark.parametrize("text", ["dice", "bce + dice", "0.5 bce+dice", "0.5*bce + 2 dice", "bce + bce"])
def test_loss_may_be_a_weighted_sum(reference: Recipe, text: str) -> None:
    assert reference.with_settings([f"training.loss={text}"]).training.loss == text


def test_unknown_loss_error_lists_the_losses(reference: Recipe) -> None:
    assert "expected one of cross_entropy, bce, dice, or a sum of them" in refusal(reference, "training.loss=hinge")


def test_spaces_around_the_equals_sign_do_not_matter(reference: Recipe) -> None:
    assert reference.with_settings(["training.epochs = 5"]).training.epochs == 5


def test_later_setting_wins(reference: Recipe) -> None:
    assert reference.with_settings(["training.epochs=5", "training.epochs=6"]).training.epochs == 6


def test_other_settings_stay(reference: Recipe) -> None:
    changed = reference.with_settings(["training.epochs=5"])
    but = {"title": True, "training": {"epochs"}}
    assert changed.model_dump(exclude=but) == reference.model_dump(exclude=but)


@pytest.mark.parametrize("setting", ["mean=0.3", "std=0.25"])
def test_fixed_mean_and_std_are_refused_with_zscore(reference: Recipe, setting: str) -> None:
    name, value = setting.split("=")
    message = refusal(reference, "preprocessing.normalisation=zscore", f"preprocessing.{setting}")
    assert f"preprocessing.{name} is {value}, expected the default 0.5 with preprocessing.normalisation" in message
    assert f"remove {name}, or set normalisation to 'fixed'" in message


def test_a_largest_zscore_is_refused_with_fixed_normalisation(reference: Recipe) -> None:
    message = refusal(reference, "preprocessing.max_zscore=3")
    assert "preprocessing.max_zscore is 3.0, expected no value with preprocessing.normalisation = 'fixed'" in message
    limited = reference.with_settings(["preprocessing.max_zscore=3", "preprocessing.normalisation=zscore"])
    assert limited.preprocessing.max_zscore == 3


def test_default_mean_and_std_are_accepted_with_zscore(reference: Recipe) -> None:
    assert reference.with_settings(["preprocessing.normalisation=zscore"]).preprocessing.mean == 0.5


def test_title_notes_changed_settings_once(reference: Recipe) -> None:
    changed = reference.with_settings(["training.epochs=5"])
    assert changed.title == f"{reference.title}, with changed settings"
    assert changed.with_settings(["training.batch=8"]).title == changed.title


@pytest.mark.parametrize("setting", ["training.batch=4", "split.seed=3"])
def test_title_stays_if_only_the_split_changes(reference: Recipe, setting: str) -> None:
    assert reference.with_settings([setting]).title == reference.title


def test_recipe_without_a_title_stays_without(reference: Recipe) -> None:
    assert reference.model_copy(update={"title": ""}).with_settings(["training.epochs=5"]).title == ""


def test_no_setting_gives_the_recipe_itself(reference: Recipe) -> None:
    assert reference.with_settings([]) == reference


@pytest.mark.parametrize("setting", ["epochs=5", "training.epochs", "training.=5", "=5", "", "title=x"])
def test_setting_of_another_form_raises(reference: Recipe, setting: str) -> None:
    assert "expected section.key=value" in refusal(reference, setting)


def test_unknown_section_error_lists_the_sections(reference: Recipe) -> None:
    message = refusal(reference, "trainig.epochs=5")
    assert (
        "section is 'trainig', which does not exist; "
        "sections are preprocessing, network, split, training, augmentation, postprocessing" in message
    )


@pytest.mark.parametrize(
    "setting",
    [
        "training.epoch=5",
        "training.epochs.x=5",
        "training.epochs=0",
        "training.epochs=1.5",
        "training.epochs=many",
        "training.epochs=",
        "training.epochs=5\n6",
        "training.batch=0",
        "training.learning_rate=0",
        "training.learning_rate=inf",
        "training.learning_rate=nan",
        "training.loss=hinge",
        "training.optimiser=sgd",
        "training.weight_decay=0.01",
        "training.schedule=one_cycle",
        "training.warmup=1",
        "training.ema=1",
        "training.tumour_oversampling=0.5",
        "training.clip_norm=-1",
        "augmentation.shear=1",
        "augmentation.rotation_deg=-1",
        "postprocessing.temperature=0",
        "postprocessing.min_component_voxels=-1",
        "training.loss=",
        "training.loss=bce +",
        "training.loss=bce dice",
        "training.loss=bce - dice",
        "training.loss=0 bce + dice",
        "training.loss=-1 bce",
        "training.loss=1e3 bce",
        "training.seed=-1",
        "preprocessing.size_px=100",
        "preprocessing.size_px=16",
        "preprocessing.std=0",
        "preprocessing.mean=nan",
        "preprocessing.input=t2",
        "preprocessing.context_slices=-1",
        "preprocessing.context_slices=5",
        "preprocessing.normalisation=slice",
        "split.by=pixel",
        "split.folds=1",
        "split.holdout=0",
        "split.holdout=1",
        "postprocessing.threshold=1",
        "postprocessing.threshold=nan",
        "network.base_features=8",
        "network.name=alexnet",
    ],
)
def test_wrong_name_or_value_raises_with_its_name(reference: Recipe, setting: str) -> None:
    assert refusal(reference, setting).startswith(f"setting {printable(setting)}: {setting.partition('.')[0]}")


def test_another_network_brings_its_own_defaults(reference: Recipe) -> None:
    assert reference.with_settings(["network.name=unet"]).network == Unet(base_features=32, levels=4)


def test_another_network_and_back(reference: Recipe) -> None:
    network = reference.with_settings(["network.name=unet"]).with_settings(["network.name=fcn_resnet50"]).network
    assert network == FcnResnet50()


@pytest.mark.parametrize("order", [1, -1])
def test_settings_of_another_network_may_stand_before_or_after_its_name(reference: Recipe, order: int) -> None:
    settings = ["network.name=unet", "network.base_features=8"][::order]
    assert reference.with_settings(settings).network == Unet(base_features=8)


def test_naming_the_network_that_is_there_keeps_its_settings() -> None:
    small = read_recipe("unet_small")
    assert small.with_settings(["network.name=unet"]).network == small.network


def test_a_size_that_a_unet_cannot_halve_raises():
    with pytest.raises(ConfigError, match="multiple of 32 for 5 levels") as caught:
        read_recipe("unet_small").with_settings(["network.levels=5", "preprocessing.size_px=48"])
    assert len(caught.value.line()) < 150


@pytest.mark.parametrize(
    ("channels", "context_slices", "inputs"),
    [
        ("flair", 0, 3),
        ("t1_flair_t1ce", 0, 3),
        ("flair", 1, 3),
        ("t1_flair", 0, 2),
        ("t1_flair", 2, 10),
        ("grey", 2, 5),
        ("t1_flair_t1ce", 2, 15),
    ],
)
def test_context_slices_and_sequences_give_the_network_channels(
    channels: str, context_slices: int, inputs: int
) -> None:
    assert Preprocessing(input=channels, context_slices=context_slices).inputs == inputs  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["preprocessing.context_slices=1"], "context_slices is 1, expected 0 with a split by slice"),
        (
            ["split.by=patient", "preprocessing.context_slices=2", "network.weights=coco"],
            "network.weights is 'coco', expected 'none' with 5 channels",
        ),
        (["network.name=residual_unet", "preprocessing.size_px=48"], "multiple of 32 for 5 levels"),
        (
            ["network.name=residual_unet", "network.pixel_unshuffle=2", "preprocessing.size_px=96"],
            "multiple of 64 for 6 levels, including network.pixel_unshuffle",
        ),
        (["network.name=residual_unet", "network.pixel_unshuffle=3"], "network.residual_unet.pixel_unshuffle"),
        (
            ["network.name=residual_unet", "network.pixel_unshuffle=4", "preprocessing.size_px=128"],
            "the coarsest level has one pixel",
        ),
        (["network.name=smp", "preprocessing.size_px=48"], "multiple of 32 for 5 levels"),
        (["network.name=residual_unet", "network.features=[16]"], "network.residual_unet.features"),
    ],
)
def test_contradicting_settings_raise(reference: Recipe, settings: list[str], message: str) -> None:
    assert message in refusal(reference, *settings)


def test_features_are_set_as_a_list(reference: Recipe) -> None:
    changed = reference.with_settings(["network.name=residual_unet", "network.features=[8, 16, 32]"])
    assert changed.network == ResidualUnet(features=(8, 16, 32))


# --- networks


@pytest.mark.parametrize("network", [FcnResnet50(weights="coco", head="linear"), Smp(weights="imagenet", encoder="x")])
def test_a_pretrained_network_is_also_built_without_its_weights(network: FcnResnet50 | Smp) -> None:
    changed = network.without_pretrained_weights()
    assert (network.pretrained_weights, changed.pretrained_weights) == (network.weights, "none")
    assert changed == network.model_copy(update={"weights": "none"})


@pytest.mark.parametrize("network", [Unet(), ResidualUnet()])
def test_a_network_without_pretrained_weights_stays_as_it_is(network: Unet | ResidualUnet) -> None:
    assert network.without_pretrained_weights() == network
    assert network.pretrained_weights == "none"


@pytest.mark.parametrize(
    ("network", "steps"),
    [
        (FcnResnet50(), 0),
        (Unet(levels=3), 3),
        (ResidualUnet(features=(8, 8, 8)), 2),
        (ResidualUnet(features=(8, 8, 8), pixel_unshuffle=4), 4),  # two levels, and 4 = 2 ** 2
        (Smp(), 5),
    ],
)
def test_each_network_gives_how_often_it_halves_a_slice(network: Network, steps: int) -> None:
    assert network.downsampling_steps == steps
