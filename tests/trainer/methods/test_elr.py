"""ELR's step against its transcription over hundreds of random steps, and small cases by hand."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from tests.reference import elr as transcription
from tests.trainer.methods.test_co_teaching import half_right_logits
from trainer.errors import TrainerError
from trainer.methods.elr import Elr

STEPS, SAMPLES = 400, 26


@pytest.mark.parametrize(
    ("num_classes", "regularisation", "target_momentum"),
    [(2, 3.0, 0.7), (10, 3.0, 0.7), (10, 1.0, 0.9), (10, 3.0, 0.3), (100, 7.0, 0.9)],
)
def test_step_agrees_with_the_transcription_over_hundreds_of_steps(
    num_classes: int, regularisation: float, target_momentum: float, tf: Any
) -> None:
    method = Elr(regularisation, target_momentum)
    expected = transcription.Elr(num_classes, regularisation, target_momentum)
    memory = method.memory(SAMPLES, num_classes)
    random = np.random.default_rng(7)
    all_labels = random.integers(0, num_classes, SAMPLES)

    @tf.function
    def step_and_gradient(labels: Any, logits: Any, target: Any) -> Any:
        with tf.GradientTape() as tape:
            tape.watch(logits)
            step = method.step(labels, (logits,), {"target": target}, {})
        return step, tape.gradient(step.losses[0], logits)

    clipped = 0
    for _ in range(STEPS if num_classes <= 10 else STEPS // 10):
        ids = random.choice(SAMPLES, 4, replace=False)
        # rather sure, and sometimes so sure that probabilities are clipped
        logits = half_right_logits(random, all_labels[ids], num_classes) * random.choice([1.0, 2.0])
        logits = logits.astype(np.float32)
        outcome = expected.step(ids.tolist(), all_labels[ids].tolist(), logits.tolist())
        step, gradient = step_and_gradient(
            tf.constant(all_labels[ids], tf.int32), tf.constant(logits), tf.constant(memory["target"][ids])
        )
        memory["target"][ids] = step.rows["target"]
        clipped += sum(min(expected.probabilities(own)) == 1e-4 for own in logits.tolist())
        np.testing.assert_allclose(float(step.losses[0]), outcome.loss, rtol=1e-5, atol=2e-6)
        # a large agreement is 1 minus what float32 knows to 1e-7 and divides by
        np.testing.assert_allclose(gradient, outcome.gradient, rtol=1e-3, atol=1e-5)
        targets = [expected.target(sample) for sample in range(SAMPLES)]
        np.testing.assert_allclose(memory["target"], targets, rtol=1e-5, atol=1e-7)
    assert clipped > 10
    assert (memory["target"].sum(axis=1) > 0).all()


def take_step(method: Elr, target: np.ndarray, label: int, logits: list[float]) -> Any:
    return method.step(np.array([label], np.int32), (np.array([logits], np.float32),), {"target": target}, {})


def test_targets_start_at_0_for_every_sample_and_class() -> None:
    memory = Elr().memory(5, 3)
    assert [*memory] == ["target"]
    assert (memory["target"].shape, memory["target"].dtype.name) == ((5, 3), "float32")
    assert not memory["target"].any()


def test_a_target_is_moved_before_it_is_used(tf: Any) -> None:
    first = take_step(Elr(3.0, 0.7), np.zeros((1, 2), np.float32), 0, [0.0, 0.0])
    np.testing.assert_allclose(first.rows["target"], [[0.15, 0.15]], rtol=1e-6)
    # an untouched target of 0 would leave cross-entropy alone
    assert float(first.losses[0]) == pytest.approx(math.log(2) + 3 * math.log(1 - 0.15), rel=1e-6)
    second = take_step(Elr(3.0, 0.7), np.asarray(first.rows["target"]), 0, [0.0, 0.0])
    np.testing.assert_allclose(second.rows["target"], [[0.255, 0.255]], rtol=1e-6)


def test_a_target_is_of_clipped_probabilities_made_to_sum_to_1(tf: Any) -> None:
    step = take_step(Elr(3.0, 0.0), np.zeros((1, 4), np.float32), 0, [40.0, 0.0, 0.0, 0.0])
    total = 0.9999 + 3 * 1e-4
    np.testing.assert_allclose(step.rows["target"], [[0.9999 / total, *[1e-4 / total] * 3]], rtol=1e-5)


def test_without_regularisation_it_is_cross_entropy(tf: Any) -> None:
    step = take_step(Elr(0.0), np.full((1, 2), 0.5, np.float32), 1, [2.0, 0.0])
    assert float(step.losses[0]) == pytest.approx(math.log1p(math.exp(2.0)), rel=1e-6)


def test_the_gradient_of_a_wrong_label_shrinks_as_the_target_grows(tf: Any) -> None:
    logits = tf.constant([[3.0, 0.0]])
    slopes = []
    for agreement in (0.0, 0.5, 0.9):
        with tf.GradientTape() as tape:
            tape.watch(logits)
            step = Elr(1.0, 0.9).step(tf.constant([1]), (logits,), {"target": tf.constant([[agreement, 0.0]])}, {})
        slopes.append(float(tape.gradient(step.losses[0], logits)[0, 0]))
    assert slopes == sorted(slopes, reverse=True)
    assert slopes[0] > slopes[-1] + 0.1


def test_a_momentum_of_1_which_would_never_learn_a_target_is_refused() -> None:
    with pytest.raises(TrainerError, match=r"--target-momentum 1\.0: at least 0 and below 1 is expected"):
        Elr.from_settings(10, {"target_momentum": 1.0})
