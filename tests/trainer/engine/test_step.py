"""A step of the TensorFlow engine on a toy: whose gradient it follows, and what it remembers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pytest

from tests.support.tiny import run_config
from tests.support.toy_engine import (
    FIRST,
    METHODS,
    Engines,
    assert_same,
    images,
    losses,
    tensorflow_engine,
    train_epoch,
    train_step,
    weights,
)
from trainer.data import TrainingData
from trainer.methods.base import Step, cross_entropy
from trainer.methods.default import Default


def test_a_step_follows_the_gradient_of_the_loss_and_of_the_weight_decay(engine_of: Engines, tf: Any) -> None:
    engine = engine_of()
    network, config = engine.networks[0], engine.config
    before = weights(engine)
    with tf.GradientTape() as tape:
        logits = network(images(engine, FIRST), training=True)
        loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(engine.data.train_labels[FIRST], logits))
    gradients = tape.gradient(loss, [variable.value for variable in network.trainable_variables])
    train_step(engine, FIRST, learning_rate=0.1)
    for old, gradient, new in zip(before, gradients, weights(engine), strict=True):
        whole = gradient.numpy() + config.weight_decay * old
        np.testing.assert_allclose(new, old - 0.1 * (1 + config.momentum) * whole, rtol=1e-4, atol=1e-6)


def test_a_dropped_learning_rate_shortens_the_step(engine_of: Engines) -> None:
    config = engine_of().config
    assert config.learning_rate_at(2) == pytest.approx(config.learning_rate / 5)
    moves = []
    for epoch in (0, 2):
        engine = engine_of()
        before = weights(engine)
        train_step(engine, FIRST, learning_rate=config.learning_rate_at(epoch))
        moves.append(np.concatenate([(n - o).ravel() for n, o in zip(weights(engine), before, strict=True)]))
    np.testing.assert_allclose(moves[0], 5 * moves[1], rtol=1e-3, atol=1e-6)


@dataclass(frozen=True)
class FirstOfTwo(Default):
    """Two networks; the first learns as Default does, the second is told nothing."""

    num_networks: ClassVar[int] = 2

    def step(self, labels: Any, logits: tuple[Any, ...], rows: dict[str, Any], schedule: dict[str, Any]) -> Step:
        first, second = logits
        step = super().step(labels, (first,), rows, schedule)
        return Step(losses=(*step.losses, 0.0 * second[0, 0]), rows=rows)


def test_of_two_networks_each_follows_its_own_loss(engine_of: Engines, data: TrainingData) -> None:
    alone = engine_of()
    pair = tensorflow_engine(alone.config, data, FirstOfTwo())
    second = weights(pair, 1)
    assert not np.array_equal(second[0], weights(pair, 0)[0]), "two networks, two initial values"
    for engine in (alone, pair):
        train_step(engine, FIRST, learning_rate=0.1)
    assert_same(weights(pair, 0), weights(alone))
    left = 1 - 0.1 * (1 + pair.config.momentum) * pair.config.weight_decay
    for new, old in zip(weights(pair, 1), second, strict=True):
        np.testing.assert_allclose(new, old * left, rtol=1e-6)


@dataclass(frozen=True)
class Curious(Default):
    """Keeps, as its memory, what it is told."""

    def memory(self, num_samples: int, num_classes: int) -> dict[str, np.ndarray]:
        return {"label": np.full(num_samples, -1, np.int32), "steps": np.zeros((num_samples, 2), np.float32)}

    def schedule(self, epoch: int, batch_size: int, noise_rate: float) -> dict[str, float]:
        return {"by": noise_rate}

    def step(self, labels: Any, logits: tuple[Any, ...], rows: dict[str, Any], schedule: dict[str, Any]) -> Step:
        assert rows.keys() == {"label", "steps"}
        loss = cross_entropy(labels, logits[0])
        return Step(losses=(loss[0],), rows={"label": labels, "steps": rows["steps"] + schedule["by"]})


def test_a_method_gets_given_labels_and_its_rows_which_are_written_back(tf: Any, data: TrainingData) -> None:
    engine = tensorflow_engine(run_config(), data, Curious())
    indices = np.array([7, 3, 59, 20], np.int32)
    engine.train(np.stack([indices, indices[::-1]]), {"by": 0.25})
    expected = Curious().memory(60, 3)
    expected["label"][indices] = data.train_labels[indices]
    expected["steps"][indices] = 0.5
    np.testing.assert_equal({key: engine.memory[key] for key in expected}, expected)
    assert (data.train_labels != data.clean_labels)[indices].any(), "one of the labels could tell"


# The memory


@pytest.mark.parametrize("method", METHODS)
def test_rows_of_samples_that_were_not_drawn_stay_as_they_are(method: str, engine_of: Engines) -> None:
    engine = engine_of(method)
    train_epoch(engine, 0, 0)
    before = engine.memory
    train_step(engine, FIRST)
    after = engine.memory
    for key, values in before.items():
        np.testing.assert_array_equal(after[key][10:], values[10:], err_msg=key)
    assert (after["last_loss"][FIRST] != before["last_loss"][FIRST]).all()


@pytest.mark.parametrize("method", METHODS)
def test_last_loss_and_prediction_are_those_of_the_forward_pass_of_training(method: str, engine_of: Engines) -> None:
    engine = engine_of(method)
    for epoch in range(2):
        train_epoch(engine, 0, epoch)
    indices = np.array([30, 2, 45, 11, 12, 59, 0], np.int32)
    labels = engine.data.train_labels[indices]
    # batch norm in training mode looks at this mini-batch alone, so its moving statistics do not matter
    logits = engine.networks[0](images(engine, indices), training=True).numpy()
    train_step(engine, indices, epoch=2)
    np.testing.assert_allclose(engine.memory["last_loss"][indices], losses(logits, labels), rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(engine.memory["last_prediction"][indices], logits.argmax(axis=1))


def test_memory_that_is_assigned_is_read_back(engine_of: Engines) -> None:
    engine = engine_of("selfie")
    random = np.random.default_rng(0)
    values = {key: random.integers(0, 3, value.shape).astype(value.dtype) for key, value in engine.memory.items()}
    engine.memory = values
    np.testing.assert_equal(engine.memory, values)
