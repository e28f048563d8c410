from dataclasses import replace

import numpy as np
import pytest
import torch

from gliomaseg.config import Preparation, Training
from gliomaseg.data.augment import AUGMENTATIONS, DRAWS, augmentation_draws, light
from gliomaseg.data.cache import Cache
from gliomaseg.data.dataset import batches, epoch_order, load_batch, training_batch
from gliomaseg.preprocessing import level_counts, neighbour_places, normalise, with_neighbours

CPU = torch.device("cpu")


def make_cache(channels: int = 1) -> Cache:
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (6, channels, 32, 32), np.uint8)
    masks = generator.random((6, 32, 32)) > 0.8
    return Cache("digest", tuple(f"p/{k}" for k in range(1, 7)), images, masks)


def test_an_epoch_visits_every_slice_once():
    order = epoch_order(np.arange(10, 30), seed=0, epoch=0)
    assert sorted(order) == list(range(10, 30))


def test_the_order_depends_on_seed_and_epoch_only():
    positions = np.arange(20)
    first = epoch_order(positions, 1, 2)
    np.random.default_rng().random(5)
    assert np.array_equal(first, epoch_order(positions, 1, 2))
    assert not np.array_equal(first, epoch_order(positions, 1, 3))
    assert not np.array_equal(first, epoch_order(positions, 2, 2))


def test_the_last_batch_may_be_shorter():
    assert [len(run) for run in batches(np.arange(10), 4)] == [4, 4, 2]


@pytest.mark.parametrize("channels", [1, 3])
def test_a_batch_is_what_the_numpy_road_gives(channels):
    cache, preparation = make_cache(channels), Preparation(size_px=32)
    images, masks = load_batch(cache, np.array([3, 1]), preparation, CPU)
    assert images.shape == (2, 3, 32, 32)
    np.testing.assert_allclose(images.numpy(), normalise(cache.images[[3, 1]], preparation), atol=1e-6)
    assert torch.equal(masks, torch.from_numpy(cache.masks[[3, 1]]))


def two_cases(channels: int = 1) -> Cache:
    """Give the six slices to two cases: four, and two."""
    return replace(make_cache(channels), names=("p/1", "p/2", "p/3", "p/4", "q/1", "q/2"))


def test_neighbours_are_of_the_same_case():
    cache, preparation = two_cases(), Preparation(size_px=32, channels="flair", neighbours=1)
    images, _ = load_batch(cache, np.array([0, 3, 4]), preparation, CPU)
    plain, _ = load_batch(cache, np.arange(6), Preparation(size_px=32), CPU)
    assert torch.equal(images, plain[[[0, 0, 1], [2, 3, 3], [4, 4, 5]], 0])


@pytest.mark.parametrize("channels", ["flair", "all"])
@pytest.mark.parametrize("normalisation", ["fixed", "volume"])
@pytest.mark.parametrize("neighbours", [0, 1, 2])
def test_training_and_use_see_the_same_numbers(channels, normalisation, neighbours):
    cache = two_cases(3 if channels == "all" else 1)
    preparation = Preparation(size_px=32, channels=channels, normalise=normalisation, neighbours=neighbours)
    images, _ = load_batch(cache, np.arange(6), preparation, CPU)
    for start, stop in ((0, 4), (4, 6)):
        stack = cache.images[start:stop]
        places = neighbour_places(
            np.arange(len(stack)), np.array([0]), np.array([len(stack) - 1]), neighbours=neighbours
        )
        seen = normalise(with_neighbours(stack, places), preparation, level_counts(stack))
        assert seen.shape[1] == preparation.inputs
        np.testing.assert_allclose(images[start:stop].numpy(), seen, atol=1e-6)


def test_a_single_channel_has_the_numbers_it_always_had():
    cache, preparation = make_cache(), Preparation(size_px=32)
    stored = torch.from_numpy(cache.images)
    before = stored.to(torch.float32).mul_(1 / (255 * 0.5)).sub_(1.0).expand(-1, 3, -1, -1)
    images, _ = load_batch(cache, np.arange(6), preparation, CPU)
    assert torch.equal(images, before)
    assert images.is_contiguous(memory_format=torch.channels_last)


def test_the_draws_of_a_slice_do_not_depend_on_its_batch():
    together = augmentation_draws(0, 1, np.array([4, 2, 5]))
    alone = augmentation_draws(0, 1, np.array([2]))
    assert np.array_equal(together[1], alone[0])
    assert not np.array_equal(alone, augmentation_draws(0, 2, np.array([2])))
    assert not np.array_equal(alone, augmentation_draws(1, 1, np.array([2])))


def test_light_mirrors_picture_and_mask_together():
    images = torch.arange(4.0).reshape(1, 1, 1, 4)
    masks = torch.tensor([[[True, False, False, False]]])
    draws = np.array([[0.1, 0.5, 0.5, 0.0]])  # mirrored; gain 1, offset 0
    changed, mask = light(images, masks, draws)
    assert changed.flatten().tolist() == [3.0, 2.0, 1.0, 0.0]
    assert mask.flatten().tolist() == [False, False, False, True]


def test_light_leaves_the_other_half_unmirrored():
    masks = torch.tensor([[[True, False]]])
    _, mask = light(torch.zeros(1, 1, 1, 2), masks, np.array([[0.9, 0.5, 0.5, 0.0]]))
    assert mask.flatten().tolist() == [True, False]


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_every_augmentation_keeps_shapes_and_the_amount_of_tumour(name):
    cache = make_cache()
    positions = np.arange(6)
    training = Training(augment=name)
    images, masks = training_batch(cache, positions, Preparation(size_px=32), training, epoch=0, device=CPU)
    assert images.shape == (6, 3, 32, 32)
    assert masks.dtype == torch.bool
    assert masks.sum((1, 2)).tolist() == cache.masks.sum((1, 2)).tolist()


def test_draws_have_the_form_that_augmentations_expect():
    assert augmentation_draws(0, 0, np.arange(3)).shape == (3, DRAWS)
