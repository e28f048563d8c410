"""Augmentation: depends on (seed, epoch, slice) only, and changes image and mask together."""

import math

import numpy as np
import pytest
import torch

from gliomaseg.config import Augmentation, Preprocessing, Recipe
from gliomaseg.data.augmentation import (
    AUGMENTATIONS,
    DRAWS,
    augmentation_draws,
    intensity,
    light,
    pipeline,
    random_fields,
    spatial,
)
from gliomaseg.data.augmentation.pipeline import augment

SIDE = 32
NOTHING = dict.fromkeys(Augmentation.model_fields, 0) | {"mirror": False, "strength": 1, "preset": "strong"}
PLAIN = Recipe(preprocessing=Preprocessing(size_px=SIDE, input="flair"))


def slices_and_repeats(*positions):
    return np.array([[k, 0] for k in positions])


def disc_images(count=4, channels=1):
    """Return smooth images of a bright disc on black, and the disc as mask."""
    steps = (torch.arange(SIDE) - SIDE / 2 + 0.5) / SIDE
    radius = (steps[:, None] ** 2 + (steps[None] - 0.1) ** 2).sqrt()
    bright = (0.3 - radius).clamp(0) / 0.3
    gains = torch.linspace(0.5, 1, count * channels).view(count, channels, 1, 1)
    return 2 * bright * gains - 1, (radius < 0.2).expand(count, SIDE, SIDE)


def augmented(draws, *, images=None, masks=None, sequences=1, **limits):
    default_images = disc_images(len(draws))
    images, masks = (default_images[0] if images is None else images), (default_images[1] if masks is None else masks)
    return augment(images, masks, draws, limits=Augmentation(**{**NOTHING, **limits}), sequences=sequences)


def draws_of(count=4, **columns):
    """Return draws that change nothing, except in the named columns."""
    draws = np.full((count, DRAWS), 0.5)
    for name, value in columns.items():
        draws[:, getattr(pipeline, name.upper())] = value
    return draws


# --- draws


def test_the_draws_of_a_slice_do_not_depend_on_its_batch():
    together = augmentation_draws(0, 1, slices_and_repeats(4, 2, 5))
    alone = augmentation_draws(0, 1, slices_and_repeats(2))
    assert together.shape == (3, DRAWS)
    assert np.array_equal(together[1], alone[0])
    assert not np.array_equal(alone, augmentation_draws(0, 2, slices_and_repeats(2)))
    assert not np.array_equal(alone, augmentation_draws(1, 1, slices_and_repeats(2)))


def test_a_repeated_slice_gets_new_draws():
    first, second = augmentation_draws(0, 1, np.array([[2, 0], [2, 1]]))
    assert np.array_equal(first, np.random.default_rng([0, 1, 2, 1]).random(DRAWS))
    assert not np.array_equal(first, second)


# --- every preset


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_every_preset_keeps_shapes_and_gives_finite_numbers(name):
    images, masks = disc_images(6, channels=3)
    images[2] = -1  # black
    after, mask = AUGMENTATIONS[name](images, masks, augmentation_draws(0, 0, slices_and_repeats(*range(6))), PLAIN)
    assert (after.shape, after.dtype) == (images.shape, torch.float32)
    assert (mask.shape, mask.dtype) == (masks.shape, torch.bool)
    assert torch.isfinite(after).all()
    assert ((mask.sum((1, 2)) - masks.sum((1, 2))).abs() <= masks.sum((1, 2))).all()


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_the_augmentation_of_a_slice_does_not_depend_on_its_batch(name):
    images, masks = disc_images(6, channels=3)
    draws = augmentation_draws(5, 1, slices_and_repeats(*range(6)))
    together, masks_together = AUGMENTATIONS[name](images, masks, draws, PLAIN)
    for some in ([3], [5, 0], [4, 1, 2]):
        alone, masks_alone = AUGMENTATIONS[name](images[some], masks[some], draws[some], PLAIN)
        torch.testing.assert_close(alone, together[some], atol=1e-5, rtol=0)
        assert torch.equal(masks_alone, masks_together[some])


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_equal_draws_give_identical_results(name):
    images, masks = disc_images()
    draws = augmentation_draws(5, 1, slices_and_repeats(*range(4)))
    first, second = (AUGMENTATIONS[name](images.clone(), masks.clone(), draws, PLAIN) for _ in range(2))
    assert torch.equal(first[0], second[0])
    assert torch.equal(first[1], second[1])


# --- light


def test_light_mirrors_image_and_mask():
    images = torch.arange(4.0).reshape(1, 1, 1, 4)
    masks = torch.tensor([[[True, False, False, False]]])
    draws = np.array([[0.1, 0.5, 0.5, 0.0]])  # mirrored; gain 1, offset 0
    after, mask = light(images, masks, draws, PLAIN)
    assert after.flatten().tolist() == [3.0, 2.0, 1.0, 0.0]
    assert mask.flatten().tolist() == [False, False, False, True]


def test_light_leaves_the_other_half_of_the_slices_unmirrored():
    masks = torch.tensor([[[True, False]]])
    _, mask = light(torch.zeros(1, 1, 1, 2), masks, np.array([[0.9, 0.5, 0.5, 0.0]]), PLAIN)
    assert mask.flatten().tolist() == [True, False]


# --- strong


@pytest.mark.parametrize("limits", [NOTHING, {**Augmentation().model_dump(), "strength": 0, "mirror": False}])
def test_strength_zero_changes_nothing(limits):
    images, masks = disc_images()
    draws = augmentation_draws(0, 0, slices_and_repeats(*range(4)))
    draws[:, [pipeline.COARSE, pipeline.DROP_CONTEXT]] = 0.999  # probabilities, not multiplied by strength
    after, mask = augmented(draws, **limits)
    torch.testing.assert_close(after, images, atol=1e-4, rtol=0)
    assert torch.equal(mask, masks)


def test_the_strength_multiplies_the_limits():
    draws = draws_of(rotation=0.9, shift_x=0.3, brightness=0.2)
    weak = augmented(draws, strength=0.5, rotation_deg=40, shift=0.2, brightness=0.4)
    full = augmented(draws, strength=1, rotation_deg=20, shift=0.1, brightness=0.2)
    torch.testing.assert_close(weak[0], full[0])


def test_half_of_the_slices_are_mirrored():
    images, masks = disc_images()
    after, mask = augmented(draws_of(mirror=[0.1, 0.49, 0.5, 0.9]), mirror=True)
    torch.testing.assert_close(after[:2], images[:2].flip(-1), atol=1e-4, rtol=0)
    torch.testing.assert_close(after[2:], images[2:], atol=1e-4, rtol=0)
    assert torch.equal(mask[:2], masks[:2].flip(-1))


def test_a_rotation_by_90_degrees_turns_image_and_mask():
    images, masks = disc_images()
    after, mask = augmented(draws_of(rotation=1.0), rotation_deg=90)
    torch.testing.assert_close(after, images.rot90(1, (2, 3)), atol=1e-3, rtol=0)
    assert torch.equal(mask, masks.rot90(1, (1, 2)))


def test_slices_without_skull_have_their_own_largest_angle():
    # Draws of 0 turn by the whole limit: 90 degrees without skull, 0 with it.
    images, masks = disc_images(2)
    draws = draws_of(2, rotation=0.0, scalp=[0.2, 0.4])
    after, mask = augmented(
        draws, images=images, masks=masks, rotation_deg=0, skull_strip=0.3, stripped_rotation_deg=90
    )
    assert not torch.allclose(after[0], images[0], atol=1e-4)
    torch.testing.assert_close(after[0], images[0].rot90(-1, (1, 2)), atol=1e-4, rtol=0)
    torch.testing.assert_close(after[1], images[1], atol=1e-4, rtol=0)
    assert torch.equal(mask[0], masks[0].rot90(-1, (0, 1)))


def test_a_shift_is_a_fraction_of_the_side_and_fills_with_black():
    images, masks = disc_images()
    after, mask = augmented(draws_of(shift_x=1.0), shift=0.25)
    torch.testing.assert_close(after[..., :24], images[..., 8:], atol=1e-3, rtol=0)
    assert (after[..., 24:] + 1).abs().max() < 1e-4
    assert torch.equal(mask[..., :24], masks[..., 8:])
    assert not mask[..., 24:].any()


def test_scale_magnifies_by_e_to_its_power():
    _, masks = disc_images()
    _, mask = augmented(draws_of(scale=1.0), scale=0.25)
    assert mask.sum().item() == pytest.approx(masks.sum().item() * math.exp(0.5), rel=0.1)


def test_brightness_gamma_and_offset_change_intensities_only():
    images, masks = disc_images()
    light_before = (images + 1) / 2  # of the brightest, 1
    top = light_before.amax((1, 2, 3), keepdim=True)
    for column, limit, expected in (
        ("brightness", 0.5, light_before * math.exp(0.5)),
        ("gamma", 0.5, (light_before / top) ** math.exp(0.5) * top),
        ("offset", 0.1, light_before + 0.1 * top),
    ):
        after, mask = augmented(draws_of(**{column: 1.0}), **{column: limit})
        torch.testing.assert_close((after + 1) / 2, expected, atol=1e-4, rtol=0)
        assert torch.equal(mask, masks)


def test_noise_changes_half_of_the_slices():
    images, _ = disc_images()
    after, _ = augmented(draws_of(noise=[0.2, 0.5, 0.75, 1.0]), noise=0.1)
    spread = (after - images).flatten(1).std(dim=1) / (images + 1).amax((1, 2, 3))
    assert spread.tolist() == pytest.approx([0, 0, 0.05, 0.1], abs=0.005)


def test_elastic_deforms_image_and_mask_alike():
    _, masks = disc_images()
    draws = draws_of(elastic=1.0, key=[0.1, 0.3, 0.6, 0.9])
    after, mask = augmented(draws, elastic=0.03, images=torch.where(masks[:, None], 1.0, -1.0))
    assert torch.equal(after[:, 0] > 0, mask)
    assert not torch.equal(mask, masks)
    assert not torch.equal(mask[0], mask[1])


# --- the changes of the pipeline


def test_blur_keeps_the_sum_and_has_the_given_sigma():
    point = torch.zeros(3, 1, 31, 31)
    point[:, :, 15, 15] = 1
    spread = intensity.blur(point, np.array([0.0, 0.8, 1.2]))
    assert spread.sum((1, 2, 3)).tolist() == pytest.approx([1, 1, 1])
    assert torch.equal(spread[0], point[0])
    steps = torch.arange(31.0) - 15
    widths = [(row.sum(0) * steps**2).sum().sqrt().item() for row in spread[:, 0]]
    assert widths == pytest.approx([0, 0.8, 1.2], abs=0.02)


def test_only_chosen_slices_get_half_the_resolution():
    images = torch.rand(2, 1, 8, 8)
    after = intensity.halve_resolution(images, np.array([True, False]))
    assert torch.equal(after[1], images[1])
    assert after[0].std() < images[0].std()
    assert after[0].mean().item() == pytest.approx(images[0].mean().item(), abs=0.05)


def test_a_dropped_sequence_becomes_flair_and_dropped_context_the_slice():
    images = torch.arange(9.0).view(1, 9, 1, 1).expand(4, 9, 1, 1)  # three slices of T1, FLAIR, T1ce
    lost = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 1], [1, 1, 1]], bool)
    after = intensity.drop_channels(images, sequences=3, dropped=lost)[..., 0, 0]
    assert after.tolist() == [
        [0, 1, 2, 3, 4, 5, 6, 7, 8],
        [1, 1, 2, 4, 4, 5, 7, 7, 8],
        [3, 4, 4, 3, 4, 4, 3, 4, 4],
        [4, 4, 4, 4, 4, 4, 4, 4, 4],
    ]


def test_with_two_sequences_t1_can_be_dropped_and_flair_cannot():
    images = torch.arange(6.0).view(1, 6, 1, 1).expand(3, 6, 1, 1)  # three slices of T1 and FLAIR
    lost = np.array([[0, 1, 0], [1, 0, 0], [1, 0, 1]], bool)
    after = intensity.drop_channels(images, sequences=2, dropped=lost)[..., 0, 0]
    assert after.tolist() == [[0, 1, 2, 3, 4, 5], [1, 1, 3, 3, 5, 5], [3, 3, 3, 3, 3, 3]]


def test_t1_and_context_are_dropped_with_their_own_probabilities():
    images, masks = disc_images(1, channels=6)
    draws = draws_of(1, drop_t1=0.3, drop_context=0.3)
    for shares, gone in (({"t1_dropout": 0.4}, [0, 2, 4]), ({"channel_dropout": 0.4, "t1_dropout": 0}, [0, 1, 4, 5])):
        after, _ = augmented(draws, images=images, masks=masks, sequences=2, **shares)
        other = ((after - images).abs() > 1e-3).flatten(2).any(dim=2)[0]
        assert torch.nonzero(other).flatten().tolist() == gone


def test_a_single_channel_is_never_dropped():
    images = torch.rand(2, 1, 4, 4)
    assert torch.equal(intensity.drop_channels(images, sequences=1, dropped=np.ones((2, 3), bool)), images)


def test_sampling_matrices_without_changes_are_the_identity():
    rows = spatial.sampling_matrices(
        mirrored=np.array([False]), radians=np.zeros(1), zoom=np.ones(1), shift=np.zeros((1, 2))
    )
    assert rows.tolist() == [[[1, 0, 0], [0, 1, 0]]]


def test_hashed_noise_is_normal_and_uncorrelated():
    keys = torch.tensor([0, 1, 2**32 - 1])
    numbers = random_fields.normal_noise(keys, stream=0, shape=(1, 200, 200)).flatten(1)
    assert numbers.mean(dim=1).tolist() == pytest.approx([0, 0, 0], abs=0.02)
    assert numbers.std(dim=1).tolist() == pytest.approx([1, 1, 1], abs=0.02)
    assert (numbers.abs() > 1.96).float().mean().item() == pytest.approx(0.05, abs=0.005)
    for step in (1, 2, 200):
        assert abs((numbers[:, step:] * numbers[:, :-step]).mean().item()) < 0.02
    assert abs((numbers[0] * numbers[1]).mean().item()) < 0.02
    assert (
        abs((numbers * random_fields.normal_noise(keys, stream=1, shape=(1, 200, 200)).flatten(1)).mean().item()) < 0.02
    )


def test_smooth_fields_are_smooth_and_have_the_given_shape():
    field = random_fields.smooth_fields(torch.tensor([7, 8]), stream=0, count=2, side=64)
    assert field.shape == (2, 2, 64, 64)
    assert field.diff(dim=-1).abs().max() < 0.5
    assert 0.3 < field.std() < 1.5
