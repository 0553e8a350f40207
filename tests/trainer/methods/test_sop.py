"""SOP's steps against their transcription, what u and v learn by, and SOP+'s two terms."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.reference import sop as transcription
from tests.reference.differences import gradient
from tests.support.contract import FixedNetwork
from tests.trainer.methods.test_co_teaching import half_right_logits
from trainer.errors import TrainerError
from trainer.methods.base import Batch
from trainer.methods.sop import START, Sop

STEPS, SAMPLES, BATCH = 80, 12, 4


@pytest.mark.parametrize(
    ("num_classes", "u_rate", "v_rate", "balance", "u_learns_from"),
    [
        (2, 10.0, 10.0, 0.0, "cross-entropy"),
        (10, 10.0, 10.0, 0.0, "cross-entropy"),
        (10, 10.0, 100.0, 0.1, "cross-entropy"),
        (10, 10.0, 10.0, 0.1, "both"),
        (100, 1.0, 10.0, 0.1, "cross-entropy"),
    ],
)
def test_steps_agree_with_the_transcription(
    num_classes: int, u_rate: float, v_rate: float, balance: float, u_learns_from: str, tf: Any
) -> None:
    method = Sop(u_rate, v_rate, u_learns_from, balance=balance)
    expected = transcription.Sop(num_classes, u_rate, v_rate, balance, u_learns_from == "both")
    values = {name: declared.start for name, declared in method.learned(SAMPLES, num_classes).items()}
    random = np.random.default_rng(7)
    all_labels = random.integers(0, num_classes, SAMPLES)
    # half of the samples as they are in the midst of training, some of them past where their square is clipped
    for start in values.values():
        start[SAMPLES // 2 :] = random.uniform(0, 1.05, start[SAMPLES // 2 :].shape)

    @tf.function
    def step_and_gradients(labels: Any, logits: Any, rows: Any) -> Any:
        with tf.GradientTape() as tape:
            tape.watch((logits, rows))
            loss = method.step(labels, (logits,), rows, {}).losses[0]
        return loss, *tape.gradient(loss, (logits, rows))

    for _ in range(STEPS if num_classes <= 10 else STEPS // 20):
        ids = random.choice(SAMPLES, BATCH, replace=False)
        logits = half_right_logits(random, all_labels[ids], num_classes).astype(np.float32)
        rows = {name: tf.constant(value[ids]) for name, value in values.items()}
        loss, by_logits, by_rows = step_and_gradients(tf.constant(all_labels[ids], tf.int32), tf.constant(logits), rows)
        # both start from the same numbers at each step: what a rounding would grow to is not what is compared
        expected.u |= {int(sample): float(values["u"][sample, 0]) for sample in ids}
        expected.v |= {int(sample): values["v"][sample].astype(float).tolist() for sample in ids}
        outcome = expected.step(ids.tolist(), all_labels[ids].tolist(), logits.tolist())
        np.testing.assert_allclose(float(loss), outcome.loss, rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(by_logits, outcome.gradient, rtol=2e-3, atol=2e-5)
        for name, rate in (("u", u_rate), ("v", v_rate)):
            values[name] = values[name].copy()
            values[name][ids] -= rate * by_rows[name].numpy()
        moved_u = [[expected.u[int(sample)]] for sample in ids]
        moved_v = [expected.v[int(sample)] for sample in ids]
        np.testing.assert_allclose(values["u"][ids], moved_u, rtol=2e-3, atol=2e-4)
        np.testing.assert_allclose(values["v"][ids], moved_v, rtol=2e-3, atol=2e-4)
    assert values["u"][: SAMPLES // 2].max() > 1e3 * START, "u grows from its start"


def losses_of(method: Sop, u: float, v: float, tf: Any) -> dict[str, float]:
    """The gradients by u and by v[1], of a sample of label 0 for which class 1 is predicted."""
    rows = {"u": tf.constant([[u]]), "v": tf.constant([[v, v]])}
    with tf.GradientTape() as tape:
        tape.watch(rows)
        loss = method.step(tf.constant([0]), (tf.constant([[0.0, 3.0]]),), rows, {}).losses[0]
    slopes = tape.gradient(loss, rows)
    return {"u": float(slopes["u"][0, 0]), "v": float(slopes["v"][0, 1]), "v of the label": float(slopes["v"][0, 0])}


def test_u_learns_by_cross_entropy_alone_and_v_by_the_squared_error(tf: Any) -> None:
    alone, both = (losses_of(Sop(u_learns_from=losses), 0.3, 0.2, tf) for losses in ("cross-entropy", "both"))
    assert alone["v"] == both["v"] == pytest.approx(2 * (1 - 0.2**2) * -2 * 0.2, rel=1e-5)
    # the squared error asks for more of u: (0 + u² - 1)², of the label's class
    assert both["u"] - alone["u"] == pytest.approx(2 * (0.3**2 - 1) * 2 * 0.3, rel=1e-5)
    assert alone["u"] < 0, "u grows where the label is unlikely"
    assert alone["v of the label"] == 0


def test_a_label_that_u_explains_teaches_the_network_little(tf: Any) -> None:
    slopes = []
    for u in (0.0, 0.5, 1.0):
        logits = tf.constant([[0.0, 3.0]])
        with tf.GradientTape() as tape:
            tape.watch(logits)
            rows = {"u": tf.constant([[u]]), "v": tf.constant([[START, START]])}
            loss = Sop().step(tf.constant([0]), (logits,), rows, {}).losses[0]
        slopes.append(abs(float(tape.gradient(loss, logits)[0, 0])))
    assert slopes == sorted(slopes, reverse=True)
    assert slopes[-1] < slopes[0] / 10


def test_at_the_start_it_is_cross_entropy_and_a_constant(tf: Any) -> None:
    logits = np.array([[2.0, 0.0]], np.float32)
    rows = {name: declared.start for name, declared in Sop().learned(1, 2).items()}
    loss = float(Sop().step(np.array([1], np.int32), (logits,), rows, {}).losses[0])
    assert loss == pytest.approx(np.log1p(np.exp(2.0)) + 2, rel=1e-5)


def test_a_second_view_is_asked_for_by_consistency_alone() -> None:
    assert Sop().views == ("train",)
    assert Sop(balance=0.1).views == ("train",)
    assert Sop(consistency=0.9).views == ("train", "randaugment")


class TwoViews(FixedNetwork):
    """Logits of the first half of the images and of the second."""

    def __init__(self, first: Any, second: Any, ops: Any) -> None:
        self.logits = ops.concatenate([first, second], axis=0)

    def __call__(self, images: Any, samples: Any = None) -> Any:
        assert images.shape[0] == self.logits.shape[0], "both views in one forward pass"
        return self.logits


def test_consistency_is_the_divergence_of_the_second_view_and_teaches_it_alone(tf: Any) -> None:
    from keras import ops

    random = np.random.default_rng(3)
    first, second = random.normal(0, 2, (2, 5, 4)).astype(np.float32)
    labels = np.arange(5, dtype=np.int32) % 4
    views = (np.zeros((5, 2, 2, 1), np.float32), np.ones((5, 2, 2, 1), np.float32))
    rows = {name: declared.start for name, declared in Sop().learned(5, 4).items()}
    batch = Batch(labels, views, {}, (True,))
    one, two = tf.constant(first), tf.constant(second)
    with tf.GradientTape() as tape:
        tape.watch([one, two])
        network = TwoViews(one, two, ops)
        step = Sop(consistency=0.9).full_step(batch, (network,), rows, {})
        plain = Sop().step(labels, (one,), rows, {}).losses[0]
        added = step.losses[0] - plain
    np.testing.assert_array_equal(step.logits[0], first)
    divergence = transcription.consistency(first.tolist(), second.tolist())
    assert float(added) == pytest.approx(0.9 * divergence, rel=1e-4)
    by_first, by_second = tape.gradient(added, [one, two])
    np.testing.assert_allclose(by_first, np.zeros((5, 4)), atol=1e-7)

    def divergence_by(point: list[float]) -> float:
        return 0.9 * transcription.consistency(first.tolist(), np.reshape(point, (5, 4)).tolist())

    expected = np.reshape(gradient(divergence_by, second.ravel().tolist()), (5, 4))
    np.testing.assert_allclose(by_second, expected, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("option", ["u_learning_rate", "v_learning_rate", "consistency", "balance"])
def test_a_weight_below_0_is_refused(option: str) -> None:
    with pytest.raises(TrainerError, match=rf"--{option.replace('_', '-')} -1\.0: at least 0 is expected"):
        Sop.from_settings(10, {option: -1.0})
