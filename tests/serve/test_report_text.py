"""The report picture of a job says what the page shows first, and what a person changed."""

from __future__ import annotations

from typing import Any

from gliomaseg.prediction.mask_statistics import MaskStatistics
from gliomaseg.serve.report_text import report_text

DOCUMENT = {"model": "glioma-flair", "predicted_dice": 0.864, "warnings": ["the scan has no skull"]}


def statistics(**values: Any) -> MaskStatistics:
    return MaskStatistics(
        **{
            "tumour_voxels": 5,
            "tumour_volume_ml": 12.5,
            "largest_area_mm2": 4.0,
            "diameters_mm": [41.4, 27.6],
            "tumour_slices": 1,
            "bounding_box": None,
            "components": 1,
            "extent_mm": None,
        }
        | values
    )


def test_the_report_of_the_models_mask_has_its_predicted_dice_diameters_and_warnings() -> None:
    assert report_text("scan", DOCUMENT, statistics()).lines() == [
        "glioma-flair, predicted Dice 0.86. Research only",
        "Diameters on the largest slice: 41 x 28 mm",
        "Warning: the scan has no skull",
    ]


def test_the_report_of_a_corrected_mask_says_what_a_person_changed() -> None:
    changes = {"added_ml": 1.25, "removed_ml": 0.0, "added_voxels": 10, "removed_voxels": 0}
    assert report_text("scan", DOCUMENT, statistics(), changes).lines()[:3] == [
        "glioma-flair. Research only",
        "Diameters on the largest slice: 41 x 28 mm",
        "Changed by a person: 1.2 ml added, 0.0 ml removed; the model's mask has a predicted Dice of 0.86",
    ]


def test_without_spacing_the_report_counts_pixels() -> None:
    changes = {"added_ml": None, "removed_ml": None, "added_voxels": 1200, "removed_voxels": 3}
    document = DOCUMENT | {"predicted_dice": None, "warnings": []}
    unknown = statistics(tumour_volume_ml=None, diameters_mm=None)
    assert report_text("scan", document, unknown, changes).lines() == [
        "glioma-flair. Research only",
        "Orientation and spacing are unknown: sizes are in pixels",
        "Changed by a person: 1,200 pixels added, 3 pixels removed",
    ]


def test_an_empty_mask_does_not_exclude_a_tumour() -> None:
    empty = statistics(tumour_voxels=0, tumour_volume_ml=0.0, diameters_mm=None)
    assert "An empty mask does not exclude a tumour" in report_text("scan", DOCUMENT, empty).lines()
