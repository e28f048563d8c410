"""Migration of format 1 to format 2: recipes, `config.json` and `metrics.json` of version 0.1.0.

Format 2 gave the keys the field's terms (decision 15) and removed four settings that no packaged recipe used.
Three settings of augmentation were removed later, without a new format.
"""

from __future__ import annotations

from gliomaseg.config.base import Tree

_SECTIONS = {"preparation": "preprocessing", "decision": "postprocessing", "quality": "dice_estimator"}
_KEYS = {
    "preprocessing": {
        "channels": "input",
        "neighbours": "context_slices",
        "normalise": "normalisation",
        "field_mm": "fov_mm",
        "slice_mm": "min_slice_spacing_mm",
        "bright_level": "p99_5_level",
    },
    "postprocessing": {"flips": "tta_flip", "smallest_voxels": "min_component_voxels"},
    "network": {"width": "base_features", "widths": "features", "patch": "pixel_unshuffle"},
    "training": {
        "tumour_weight": "tumour_oversampling",
        "export": "exported_checkpoint",
        "arithmetic": "onnx_precision",
    },
    "augmentation": {"gain": "brightness", "bias": "bias_field", "low_resolution": "downsample_prob"},
}
_VALUES = {
    ("preprocessing", "input"): {"all": "t1_flair_t1ce"},
    ("preprocessing", "normalisation"): {"volume": "zscore"},
}
_SEQUENCES = {"pre": "t1", "post": "t1ce"}
# Removed settings, with the value that means "not used".
_REMOVED = {
    "network": {"deep_supervision": 0, "presence": False, "members": 1},
    "augmentation": {"tumour_contrast": 0, "graft": 0, "slice_gap": 0, "saturation": 0},
}


def to_format_2(tree: Tree) -> Tree:
    """Return settings of format 1 or 2 with the names of format 2, without a change of the argument.

    A key of format 2 wins over its old name. A removed setting that was in use stays, so that validation fails.
    """
    migrated: Tree = {}
    for name, section in tree.items():
        new_name = _SECTIONS.get(name, name)
        migrated[new_name] = _section(new_name, section) if isinstance(section, dict) else section
    training = migrated.get("training")
    if isinstance(training, dict) and "augment" in training:
        migrated["training"] = {key: value for key, value in training.items() if key != "augment"}
        migrated["augmentation"] = {"preset": training["augment"], **migrated.get("augmentation", {})}
    return {**migrated, "format": 2} if tree.get("format") == 1 else migrated


def model_config_to_format_2(tree: Tree) -> Tree:
    """Return a model's `config.json` of format 1 or 2 as format 2."""
    if tree.get("format") != 1:
        return tree
    migrated = to_format_2(tree)
    if "arithmetic" in migrated:
        migrated["onnx_precision"] = migrated.pop("arithmetic")
    names = migrated.get("sequences")
    if isinstance(names, list | tuple):
        migrated["sequences"] = [_SEQUENCES.get(name, name) if isinstance(name, str) else name for name in names]
    return migrated


def metrics_to_format_2(tree: Tree) -> Tree:
    """Return an evaluation's `metrics.json` of version 0.1.0 with today's keys."""
    migrated = to_format_2(tree)
    if isinstance(by_fold := migrated.pop("decisions_by_fold", None), list):
        migrated["postprocessing_by_fold"] = [
            _section("postprocessing", chosen) if isinstance(chosen, dict) else chosen for chosen in by_fold
        ]
    return migrated


def _section(name: str, section: Tree) -> Tree:
    keys, removed = _KEYS.get(name, {}), _REMOVED.get(name, {})
    kept = {key: value for key, value in section.items() if not (key in removed and value == removed[key])}
    old = {keys[key]: value for key, value in kept.items() if key in keys}
    renamed = {**old, **{key: value for key, value in kept.items() if key not in keys}}
    return {
        key: _VALUES.get((name, key), {}).get(value, value) if isinstance(value, str) else value
        for key, value in renamed.items()
    }
