"""SELFIE's step in small cases by hand: histories, certainty, ties, restarts."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from trainer.methods.selfie import Selfie


def selfie(**settings: Any) -> Selfie:
    """SELFIE after its warm-up, with a history of 3."""
    given = {"warm_up": 0, "history_length": 3, "uncertainty_threshold": 0.05, "restarts": 0, "refurbish": "remembered"}
    return Selfie(**{**given, **settings})


def one_hot(predictions: list[int], num_classes: int) -> np.ndarray:
    """Logits that predict `predictions`, all equally sure."""
    return 5 * np.eye(num_classes, dtype=np.float32)[predictions]


def memory_of(method: Selfie, histories: list[list[int]], num_classes: int) -> dict[str, np.ndarray]:
    """Memory in which each sample has had the predictions of its history, at most q of them."""
    memory = method.memory(len(histories), num_classes)
    for sample, history in enumerate(histories):
        memory["history"][sample, : len(history)] = history
        memory["seen"][sample] = len(history)
    return memory


def take_step(
    method: Selfie, memory: dict[str, np.ndarray], labels: list[int], logits: np.ndarray, noise_rate: float = 0.0
) -> Any:
    """One eager step over all samples; memory is updated."""
    schedule = method.schedule(0, len(labels), noise_rate)
    step = method.step(np.array(labels, np.int32), (logits,), memory, schedule)
    memory.update({key: np.asarray(rows) for key, rows in step.rows.items()})
    return step


def test_the_history_before_the_step_decides_and_then_takes_up_its_prediction(tf: Any) -> None:
    method = selfie(refurbish="certain")
    memory = memory_of(method, [[1, 1, 1]], 4)
    first = take_step(method, memory, [0], one_hot([2], 4))
    assert np.asarray(first.tallies["refurbishable"]).tolist() == [True]
    assert np.asarray(first.labels["refurbished"]).tolist() == [1]
    assert memory["history"].tolist() == [[2, 1, 1]], "the oldest slot takes the new prediction"
    second = take_step(method, memory, [0], one_hot([2], 4))
    assert np.asarray(second.tallies["refurbishable"]).tolist() == [False]
    assert memory["history"].tolist() == [[2, 2, 1]]


@pytest.mark.parametrize(("num_classes", "certain"), [(200, True), (100, False), (10, False), (2, False)])
def test_one_deviating_vote_of_15_is_certain_only_among_200_classes(tf: Any, num_classes: int, certain: bool) -> None:
    method = selfie(history_length=15)
    memory = memory_of(method, [[1] * 14 + [0], [1] * 15], num_classes)
    step = take_step(method, memory, [0, 0], one_hot([1, 1], num_classes))
    assert np.asarray(step.tallies["refurbishable"]).tolist() == [certain, True]


def test_uncertainty_is_the_entropy_over_that_of_equal_frequencies(tf: Any) -> None:
    method = selfie(history_length=4, uncertainty_threshold=0.0)
    memory = memory_of(method, [[0, 1, 2, 3], [0, 0, 1, 1], [2, 2, 2, 2], [0, 1, 2]], 4)
    take_step(method, memory, [0] * 4, one_hot([0] * 4, 4))
    np.testing.assert_allclose(memory["uncertainty"], [1.0, 0.5, 0.0, np.inf], atol=1e-6)


def test_the_lowest_of_equally_frequent_labels_refurbishes(tf: Any) -> None:
    method = selfie(history_length=4, uncertainty_threshold=1.0)
    memory = memory_of(method, [[3, 1, 3, 1], [2, 1, 0, 0], [3, 2, 1, 0]], 4)
    take_step(method, memory, [3, 3, 3], one_hot([0, 0, 0], 4))
    assert memory["refurbished_label"].tolist() == [1, 0, 0]


def test_a_sample_without_a_full_history_is_not_refurbishable_at_any_threshold(tf: Any) -> None:
    method = selfie(uncertainty_threshold=1.0)
    memory = memory_of(method, [[], [1], [1, 1], [1, 1, 1]], 4)
    step = take_step(method, memory, [0] * 4, one_hot([1] * 4, 4))
    assert np.asarray(step.tallies["refurbishable"]).tolist() == [False, False, False, True]


def test_of_equal_losses_the_first_in_the_batch_are_clean(tf: Any) -> None:
    method = selfie()
    memory = memory_of(method, [[]] * 5, 4)
    step = take_step(method, memory, [1, 0, 1, 1, 1], one_hot([1] * 5, 4), noise_rate=0.4)
    assert np.asarray(step.clean_sets).tolist() == [[True, False, True, True, False]]


@pytest.mark.parametrize("history_length", [1, 3, 15, 41, 47, 55])
def test_a_unanimous_history_has_uncertainty_0_under_xla_too(tf: Any, history_length: int) -> None:
    # 41 * (1 / 41) is not 1 in float32, should a compiler turn the division into a multiplication
    method = selfie(history_length=history_length, uncertainty_threshold=0.0)
    rows = {key: tf.constant(v) for key, v in memory_of(method, [[2] * history_length], 10).items()}
    schedule = {key: tf.constant(value, tf.float32) for key, value in method.schedule(0, 1, 0.4).items()}
    labels, logits = tf.constant([0]), tf.constant(one_hot([2], 10))
    step = tf.function(method.step, jit_compile=True)(labels, (logits,), rows, schedule)
    assert bool(step.tallies["refurbishable"][0])


def test_restart_lowers_the_noise_rate_and_never_raises_it(tf: Any) -> None:
    method = selfie()
    memory = memory_of(method, [[1, 1, 1]] * 4, 4)
    memory["refurbished_label"][:] = [0, -1, 2, 3]
    fresh, noise_rate = method.restart(memory, 0.4)
    assert noise_rate == 0.25
    assert method.restart(memory, 0.1)[1] == 0.1
    assert fresh["refurbished_label"].tolist() == [0, -1, 2, 3]
    expected = method.memory(4, 4)
    for key in expected.keys() - {"refurbished_label"}:
        np.testing.assert_array_equal(fresh[key], expected[key])


def test_the_official_variant_is_four_runs_unless_restarts_are_given() -> None:
    official = Selfie.from_settings(100, {}, "official")
    assert official.num_runs == 4
    assert official == replace(Selfie.from_settings(100, {}, "paper"), restarts=3, passes=2, history_start="zeros")
    assert Selfie.from_settings(100, {}, "official-2019") == replace(
        official, warm_up_labels="given", restart_noise_rate="kept"
    )
    assert Selfie.from_settings(100, {}).num_runs == 3
    assert Selfie.from_settings(100, {"restarts": 0}, "official").num_runs == 1


def test_a_history_too_short_to_tell_is_remarked_upon() -> None:
    assert selfie(history_length=15).notices == ()
    (notice,) = selfie(history_length=1).notices
    assert "by chance" in notice
    assert "--warm-up" in notice
