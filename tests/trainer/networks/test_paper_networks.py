"""DenseNet-L-12 and VGG-19 against their descriptions, counted and measured."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.support.networks import (
    DENSENETS,
    Built,
    convolution,
    dense,
    kinds,
    layers,
    leading_to,
    not_trainable,
    trainable,
)

GROWTH = 12
VGG_FILTERS = (64, 64, 128, 128, 256, 256, 256, 256, 512, 512, 512, 512, 512, 512, 512, 512)


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
