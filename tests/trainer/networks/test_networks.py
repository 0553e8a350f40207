"""What every network of the registry keeps, and the initial values of the official code."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from tests.support.networks import (
    CIFAR,
    DENSENETS,
    OFFICIAL,
    Built,
    layers,
    trainable,
)
from trainer.errors import TrainerError
from trainer.networks import FEATURES, NETWORKS, build_network

LARGE = {"vgg-19", "resnet-18", "resnet-34", "wide-resnet-28-10"}
"""Networks of many millions of parameters whose like is tested in a smaller one."""


@pytest.mark.parametrize("name", NETWORKS)
def test_images_or_features_become_a_float32_logit_for_each_class(name: str, built: Built) -> None:
    shape = built(name).input_shape[1:]
    assert shape == ((1280,) if NETWORKS[name].takes == FEATURES else CIFAR)
    logits = built(name)(np.random.default_rng(0).normal(size=(3, *shape)).astype(np.float32))
    assert logits.shape == (3, 10)
    assert logits.dtype == "float32"
    assert np.isfinite(logits).all()
    assert built(name).layers[-1].activation.__name__ == "linear"


@pytest.mark.parametrize("name", sorted(NETWORKS.keys() - LARGE))
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


@pytest.mark.parametrize("name", sorted(NETWORKS.keys() - LARGE))
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


@pytest.mark.parametrize("name", sorted(NETWORKS.keys() - {"linear", "mlp"}))
def test_batch_norm_has_momentum_09_and_epsilon_1e_5_and_starts_neutral(name: str, built: Built) -> None:
    norms = layers(built(name), "BatchNorm")
    assert norms
    for layer in norms:
        assert (layer.momentum, layer.epsilon) == (0.9, 1e-5)
        assert layer.trainable
        for variable, value in ((layer.gamma, 1), (layer.beta, 0), (layer.moving_mean, 0), (layer.moving_variance, 1)):
            assert (variable.numpy() == value).all()


@pytest.mark.parametrize("name", OFFICIAL)
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
