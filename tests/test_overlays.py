"""Pictures for people: outlines by hand, colours, sizes."""

from __future__ import annotations

import numpy as np
import pytest

from gliomaseg.overlays import PREDICTED_COLOUR, REFERENCE_COLOUR, contact_sheet, grey, outline, overlay, panel, white


def mask(*rows: str) -> np.ndarray:
    return np.array([[letter == "#" for letter in row] for row in rows])


def test_outline_of_a_block_is_its_rim() -> None:
    block = mask(".....", ".###.", ".###.", ".###.", ".....")
    rim = mask(".....", ".###.", ".#.#.", ".###.", ".....")
    assert np.array_equal(outline(block), rim)


def test_outline_looks_at_four_neighbours_and_not_at_corners() -> None:
    # Of the four around the pixel in row 1, column 1, none is outside; a corner is.
    cut = mask(".####", "#####", "#####", "#####")
    assert np.array_equal(outline(cut), mask(".####", "#...#", "#...#", "#####"))


def test_outline_of_a_mask_that_fills_the_picture_is_the_pictures_rim() -> None:
    assert np.array_equal(outline(np.ones((3, 4), bool)), mask("####", "#..#", "####"))


def test_outline_of_a_single_pixel_is_that_pixel() -> None:
    dot = mask("...", ".#.", "...")
    assert np.array_equal(outline(dot), dot)


def test_outline_of_nothing_is_nothing() -> None:
    assert not outline(np.zeros((3, 3), bool)).any()


def test_grey_is_flair_where_there_are_three_sequences() -> None:
    image = np.random.default_rng(0).integers(0, 256, (4, 5, 3), np.uint8)
    assert np.array_equal(grey(image), image[..., 1])


def test_grey_of_one_channel_is_that_channel() -> None:
    image = np.random.default_rng(0).integers(0, 256, (4, 5, 1), np.uint8)
    assert np.array_equal(grey(image), image[..., 0])


def test_grey_of_16_bits_reaches_from_black_to_white() -> None:
    image = np.array([[0, 1000], [2000, 4000]], np.uint16)[..., None]
    assert grey(image).tolist() == [[0, 63], [127, 255]]


def test_grey_of_16_bits_of_zero_is_black() -> None:
    assert not grey(np.zeros((2, 2, 1), np.uint16)).any()


def test_overlay_without_masks_is_the_slice_in_grey() -> None:
    image = np.random.default_rng(0).integers(0, 256, (4, 5, 3), np.uint8)
    assert np.array_equal(overlay(image), np.repeat(image[..., 1:2], 3, axis=2))


def test_overlay_draws_each_outline_in_its_colour() -> None:
    image = np.full((3, 6, 3), 7, np.uint8)
    reference = mask("#.....", "......", "......")
    predicted = mask("......", "...###", "...###")
    pixels = overlay(image, reference=reference, predicted=predicted)
    assert tuple(pixels[0, 0]) == REFERENCE_COLOUR
    assert {tuple(pixel) for pixel in pixels[1:, 3:].reshape(-1, 3)} == {PREDICTED_COLOUR}
    assert {tuple(pixel) for pixel in pixels[1:, :3].reshape(-1, 3)} == {(7, 7, 7)}


def test_overlay_leaves_the_inside_of_a_mask_to_the_slice() -> None:
    image = np.full((3, 3, 1), 7, np.uint8)
    assert tuple(overlay(image, predicted=np.ones((3, 3), bool))[1, 1]) == (7, 7, 7)


def test_overlay_does_not_change_the_slice() -> None:
    image = np.full((3, 3, 1), 7, np.uint8)
    overlay(image, predicted=np.ones((3, 3), bool))
    assert (image == 7).all()


def test_mask_is_white_on_black() -> None:
    assert white(mask("#.")).tolist() == [[[255, 255, 255], [0, 0, 0]]]


@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (2, 3)])
def test_panel_has_a_place_for_each_picture(rows: int, columns: int) -> None:
    picture = np.zeros((8, 8, 3), np.uint8)
    sheet = panel([[picture] * columns] * rows, columns=["x"] * columns, notes=["y"] * rows, title="t", side_px=20)
    # 10 beside each picture and at the end; 66 above, and 26 for a note and 10 under each row.
    assert sheet.size == (columns * 30 + 10, 66 + rows * 56)


def test_panel_shows_each_picture_in_its_place() -> None:
    colours = [(255, 0, 0), (0, 255, 0), (0, 0, 255)]
    row = [np.full((8, 8, 3), colour, np.uint8) for colour in colours]
    sheet = panel([row], columns=["a", "b", "c"], notes=[""], title="", side_px=20)
    assert [sheet.getpixel((10 + 30 * k + 10, 66 + 10)) for k in range(3)] == colours


def test_panel_refuses_a_note_too_few() -> None:
    with pytest.raises(ValueError, match="zip"):
        panel([[], []], columns=[], notes=["one"], title="")


def test_contact_sheet_has_a_place_for_every_picture_and_centres_it() -> None:
    tiles = [np.full((20, 10, 3), level, np.uint8) for level in (50, 100, 150)]
    sheet = np.asarray(contact_sheet(tiles, notes=["a", "b", "c"], heading=["t"], columns=2, side_px=20))
    assert sheet.shape == (46 + 2 * (20 + 24 + 10), 2 * (20 + 10) + 10, 3)
    for level, (y, x) in zip((50, 100, 150), ((46, 10), (46, 40), (100, 10)), strict=True):
        assert (sheet[y + 10, x + 10] == level).all()
        assert (sheet[y + 10, x + 1] == 0).all()


def test_lines_under_the_title_move_the_pictures_down() -> None:
    tile = np.full((20, 20, 3), 255, np.uint8)
    sheets = [contact_sheet([tile], notes=["a"], heading=["t", *lines], side_px=60) for lines in ([], ["one", "two"])]
    assert sheets[1].height - sheets[0].height == 2 * 18


def test_a_long_title_of_a_contact_sheet_keeps_its_end() -> None:
    tile = np.zeros((60, 60, 3), np.uint8)
    sheets = [
        np.asarray(contact_sheet([tile], notes=["a"], heading=[f"{name}: 12.0 ml"], side_px=60))
        for name in ("W" * 300, "W" * 400)
    ]
    # Both titles are as long as the sheet is wide, and show the same: dots, letters and the volume.
    np.testing.assert_array_equal(*sheets)
    assert (sheets[0][:40, -30:] < 255).any()
