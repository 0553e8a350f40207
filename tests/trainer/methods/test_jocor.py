"""JoCoR's step against its transcription over hundreds of random steps, and small cases by hand."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from tests.reference import co_teaching, jocor
from tests.trainer.methods.test_co_teaching import half_right_logits
from trainer.methods.jocor import Jocor

STEPS, EPOCHS = 300, 20


@pytest.mark.parametrize(
    ("num_classes", "noise_rate", "ramp_epochs", "ramp", "agreement", "batch_size"),
    [
        (2, "0.4", 15, "linear", 0.9, 5),
        (10, "0.45", 10, "linspace", 0.65, 4),
        (10, "0", 3, "linear", 0.9, 3),
        (3, "0.37", 7, "linear", 0.0, 6),
        (3, "0.6", 1, "linspace", 1.0, 6),
    ],
)
def test_step_agrees_with_the_transcription_over_hundreds_of_steps(
    num_classes: int, noise_rate: str, ramp_epochs: int, ramp: str, agreement: float, batch_size: int, tf: Any
) -> None:
    method = Jocor(ramp_epochs, ramp, agreement)
    keep = co_teaching.CoTeaching(Fraction(noise_rate), ramp_epochs, official=ramp == "linspace")
    expected = jocor.Jocor(keep, agreement)

    @tf.function
    def step_and_gradients(labels: Any, f: Any, g: Any, count: Any) -> Any:
        with tf.GradientTape(persistent=True) as tape:
            tape.watch((f, g))
            step = method.step(labels, (f, g), {}, {"keep_count": count})
        return step, [tape.gradient(loss, (f, g)) for loss in step.losses]

    random, picked_counts = np.random.default_rng(5), set()
    for step in range(STEPS):
        labels = random.integers(0, num_classes, batch_size)
        f, g = (half_right_logits(random, labels, num_classes) for _ in range(2))
        epoch = step * EPOCHS // STEPS
        outcome = expected.step(labels.tolist(), f.tolist(), g.tolist(), epoch)
        count = method.schedule(epoch, batch_size, float(noise_rate))["keep_count"]
        found, gradients = step_and_gradients(labels.astype(np.int32), f, g, np.float32(count))
        assert [set(np.flatnonzero(own)) for own in found.clean_sets] == [outcome.picked] * 2
        np.testing.assert_allclose([float(loss) for loss in found.losses], [outcome.loss] * 2, rtol=1e-5, atol=2e-6)
        # network k learns from the gradient of loss k by its own logits: that of the joint loss, once
        np.testing.assert_allclose(gradients[0][0], outcome.gradient_by_f, rtol=1e-4, atol=2e-6)
        np.testing.assert_allclose(gradients[1][1], outcome.gradient_by_g, rtol=1e-4, atol=2e-6)
        picked_counts.add(len(outcome.picked))
    assert len(picked_counts) > 1 or noise_rate == "0" or ramp_epochs == 1


def take_step(method: Jocor, labels: list[int], first: Any, second: Any, noise_rate: float = 0.0) -> Any:
    schedule = {key: np.float32(v) for key, v in method.schedule(3, len(labels), noise_rate).items()}
    logits = (np.array(first, np.float32), np.array(second, np.float32))
    return method.step(np.array(labels, np.int32), logits, {}, schedule)


def test_the_joint_loss_weighs_both_cross_entropies_against_both_divergences(tf: Any) -> None:
    # p_1 = (3/4, 1/4), p_2 = (1/2, 1/2), the label is 0
    step = take_step(Jocor(1, "linear", 0.9), [0], [[math.log(3.0), 0.0]], [[0.0, 0.0]])
    supervised = -math.log(0.75) - math.log(0.5)
    contrast = 0.75 * math.log(1.5) + 0.25 * math.log(0.5) + 0.5 * math.log(2 / 3) + 0.5 * math.log(2.0)
    assert float(step.losses[0]) == pytest.approx(0.1 * supervised + 0.9 * contrast, rel=1e-5)
    assert float(step.losses[1]) == float(step.losses[0])


def test_of_two_samples_both_networks_pick_the_one_on_which_they_agree(tf: Any) -> None:
    # both samples have the same cross-entropies in sum
    step = take_step(Jocor(1, "linear", 0.9), [0, 0], [[4.0, 0.0], [1.0, 0.0]], [[1.0, 0.0], [4.0, 0.0]], 0.5)
    assert np.stack(step.clean_sets).tolist() == [[True, False]] * 2, "of equal losses the first"
    step = take_step(Jocor(1, "linear", 0.9), [0, 0], [[4.0, 0.0], [1.5, 0.0]], [[0.0, 0.0], [1.5, 0.0]], 0.5)
    assert np.stack(step.clean_sets).tolist() == [[False, True]] * 2


def test_swapping_the_networks_changes_nothing(tf: Any) -> None:
    random = np.random.default_rng(0)
    labels = random.integers(0, 4, 30)
    first, second = (half_right_logits(random, labels, 4) for _ in range(2))
    method = Jocor(1, "linear", 0.9)
    step, swapped = (take_step(method, labels.tolist(), *pair, 0.4) for pair in ((first, second), (second, first)))
    np.testing.assert_array_equal(np.stack(swapped.clean_sets), np.stack(step.clean_sets))
    assert float(swapped.losses[0]) == pytest.approx(float(step.losses[0]), rel=1e-6)
