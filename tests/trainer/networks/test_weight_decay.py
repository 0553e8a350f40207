"""One step of an optimizer whose loss is 0: weight decay alone moves the variables."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from tests.support.networks import layers
from tests.support.tiny import run_config, tensorflow_engine, training_data
from trainer.methods.base import Step
from trainer.methods.default import Default


@dataclass(frozen=True)
class Indifferent(Default):
    """Whatever the network says, its loss is 0 and so is its gradient: weight decay alone is left."""

    def step(self, labels: Any, logits: tuple[Any, ...], rows: dict[str, Any], schedule: dict[str, Any]) -> Step:
        return Step(losses=(0.0 * logits[0][0, 0],), rows=rows)


LEARNING_RATE, WEIGHT_DECAY, MOMENTUM = 0.3, 0.01, 0.9


@pytest.fixture(scope="module", params=["small-cnn", "densenet-10-12"])
def engine(request: pytest.FixtureRequest, tf: Any) -> Any:
    config = run_config(network=request.param, learning_rate=LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    return tensorflow_engine(config, training_data(), Indifferent())


def give_every_variable_a_value_of_its_own(network: Any) -> dict[str, np.ndarray]:
    """So that none is 0, as batch-norm shifts and biases are at first, and would seem not to decay. Returns them."""
    random = np.random.default_rng(3)
    for variable in network.variables:
        if "seed" not in variable.path:
            variable.assign(random.uniform(0.5, 1.5, variable.shape))
    return {variable.path: variable.numpy() for variable in network.variables}


def one_step(engine: Any, learning_rate: float) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Every variable of the network before and after the first step of an optimizer."""
    engine.reset(0)
    before = give_every_variable_a_value_of_its_own(engine.networks[0])
    engine.begin_epoch(0, 0, learning_rate)
    engine.train(np.arange(10, dtype=np.int32)[None], {})
    return before, {variable.path: variable.numpy() for variable in engine.networks[0].variables}


def test_with_learning_rate_0_no_trainable_variable_moves(engine: Any) -> None:
    before, after = one_step(engine, 0.0)
    for variable in engine.networks[0].trainable_variables:
        np.testing.assert_array_equal(after[variable.path], before[variable.path], err_msg=variable.path)


def test_weight_decay_moves_every_trainable_variable_by_its_share(engine: Any) -> None:
    before, after = one_step(engine, LEARNING_RATE)
    names = {variable.name for variable in engine.networks[0].trainable_variables}
    assert {"kernel", "bias", "gamma", "beta"} <= names
    # Keras' SGD, Nesterov, velocity 0: m = -lr g; v += momentum m - lr g = -(1 + momentum) lr g, where g = w v
    left = 1 - (1 + MOMENTUM) * LEARNING_RATE * WEIGHT_DECAY
    for variable in engine.networks[0].trainable_variables:
        path = variable.path
        np.testing.assert_allclose(after[path], before[path] * left, rtol=1e-6, err_msg=path)


def test_the_second_step_of_weight_decay_has_nesterov_s_velocity(engine: Any) -> None:
    before, after_one = one_step(engine, LEARNING_RATE)
    engine.train(np.arange(10, dtype=np.int32)[None], {})
    for variable in engine.networks[0].trainable_variables:
        path = variable.path
        first = -LEARNING_RATE * WEIGHT_DECAY * before[path]
        gradient = WEIGHT_DECAY * after_one[path]
        velocity = MOMENTUM * first - LEARNING_RATE * gradient
        expected = after_one[path] + MOMENTUM * velocity - LEARNING_RATE * gradient
        np.testing.assert_allclose(variable.numpy(), expected, rtol=1e-6, err_msg=path)


@pytest.mark.parametrize("learning_rate", [0.0, LEARNING_RATE])
def test_moving_statistics_move_by_batch_norm_alone(engine: Any, learning_rate: float, keras: Any) -> None:
    from trainer.engine.step import standardise

    before, after = one_step(engine, learning_rate)
    network = engine.networks[0]
    moving = [v for v in network.non_trainable_variables if v.name in ("moving_mean", "moving_variance")]
    assert len(moving) == 2 * len(layers(network, "BatchNorm"))
    for variable in moving:
        assert not np.allclose(after[variable.path], before[variable.path]), variable.path
    # The first batch norm's input depends on one convolution alone, so it can be had again
    give_every_variable_a_value_of_its_own(network)
    first = layers(network, "BatchNorm")[0]
    seen = keras.Model(network.input, first.input)(standardise(engine.data.train_images[:10])).numpy()
    for variable, statistic in (
        (first.moving_mean, seen.mean((0, 1, 2))),
        (first.moving_variance, seen.var((0, 1, 2))),
    ):
        expected = 0.9 * before[variable.path] + 0.1 * statistic
        np.testing.assert_allclose(after[variable.path], expected, rtol=1e-4, atol=1e-5)
