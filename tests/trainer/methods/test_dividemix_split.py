"""How DivideMix divides the samples between epochs, against its transcription, and the passes that it makes of it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.reference import dividemix as transcription
from trainer.methods.dividemix import DIVIDED, WARM_UP, DivideMix, mini_batches
from trainer.methods.mixture import clean_probabilities


def method(**settings: Any) -> DivideMix:
    return DivideMix.from_settings(300, settings)


# Between epochs


def probabilities(random: np.random.Generator, count: int, num_classes: int = 4) -> np.ndarray:
    """(N, K) of a network that is mostly sure of class 0."""
    logits = random.normal(0.0, 1.5, (count, num_classes))
    logits[:, 0] += np.where(random.random(count) < 0.7, 3.0, 0.0)
    powers = np.exp(logits)
    return np.asarray(powers / powers.sum(axis=1, keepdims=True), np.float32)


def clusters(values: list[float]) -> list[int]:
    """Those of k-means, from which the mixture is fitted: with few iterations it depends on where it starts."""
    from sklearn.cluster import KMeans

    column = np.array(values, np.float32).astype(np.float64)[:, None]
    fitted: list[int] = KMeans(2, n_init=1, random_state=np.random.RandomState(0)).fit(column).labels_.tolist()
    return fitted


@pytest.mark.parametrize("loss_epochs", [1, 3])
def test_clean_probabilities_are_the_transcription_s_over_epochs(loss_epochs: int) -> None:
    divide_mix, random, count = method(loss_epochs=loss_epochs, warm_up=2), np.random.default_rng(1), 90
    labels = random.integers(0, 4, count).astype(np.int32)
    memory = divide_mix.memory(count, 4)
    history: tuple[list[Any], list[Any]] = ([], [])
    for epoch in range(7):
        said = [probabilities(random, count) for _ in "12"]
        memory |= divide_mix.epoch_end(epoch, memory, labels, lambda k, said=said: said[k])  # type: ignore[misc]
        if epoch == 0:
            assert not memory["clean_probability"].any()
            assert np.isnan(divide_mix.sample_values(memory)["clean_probability"]).all()
            continue
        for k in (0, 1):
            history[k].append(transcription.losses_of(said[k].tolist(), labels.tolist()))
            values = transcription.mean_of_last(history[k], loss_epochs)
            expected = transcription.clean_probabilities(values, clusters(values))
            np.testing.assert_allclose(memory["clean_probability"][:, k], expected, rtol=1e-3, atol=1e-4)
            labelled, _ = transcription.split(memory["clean_probability"][:, k].tolist(), 0.5)
            assert 0 < len(labelled) < count
            assert memory["labelled_share"][1 - k] == pytest.approx(len(labelled) / count)
    assert {name: (v.shape, v.dtype) for name, v in memory.items()} == {
        name: (v.shape, v.dtype) for name, v in divide_mix.memory(count, 4).items()
    }
    column = divide_mix.sample_values(memory)["clean_probability"]
    np.testing.assert_allclose(column, memory["clean_probability"].mean(axis=1))


def test_the_same_losses_give_the_same_bits() -> None:
    losses = np.random.default_rng(0).random(5000).astype(np.float32) ** 3
    np.testing.assert_array_equal(clean_probabilities(losses), clean_probabilities(losses.copy()))


def test_where_all_losses_are_equal_nothing_is_clean() -> None:
    divide_mix, labels = method(warm_up=1), np.zeros(8, np.int32)
    memory = divide_mix.memory(8, 2)
    memory |= divide_mix.epoch_end(0, memory, labels, lambda k: np.full((8, 2), 0.5, np.float32))
    assert not memory["clean_probability"].any()
    assert [part.stage for part in passes(divide_mix, memory, epoch=5)] == [WARM_UP, WARM_UP]


def test_a_probability_of_zero_is_a_finite_loss() -> None:
    divide_mix, labels = method(warm_up=1), np.array([0, 0, 1, 1, 0, 1], np.int32)
    memory = divide_mix.memory(6, 2)
    said = np.array([[1.0, 0.0], [0.9, 0.1], [1.0, 0.0], [0.2, 0.8], [0.6, 0.4], [0.0, 1.0]], np.float32)
    memory |= divide_mix.epoch_end(0, memory, labels, lambda k: said)
    assert np.isfinite(memory["clean_probability"]).all()
    assert memory["clean_probability"][2].max() < 0.5 < memory["clean_probability"][0].min()


# The passes of an epoch


def passes(divide_mix: DivideMix, memory: dict[str, np.ndarray], epoch: int = 50, batch: int = 5, seed: int = 0) -> Any:
    count = len(memory["clean_probability"])
    batches = mini_batches(np.arange(count, dtype=np.int32), min(batch, count))
    return divide_mix.epoch_passes(epoch, batches, memory, np.random.default_rng(seed))


def memory_of(divide_mix: DivideMix, first: Any, second: Any) -> dict[str, np.ndarray]:
    """With clean probabilities by the first and by the second network's losses."""
    probability = np.stack([first, second], axis=1).astype(np.float32)
    return {**divide_mix.memory(len(probability), 3), "clean_probability": probability}


def test_in_the_warm_up_each_network_sees_all_samples_in_mini_batches_of_both_halves() -> None:
    divide_mix = method()
    made = passes(divide_mix, divide_mix.memory(33, 3), epoch=3)
    assert [part.learns for part in made] == [(True, False), (False, True)]
    for part in made:
        assert (part.stage, part.indices.shape, part.indices.dtype) == (WARM_UP, (4, 10), np.int32)
        assert set(part.indices.ravel()) == set(range(33))
        assert all(len(set(row)) == 10 for row in part.indices.tolist())
    assert (made[0].indices != made[1].indices).any()


def test_each_network_learns_from_the_split_by_the_other_s_losses() -> None:
    divide_mix, random = method(clean_threshold=0.6), np.random.default_rng(2)
    memory = memory_of(divide_mix, random.random(60), random.random(60) ** 2)
    for k, part in enumerate(passes(divide_mix, memory)):
        assert (part.stage, part.learns) == (DIVIDED, (k == 0, k == 1))
        labelled, unlabelled = transcription.split(memory["clean_probability"][:, 1 - k].tolist(), 0.6)
        assert 5 < len(labelled) < 55
        assert part.indices.shape == (-(-len(labelled) // 5), 10)
        first, second = part.indices[:, :5], part.indices[:, 5:]
        assert set(first.ravel()) == labelled
        assert set(second.ravel()) <= unlabelled
        seen = [int((second == sample).sum()) for sample in unlabelled]
        # shuffled anew when used up: all about as often as any
        assert max(seen) - min(seen) <= 1 + (len(unlabelled) % 5 != 0)
        assert all(len(set(row)) == 10 for row in part.indices.tolist())


@pytest.mark.parametrize("count", [2, 3, 9, 10, 11, 40])
@pytest.mark.parametrize("labelled", [0, 1, 2, 4, 100])
def test_a_side_of_too_few_samples_is_joined_by_those_nearest_to_the_threshold(count: int, labelled: int) -> None:
    labelled = min(labelled, count)
    random = np.random.default_rng(count)
    probability = np.where(np.arange(count) < labelled, 0.6, 0.1) + random.permutation(count) / count / 4
    divide_mix = method()
    half = min(5, count // 2)
    for part in passes(divide_mix, memory_of(divide_mix, probability, probability)):
        assert all(len(set(row)) == 2 * half for row in part.indices.tolist())
        if not labelled:
            assert part.stage == WARM_UP
            assert set(part.indices.ravel()) == set(range(count))
            continue
        assert part.stage == DIVIDED
        size = min(max(labelled, half), count - half)
        ranked = np.argsort(-probability)
        assert set(part.indices[:, :half].ravel()) == set(ranked[:size])
        assert set(part.indices[:, half:].ravel()) <= set(ranked[size:])


def test_passes_are_a_function_of_memory_and_seed() -> None:
    divide_mix, random = method(), np.random.default_rng(2)
    memory = memory_of(divide_mix, random.random(60), random.random(60))
    first, again, other = (passes(divide_mix, memory, seed=seed) for seed in (3, 3, 4))
    for one, two, three in zip(first, again, other, strict=True):
        np.testing.assert_array_equal(one.indices, two.indices)
        assert not np.array_equal(one.indices, three.indices)
