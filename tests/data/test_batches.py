from dataclasses import replace

import numpy as np
import pytest
import torch

from gliomaseg.config import Augmentation, Preprocessing, Recipe, Training
from gliomaseg.data import batches as batches_module
from gliomaseg.data.augmentation import pipeline
from gliomaseg.data.batches import batches, epoch_samples, load_batch, training_batch
from gliomaseg.data.cache import Cache
from gliomaseg.preprocessing import context_indices, level_counts, level_scales, normalise, with_context

CPU = torch.device("cpu")


def make_cache(channels: int = 1) -> Cache:
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (6, channels, 32, 32), np.uint8)
    masks = generator.random((6, 32, 32)) > 0.8
    return Cache("digest", tuple(f"p/{k}" for k in range(1, 7)), images, masks)


def sampled_positions(positions, training=None, epoch=0):
    """Return the positions of the slices of an epoch, in its order."""
    return epoch_samples(make_cache(), np.array(positions), training or Training(), epoch)[:, 0].tolist()


def test_epoch_has_every_slice_once():
    assert sorted(sampled_positions([1, 2, 3, 5])) == [1, 2, 3, 5]


def test_order_of_slices_is_a_permutation_seeded_by_seed_and_epoch():
    expected = np.random.default_rng([3, 1, 0]).permutation(np.arange(6))
    assert sampled_positions(range(6), Training(seed=3), epoch=1) == expected.tolist()


def test_order_of_slices_depends_only_on_seed_and_epoch():
    first = sampled_positions(range(6), Training(seed=1), 2)
    np.random.default_rng().random(5)
    assert sampled_positions(range(6), Training(seed=1), 2) == first
    assert sampled_positions(range(6), Training(seed=1), 3) != first
    assert sampled_positions(range(6), Training(seed=2), 2) != first


@pytest.mark.parametrize(("weight", "tumour"), [(1.0, 40), (1.5, 60), (2.0, 80), (3.25, 130)])
def test_slices_with_tumour_are_oversampled_and_others_come_once(weight, tumour):
    masks = np.zeros((100, 2, 2), bool)
    masks[::5, 0, 0] = masks[1::5, 1, 1] = True
    cache = Cache("digest", tuple(f"p/{k}" for k in range(100)), np.zeros((100, 1, 2, 2), np.uint8), masks)
    samples = epoch_samples(cache, np.arange(100), Training(tumour_oversampling=weight), 4)
    times = np.bincount(samples[:, 0], minlength=100)
    assert times[cache.has_tumour].sum() == tumour
    assert set(times[~cache.has_tumour]) == {1}
    assert set(times[cache.has_tumour]) <= {int(weight), int(weight) + 1}
    # Samples of the same slice differ in their repeat number.
    assert len({tuple(sample) for sample in samples.tolist()}) == len(samples)
    assert samples[:, 1].max() == times.max() - 1


def test_the_last_batch_may_be_shorter():
    assert [len(batch) for batch in batches(np.arange(10), 4)] == [4, 4, 2]


@pytest.mark.parametrize("channels", [1, 3])
def test_batch_equals_the_numpy_normalisation(channels):
    cache, preprocessing = make_cache(channels), Preprocessing(size_px=32)
    images, masks = load_batch(cache, np.array([3, 1]), preprocessing, CPU)
    assert images.shape == (2, 3, 32, 32)
    np.testing.assert_allclose(images.numpy(), normalise(cache.images[[3, 1]], preprocessing), atol=1e-6)
    assert torch.equal(masks, torch.from_numpy(cache.masks[[3, 1]]))


def two_cases(channels: int = 1) -> Cache:
    """Return a cache of two cases with four and two slices."""
    return replace(make_cache(channels), names=("p/1", "p/2", "p/3", "p/4", "q/1", "q/2"))


def test_context_slices_are_of_the_same_case():
    cache, preprocessing = two_cases(), Preprocessing(size_px=32, input="flair", context_slices=1)
    images, _ = load_batch(cache, np.array([0, 3, 4]), preprocessing, CPU)
    plain, _ = load_batch(cache, np.arange(6), Preprocessing(size_px=32), CPU)
    assert torch.equal(images, plain[[[0, 0, 1], [2, 3, 3], [4, 4, 5]], 0])


@pytest.mark.parametrize("channels", ["flair", "t1_flair", "t1_flair_t1ce"])
@pytest.mark.parametrize(
    "normalisation",
    [{"normalisation": "fixed"}, {"normalisation": "zscore"}, {"normalisation": "zscore", "max_zscore": 0.5}],
    ids=["fixed", "zscore", "limited"],
)
@pytest.mark.parametrize("context_slices", [0, 1, 2])
def test_training_and_prediction_get_equal_inputs(channels, normalisation, context_slices):
    cache = two_cases({"flair": 1, "t1_flair": 2, "t1_flair_t1ce": 3}[channels])
    preprocessing = Preprocessing(size_px=32, input=channels, context_slices=context_slices, **normalisation)
    images, _ = load_batch(cache, np.arange(6), preprocessing, CPU)
    for start, stop in ((0, 4), (4, 6)):
        stack = cache.images[start:stop]
        context = context_indices(
            np.arange(len(stack)), np.array([0]), np.array([len(stack) - 1]), context_slices=context_slices
        )
        expected = normalise(with_context(stack, context), preprocessing, level_counts(stack))
        assert expected.shape[1] == preprocessing.inputs
        np.testing.assert_allclose(images[start:stop].numpy(), expected, atol=1e-6)


@pytest.mark.parametrize("preset", ["none", "light", "strong"])
def test_augmented_slices_are_limited_too(preset):
    settings = {"size_px": 32, "input": "flair", "normalisation": "zscore", "max_zscore": 0.5}
    recipe = Recipe(preprocessing=Preprocessing(**settings), augmentation=Augmentation(preset=preset))
    cache = make_cache()
    samples = epoch_samples(cache, np.arange(6), recipe.training, 0)
    images, _ = training_batch(cache, samples, recipe, epoch=0, device=CPU)
    assert images.max() == 0.5


def test_single_channel_is_scaled_to_minus_one_to_one_and_repeated():
    cache, preprocessing = make_cache(), Preprocessing(size_px=32)
    stored = torch.from_numpy(cache.images)
    before = stored.to(torch.float32).mul_(1 / (255 * 0.5)).sub_(1.0).expand(-1, 3, -1, -1)
    images, _ = load_batch(cache, np.arange(6), preprocessing, CPU)
    assert torch.equal(images, before)
    assert images.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("channels", ["flair", "t1_flair", "t1_flair_t1ce"])
def test_device_cache_gives_the_same_batches(channels):
    cache = two_cases({"flair": 1, "t1_flair": 2, "t1_flair_t1ce": 3}[channels])
    preprocessing = Preprocessing(size_px=32, input=channels, normalisation="zscore", context_slices=2)
    copied = batches_module._copy_to_device(cache, CPU)
    batches_of_both = [load_batch(c, np.array([4, 0, 3]), preprocessing, CPU) for c in (cache, copied)]
    for expected, actual in zip(*batches_of_both, strict=True):
        assert torch.equal(expected, actual)
    assert copied.positions(()).size == 0
    np.testing.assert_array_equal(copied.has_tumour, cache.has_tumour)


@pytest.mark.parametrize(("free_bytes", "fits"), [(32 * 32 * 6 * 5, True), (32 * 32 * 6 * 4, False)])
def test_slices_are_copied_to_a_gpu_only_if_they_fit(monkeypatch, free_bytes, fits):
    monkeypatch.setattr(batches_module, "_free_bytes", lambda _device: free_bytes)
    monkeypatch.setattr(batches_module, "_copy_to_device", lambda _cache, _device: "device copy")
    cache = make_cache()
    assert batches_module.on_device(cache, torch.device("cuda")) == ("device copy" if fits else cache)
    assert batches_module.on_device(cache, CPU) is cache


def test_single_channel_is_repeated_after_augmentation():
    recipe = Recipe(
        preprocessing=Preprocessing(size_px=32, input="flair"),
        augmentation=Augmentation(preset="strong"),
        training=Training(seed=3),
    )
    samples = np.array([[4, 0], [1, 0]])
    images, masks = training_batch(make_cache(), samples, recipe, epoch=2, device=CPU)
    assert images.shape == (2, 3, 32, 32)
    assert images.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(images[:, 0], images[:, 2])
    assert masks.dtype == torch.bool
    plain, _ = load_batch(make_cache(), samples[:, 0], recipe.preprocessing, CPU)
    assert not torch.allclose(images, plain, atol=0.1)


def stripping_cache(channels: int = 1) -> Cache:
    """Return two cases whose brain is the left half of each slice, and whose tumour may lie outside of it."""
    brain = np.zeros((6, 32, 32), bool)
    brain[:, :, :16] = True
    return replace(two_cases(channels), brain=brain)


def stripping_recipe(share: float, **preprocessing) -> Recipe:
    """Return a recipe whose only change is the stripping of the skull."""
    limits = Augmentation(
        preset="strong", strength=0, mirror=False, downsample_prob=0, channel_dropout=0, skull_strip=share
    )
    return Recipe(preprocessing=Preprocessing(size_px=32, **preprocessing), augmentation=limits)


def first_samples() -> np.ndarray:
    positions = np.arange(6)
    return np.stack([positions, np.zeros_like(positions)], axis=1)


@pytest.mark.parametrize("channels", ["flair", "t1_flair_t1ce"])
@pytest.mark.parametrize("context_slices", [0, 1])
def test_a_stripped_slice_equals_one_of_a_stripped_stack(channels, context_slices):
    cache = stripping_cache({"flair": 1, "t1_flair_t1ce": 3}[channels])
    settings = {"input": channels, "normalisation": "zscore", "context_slices": context_slices}
    recipe = stripping_recipe(1.0, **settings)
    images, _ = training_batch(cache, first_samples(), recipe, epoch=0, device=CPU)
    growths = np.floor(3 * batches_module.augmentation_draws(0, 0, first_samples())[:, pipeline.BRAIN_GROWTH]) - 1
    assert set(growths) == {-1, 0, 1}  # all three are tested
    for k, growth in enumerate(growths.astype(int)):
        kept = np.zeros((6, 32, 32), bool)
        kept[:, :, : 16 + growth] = True
        stack = cache.images * (kept | cache.masks)[:, None]
        # The levels are those of the stack whose brain has not grown.
        counted = replace(cache, images=cache.images * (cache.brain)[:, None])
        case = slice(0, 4) if k < 4 else slice(4, 6)
        context = context_indices(
            np.array([k]), np.array([case.start]), np.array([case.stop - 1]), context_slices=context_slices
        )
        levels = level_counts(counted.images[case])
        expected = normalise(with_context(stack, context), recipe.preprocessing, levels)
        np.testing.assert_allclose(images[k].numpy(), expected[0], atol=1e-5)


def test_slices_that_are_not_chosen_keep_their_skull():
    cache, recipe = stripping_cache(), stripping_recipe(1e-9)
    images, _ = training_batch(cache, first_samples(), recipe, epoch=0, device=CPU)
    plain, _ = load_batch(cache, np.arange(6), recipe.preprocessing, CPU)
    np.testing.assert_allclose(images.numpy(), plain.numpy(), atol=1e-5)


def test_the_share_of_stripped_slices_is_that_of_the_recipe():
    cache, recipe = stripping_cache(), stripping_recipe(0.25)
    plain, _ = load_batch(cache, np.arange(6), recipe.preprocessing, CPU)
    changed = 0
    for epoch in range(100):
        images, _ = training_batch(cache, first_samples(), recipe, epoch=epoch, device=CPU)
        changed += int(((images - plain).abs().amax(dim=(1, 2, 3)) > 1e-3).sum())
    # 600 draws of 0.25: mean 150, standard deviation 10.6
    assert 118 < changed < 182


def test_stripping_changes_no_mask():
    cache, recipe = stripping_cache(), stripping_recipe(1.0)
    _, masks = training_batch(cache, first_samples(), recipe, epoch=0, device=CPU)
    assert torch.equal(masks, torch.from_numpy(cache.masks))


def test_suppressed_fat_is_darker_and_counted_darker():
    cache = stripping_cache()
    recipe = stripping_recipe(0.0, input="flair", normalisation="zscore")
    limits = recipe.augmentation.model_copy(update={"fat_suppression": 1.0})
    recipe = recipe.model_copy(update={"augmentation": limits})
    images, _ = training_batch(cache, first_samples(), recipe, epoch=0, device=CPU)
    draws = batches_module.augmentation_draws(0, 0, first_samples())
    for k, (size, growth) in enumerate(draws[:, [pipeline.SCALP_LEVEL, pipeline.BRAIN_GROWTH]]):
        kept = np.zeros((6, 32, 32), bool)
        kept[:, :, : 16 + int(np.floor(3 * growth)) - 1] = True
        factor = 0.1 + 0.6 * size
        stack = np.where(kept | cache.masks, cache.images[:, 0], cache.images[:, 0] * factor)
        counted = np.where(cache.brain, cache.images[:, 0], np.floor(cache.images[:, 0] * factor + 0.5))
        case = slice(0, 4) if k < 4 else slice(4, 6)
        levels = np.bincount(counted[case].astype(int).ravel(), minlength=256)[None, None]
        scale, shift = level_scales(recipe.preprocessing, levels)
        expected = stack[k] * scale[0, 0] - shift[0, 0]
        np.testing.assert_allclose(images[k, 0].numpy(), expected, atol=1e-4)


def test_more_changed_slices_than_all_are_refused():
    with pytest.raises(ValueError, match=r"skull_strip \+ fat_suppression is 1\.2, expected 1 or less"):
        Augmentation(skull_strip=0.6, fat_suppression=0.6)
