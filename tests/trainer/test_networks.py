"""The networks: a contract over the registry, and each against its description, counted and measured."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from tests.support.tiny import run_config, tensorflow_engine, training_data
from trainer.errors import TrainerError
from trainer.methods.base import Step
from trainer.methods.default import Default
from trainer.networks import NETWORKS, build_network

CIFAR = (32, 32, 3)
DENSENETS = {"densenet-10-12": 10, "densenet-25-12": 25, "densenet-40-12": 40}
GROWTH = 12
VGG_FILTERS = (64, 64, 128, 128, 256, 256, 256, 256, 512, 512, 512, 512, 512, 512, 512, 512)

Built = Callable[[str], Any]


@pytest.fixture(scope="module")
def built(tf: Any) -> Built:
    """The network of a name for 32x32x3 and 10 classes; each is built once, for VGG-19 is large."""
    networks: dict[str, Any] = {}

    def get(name: str) -> Any:
        if name not in networks:
            networks[name] = build_network(name, CIFAR, 10, np.random.default_rng(0))
        return networks[name]

    return get


def layers(network: Any, kind: str) -> list[Any]:
    return [layer for layer in network.layers if type(layer).__name__ == kind]


def trainable(network: Any) -> int:
    return sum(math.prod(variable.shape) for variable in network.trainable_variables)


def not_trainable(network: Any) -> int:
    return sum(math.prod(variable.shape) for variable in network.non_trainable_variables if "seed" not in variable.path)


def convolution(size: int, inputs: int, filters: int, bias: bool = False) -> int:
    return size * size * inputs * filters + bias * filters


def dense(inputs: int, units: int) -> int:
    return inputs * units + units


# What every network of the registry keeps


@pytest.mark.parametrize("name", NETWORKS)
def test_cifar_images_become_a_float32_logit_for_each_class(name: str, built: Built) -> None:
    logits = built(name)(np.random.default_rng(0).normal(size=(3, *CIFAR)).astype(np.float32))
    assert logits.shape == (3, 10)
    assert logits.dtype == "float32"
    assert np.isfinite(logits).all()
    assert built(name).layers[-1].activation.__name__ == "linear"


@pytest.mark.parametrize("name", sorted(NETWORKS.keys() - {"vgg-19"}))
@pytest.mark.parametrize(("shape", "num_classes"), [((8, 8, 1), 3), ((7, 9, 2), 200)])
def test_other_image_shapes_and_class_counts_will_do(
    name: str, shape: tuple[int, int, int], num_classes: int, tf: Any
) -> None:
    network = build_network(name, shape, num_classes, np.random.default_rng(0))
    assert network(np.zeros((2, *shape), np.float32)).shape == (2, num_classes)


def test_vgg_19_takes_images_under_32x32(built: Built, keras: Any) -> None:
    # "same" pooling leaves 1x1 of 8x8x1 as of 32x32x3, so the shapes can be had without 39 million weights more
    x = keras.Input((8, 8, 1))
    for layer in layers(built("vgg-19"), "MaxPooling2D"):
        x = layer(x)
    assert x.shape == (None, 1, 1, 1)


@pytest.mark.parametrize("name", sorted(NETWORKS.keys() - {"vgg-19"}))
def test_initial_values_are_a_function_of_the_generator_alone(name: str, tf: Any) -> None:
    first, again, other = (build_network(name, (8, 8, 1), 3, np.random.default_rng(seed)) for seed in (5, 5, 6))
    for one, same in zip(first.variables, again.variables, strict=True):
        np.testing.assert_array_equal(one.numpy(), same.numpy(), err_msg=one.path)
    for one, different in zip(first.trainable_variables, other.trainable_variables, strict=True):
        if one.name == "kernel":
            assert np.mean(one.numpy() == different.numpy()) < 0.01, one.path


def test_vgg_19_s_initial_values_come_from_the_generator(built: Built) -> None:
    first = np.random.default_rng(0).normal(0.0, math.sqrt(2 / (9 * 64)), (3, 3, 3, 64))
    np.testing.assert_allclose(built("vgg-19").trainable_variables[0].numpy(), first, rtol=1e-6)


@pytest.mark.parametrize("name", NETWORKS)
def test_batch_norm_has_momentum_09_and_epsilon_1e_5_and_starts_neutral(name: str, built: Built) -> None:
    norms = layers(built(name), "BatchNorm")
    assert norms
    for layer in norms:
        assert (layer.momentum, layer.epsilon) == (0.9, 1e-5)
        assert layer.trainable
        for variable, value in ((layer.gamma, 1), (layer.beta, 0), (layer.moving_mean, 0), (layer.moving_variance, 1)):
            assert (variable.numpy() == value).all()


@pytest.mark.parametrize("name", NETWORKS)
def test_3x3_kernels_are_normal_with_stddev_sqrt_2_by_9_filters(name: str, built: Built) -> None:
    pooled = []
    for layer in layers(built(name), "Conv2D"):
        if layer.kernel_size == (1, 1):
            continue
        kernel = layer.kernel.numpy().ravel() / math.sqrt(2 / (9 * layer.filters))
        error = 1 / math.sqrt(kernel.size)  # standard error of the mean; of the stddev it is a 1/sqrt(2) of that
        assert abs(kernel.mean()) < 5 * error, layer.name
        assert abs(kernel.std() - 1) < 5 * error, layer.name
        pooled.append(kernel)
    # normal, and not a uniform or truncated law of the same spread: 4.55% lie beyond two standard deviations
    everything = np.concatenate(pooled)
    assert abs(np.mean(np.abs(everything) > 2) - 0.0455) < 5 * math.sqrt(0.0455 / everything.size)
    assert abs(np.mean(np.abs(everything) > 3) - 0.0027) < 5 * math.sqrt(0.0027 / everything.size)


def test_the_small_network_s_dense_layers_start_in_glorot_s_range_with_bias_0(built: Built) -> None:
    for layer in layers(built("small-cnn"), "Dense"):
        limit = math.sqrt(6 / sum(layer.kernel.shape))
        assert 0.98 * limit < np.abs(layer.kernel.numpy()).max() <= limit * (1 + 1e-6)
        assert (layer.bias.numpy() == 0).all()


@pytest.mark.parametrize("name", [*DENSENETS, "vgg-19"])
def test_dense_layers_and_1x1_kernels_start_as_the_official_code_s_do(name: str, built: Built) -> None:
    network = built(name)
    pointwise = [layer for layer in layers(network, "Conv2D") if layer.kernel_size == (1, 1)]
    assert len(pointwise) == (2 if name in DENSENETS else 0)
    for layer in [*pointwise, *layers(network, "Dense")]:
        kernel = layer.kernel.numpy().ravel()
        stddev = math.sqrt(2 / math.prod(layer.kernel.shape[:-1]))  # He et al. 2015, by the inputs
        error = stddev / math.sqrt(kernel.size)
        assert abs(kernel.mean()) < 5 * error, layer.name
        assert abs(kernel.std() - stddev) < 5 * error, layer.name
        # cut at two standard deviations of what it was cut from, which is a normal law: 31.7% of that lie beyond one
        cut = 2 * stddev / 0.8796
        assert np.abs(kernel).max() <= cut * (1 + 1e-6)
        beyond = (0.3173 - 0.0455) / (1 - 0.0455)
        assert abs(np.mean(np.abs(kernel) > cut / 2) - beyond) < 5 * math.sqrt(beyond / kernel.size)
        if layer.bias is not None:
            assert (layer.bias.numpy() == 0).all()


@pytest.mark.parametrize("shape", [(12, 6, 6, 5), (12, 7)])
def test_batch_norm_over_some_samples_is_that_of_a_mini_batch_of_these(shape: tuple[int, ...], keras: Any) -> None:
    from trainer.networks.layers import BatchNorm, batch_norm_over

    values = np.random.default_rng(0).normal(3.0, 2.0, shape).astype(np.float32)
    samples = np.arange(12) % 3 == 0
    masked, alone = (BatchNorm(momentum=0.9, epsilon=1e-5) for _ in range(2))
    with batch_norm_over(samples):
        found = np.asarray(masked(values, training=True))
    expected = np.asarray(alone(values[samples], training=True))
    np.testing.assert_allclose(found[samples], expected, rtol=1e-5, atol=1e-5)
    for one, other in zip(masked.variables, alone.variables, strict=True):
        np.testing.assert_allclose(one.numpy(), other.numpy(), rtol=1e-5, err_msg=one.path)
    assert not np.allclose(np.asarray(masked(values, training=True))[samples], expected, atol=1e-2), "outside: all"


def test_dropout_layers_of_a_network_have_seeds_of_their_own(built: Built) -> None:
    seeds = [tuple(layer.seed_generator.state.numpy()) for layer in layers(built("densenet-40-12"), "Dropout")]
    assert len(set(seeds)) == len(seeds)


def test_an_unknown_network_is_one_line_that_names_the_known_ones() -> None:
    with pytest.raises(TrainerError, match=r"vgg-20.*densenet-40-12.*small-cnn"):
        build_network("vgg-20", CIFAR, 10, np.random.default_rng(0))


@pytest.mark.parametrize("name", NETWORKS)
def test_the_registry_tells_the_number_of_parameters(name: str, built: Built) -> None:
    assert NETWORKS[name].parameters == trainable(built(name))


@pytest.mark.parametrize("name", NETWORKS)
def test_the_registry_tells_where_a_network_comes_from(name: str) -> None:
    assert NETWORKS[name].title
    assert NETWORKS[name].paper


# DenseNet-L-12


def densenet_parameters(depth: int) -> tuple[int, int]:
    """Trainable numbers and moving statistics, from the description, for 3 planes and 10 classes."""
    channels, count, normalised = 16, convolution(3, 3, 16), 0
    for block in range(3):
        for _ in range((depth - 4) // 3):
            count += 2 * channels + convolution(3, channels, GROWTH)
            normalised += channels
            channels += GROWTH
        if block < 2:
            count += 2 * channels + convolution(1, channels, channels)
            normalised += channels
    return count + 2 * channels + dense(channels, 10), 2 * (normalised + channels)


@pytest.mark.parametrize(("name", "depth"), DENSENETS.items())
def test_densenet_has_the_parameters_of_its_description(name: str, depth: int, built: Built) -> None:
    assert (trainable(built(name)), not_trainable(built(name))) == densenet_parameters(depth)


def test_the_densenet_formula_gives_the_published_size() -> None:
    # Huang et al., table 2: 1.0M parameters for L = 40, k = 12
    assert 1.0e6 < densenet_parameters(40)[0] < 1.1e6


@pytest.mark.parametrize(("name", "depth"), DENSENETS.items())
def test_densenet_has_as_many_layers_as_its_name_says(name: str, depth: int, built: Built) -> None:
    network = built(name)
    assert len(layers(network, "Conv2D")) + len(layers(network, "Dense")) == depth
    assert not any(layer.use_bias for layer in layers(network, "Conv2D"))
    sizes = Counter((layer.kernel_size, layer.strides, layer.padding) for layer in layers(network, "Conv2D"))
    assert sizes == {((3, 3), (1, 1), "same"): depth - 3, ((1, 1), (1, 1), "same"): 2}


@pytest.mark.parametrize(("name", "depth"), DENSENETS.items())
def test_densenet_grows_by_12_channels_a_layer_and_halves_the_image_twice(name: str, depth: int, built: Built) -> None:
    per_block = (depth - 4) // 3
    expected = [
        (None, side, side, 16 + GROWTH * (block * per_block + layer))
        for block, side in enumerate((32, 16, 8))
        for layer in range(1, per_block + 1)
    ]
    network = built(name)
    assert [layer.output.shape for layer in layers(network, "Concatenate")] == expected
    assert network.layers[1].output.shape == (None, 32, 32, 16)
    transitions = [layer for layer in layers(network, "Conv2D") if layer.kernel_size == (1, 1)]
    for number, transition in enumerate(transitions, 1):
        assert transition.filters == transition.input.shape[-1] == 16 + GROWTH * number * per_block
    assert [layer.output.shape[1:3] for layer in layers(network, "AveragePooling2D")] == [(16, 16), (8, 8)]
    assert layers(network, "GlobalAveragePooling2D")[0].output.shape == (None, 16 + GROWTH * 3 * per_block)


def leading_to(layer: Any, count: int) -> list[Any]:
    """The `count` layers before this one, nearest first; of several inputs the last one's."""
    found = []
    for _ in range(count):
        inputs = layer.input if isinstance(layer.input, list) else [layer.input]
        layer = inputs[-1]._keras_history.operation
        found.append(layer)
    return found


def kinds(chain: list[Any]) -> list[str]:
    return [type(layer).__name__ for layer in chain]


@pytest.mark.parametrize("name", DENSENETS)
def test_densenet_s_layers_and_transitions_are_in_the_described_order(name: str, built: Built) -> None:
    network = built(name)
    for layer in layers(network, "Concatenate"):
        chain = leading_to(layer, 4)
        assert kinds(chain) == ["Dropout", "Conv2D", "ReLU", "BatchNorm"]
        joined, new = layer.input
        assert new.shape[-1] == GROWTH
        assert joined is chain[-1].input, "new features are joined to what they were made of"
    for layer in layers(network, "AveragePooling2D"):
        assert layer.pool_size == (2, 2)
        assert kinds(leading_to(layer, 5)) == ["Dropout", "ReLU", "Conv2D", "ReLU", "BatchNorm"]
    assert kinds(leading_to(network.layers[-1], 3)) == ["GlobalAveragePooling2D", "ReLU", "BatchNorm"]


@pytest.mark.parametrize(("name", "depth"), DENSENETS.items())
def test_densenet_drops_a_fifth_after_each_layer_and_transition(name: str, depth: int, built: Built) -> None:
    assert [layer.rate for layer in layers(built(name), "Dropout")] == [0.2] * (depth - 4 + 2)


# VGG-19


def test_vgg_19_has_the_parameters_of_its_description(built: Built) -> None:
    inputs = (3, *VGG_FILTERS[:-1])
    convolutions = sum(convolution(3, i, f, bias=True) for i, f in zip(inputs, VGG_FILTERS, strict=True))
    normalised = sum(VGG_FILTERS) + 2 * 4096
    heads = dense(512, 4096) + dense(4096, 4096) + dense(4096, 10)
    network = built("vgg-19")
    assert trainable(network) == convolutions + heads + 2 * normalised
    assert not_trainable(network) == 2 * normalised


def test_vgg_19_has_16_convolutions_and_halves_the_image_five_times(built: Built) -> None:
    network = built("vgg-19")
    assert len(layers(network, "Conv2D")) + len(layers(network, "Dense")) == 19
    shapes = [layer.output.shape[1:] for layer in layers(network, "Conv2D")]
    sides = [32] * 2 + [16] * 2 + [8] * 4 + [4] * 4 + [2] * 4
    assert shapes == [(side, side, filters) for side, filters in zip(sides, VGG_FILTERS, strict=True)]
    assert all(layer.kernel_size == (3, 3) and layer.use_bias for layer in layers(network, "Conv2D"))
    assert [layer.output.shape[1] for layer in layers(network, "MaxPooling2D")] == [16, 8, 4, 2, 1]
    assert [layer.units for layer in layers(network, "Dense")] == [4096, 4096, 10]


def test_vgg_19_s_layers_are_in_the_described_order(built: Built) -> None:
    convolutional = ["Conv2D", "BatchNorm", "ReLU"]
    fully_connected = ["Dense", "BatchNorm", "ReLU", "Dropout"]
    expected = ["InputLayer"]
    for count in (2, 2, 4, 4, 4):
        expected += convolutional * count + ["MaxPooling2D"]
    expected += ["Flatten", *fully_connected * 2, "Dense"]
    assert [type(layer).__name__ for layer in built("vgg-19").layers] == expected


def test_vgg_19_drops_half_after_each_large_dense_layer(built: Built) -> None:
    assert [layer.rate for layer in layers(built("vgg-19"), "Dropout")] == [0.5, 0.5]


# One step with weight decay


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
    # The first batch norm's input hangs on one convolution alone, so it can be had again
    give_every_variable_a_value_of_its_own(network)
    first = layers(network, "BatchNorm")[0]
    seen = keras.Model(network.input, first.input)(standardise(engine.data.train_images[:10])).numpy()
    for variable, statistic in (
        (first.moving_mean, seen.mean((0, 1, 2))),
        (first.moving_variance, seen.var((0, 1, 2))),
    ):
        expected = 0.9 * before[variable.path] + 0.1 * statistic
        np.testing.assert_allclose(after[variable.path], expected, rtol=1e-4, atol=1e-5)
