"""ResNets, Wide ResNet and the networks of Co-teaching and JoCoR against their descriptions."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest

from tests.support.networks import Built, convolution, dense, kinds, layers, leading_to, not_trainable, trainable
from trainer.networks import build_network

RESNETS = {"resnet-18": (2, 2, 2, 2), "resnet-34": (3, 4, 6, 3)}
STAGES = (64, 128, 256, 512)
TORCH = [*RESNETS, "preact-resnet-18", "cnn-9", "cnn-7", "linear", "mlp"]
"""Networks whose kernels and biases start as PyTorch's."""


def stages(filters: tuple[int, ...], blocks: tuple[int, ...], first: int) -> list[tuple[int, int]]:
    """Channels into and out of every block."""
    outputs = [f for f, count in zip(filters, blocks, strict=True) for _ in range(count)]
    return list(itertools.pairwise([first, *outputs]))


@pytest.mark.parametrize(("name", "blocks"), RESNETS.items())
def test_resnet_has_the_parameters_of_its_description(name: str, blocks: tuple[int, ...], built: Built) -> None:
    kernels, normalised = convolution(3, 3, 64), 64
    for inputs, filters in stages(STAGES, blocks, 64):
        kernels += convolution(3, inputs, filters) + convolution(3, filters, filters)
        normalised += 2 * filters
        if inputs != filters:
            kernels, normalised = kernels + convolution(1, inputs, filters), normalised + filters
    assert trainable(built(name)) == kernels + 2 * normalised + dense(512, 10)
    assert not_trainable(built(name)) == 2 * normalised


def test_preact_resnet_has_the_parameters_of_its_description(built: Built) -> None:
    kernels, normalised = convolution(3, 3, 64), 64
    for inputs, filters in stages(STAGES, (2, 2, 2, 2), 64):
        kernels += convolution(3, inputs, filters) + convolution(3, filters, filters)
        kernels += convolution(1, inputs, filters) if inputs != filters else 0
        normalised += inputs + filters
    assert trainable(built("preact-resnet-18")) == kernels + 2 * normalised + dense(512, 10)


def test_wide_resnet_has_the_parameters_of_its_description(built: Built) -> None:
    kernels, normalised = convolution(3, 3, 16), 640
    for inputs, filters in stages((160, 320, 640), (4, 4, 4), 16):
        kernels += convolution(3, inputs, filters) + convolution(3, filters, filters)
        kernels += convolution(1, inputs, filters) if inputs != filters else 0
        normalised += inputs + filters
    count = kernels + 2 * normalised + dense(640, 10)
    assert trainable(built("wide-resnet-28-10")) == count
    assert round(count / 1e6, 1) == 36.5  # Zagoruyko and Komodakis, table 5


@pytest.mark.parametrize(("name", "depth"), [("resnet-18", 18), ("resnet-34", 34), ("preact-resnet-18", 18)])
def test_a_resnet_has_as_many_layers_as_its_name_says(name: str, depth: int, built: Built) -> None:
    by_size = {size: [c for c in layers(built(name), "Conv2D") if c.kernel_size == (size, size)] for size in (1, 3)}
    assert len(by_size[3]) + len(layers(built(name), "Dense")) == depth
    assert len(by_size[1]) == 3
    assert [layer.output.shape[1] for layer in by_size[1]] == [16, 8, 4]
    assert not any(layer.use_bias for layer in layers(built(name), "Conv2D"))


@pytest.mark.parametrize("name", ["resnet-18", "preact-resnet-18"])
def test_a_block_s_layers_are_in_the_described_order(name: str, built: Built) -> None:
    network = built(name)
    for layer in layers(network, "Add"):
        after = ["BatchNorm"] if name == "resnet-18" else []
        before = [] if name == "resnet-18" else ["ReLU", "BatchNorm"]
        body, shortcut = layer.input
        chain = [body._keras_history.operation, *leading_to(body._keras_history.operation, 6)]
        names = [kind for kind in kinds(chain) if kind != "ZeroPadding2D"]
        expected = [*after, "Conv2D", "ReLU", "BatchNorm", "Conv2D", *before]
        assert names[: len(expected)] == expected
        assert shortcut.shape == body.shape


def test_a_stride_pads_both_sides_of_an_image(tf: Any) -> None:
    from trainer.networks.layers import TorchUniform, padded_convolution

    keras = pytest.importorskip("keras")
    inputs = keras.Input((6, 6, 2))
    model = keras.Model(inputs, padded_convolution(inputs, 3, 3, np.random.default_rng(0), TorchUniform, 2))
    image = np.random.default_rng(1).normal(size=(1, 6, 6, 2)).astype(np.float32)
    kernel = model.trainable_variables[0].numpy()
    padded = np.pad(image[0], ((1, 1), (1, 1), (0, 0)))
    expected = [
        [np.einsum("ijc,ijcf->f", padded[2 * y : 2 * y + 3, 2 * x : 2 * x + 3], kernel) for x in range(3)]
        for y in range(3)
    ]
    np.testing.assert_allclose(model(image)[0], expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", TORCH)
def test_kernels_and_biases_start_as_pytorch_s_do(name: str, built: Built) -> None:
    for layer in (*layers(built(name), "Conv2D"), *layers(built(name), "Dense")):
        limit = 1 / math.sqrt(math.prod(layer.kernel.shape[:-1]))
        kernel = layer.kernel.numpy()
        assert np.abs(kernel).max() <= limit * (1 + 1e-6)
        error = limit / math.sqrt(kernel.size)
        assert abs(kernel.mean()) < 5 * error, layer.name
        assert abs(kernel.std() - limit / math.sqrt(3)) < 5 * error, layer.name
        if layer.use_bias:
            assert 0 < np.abs(layer.bias.numpy()).max() <= limit * (1 + 1e-6)


def test_co_teaching_s_network_is_as_described(built: Built) -> None:
    network = built("cnn-9")
    filters = [128] * 3 + [256] * 3 + [512, 256, 128]
    shapes = [layer.output.shape[1:] for layer in layers(network, "Conv2D")]
    assert shapes == [(s, s, f) for s, f in zip([32] * 3 + [16] * 3 + [6, 4, 2], filters, strict=True)]
    inputs = [3, *filters[:-1]]
    convolutions = sum(convolution(3, i, f, bias=True) for i, f in zip(inputs, filters, strict=True))
    assert trainable(network) == convolutions + 2 * sum(filters) + dense(128, 10)
    assert [layer.rate for layer in layers(network, "SpatialDropout2D")] == [0.25, 0.25]
    assert {round(float(layer.negative_slope), 6) for layer in layers(network, "LeakyReLU")} == {0.01}


def test_jocor_s_network_is_as_described(built: Built) -> None:
    network = built("cnn-7")
    filters = [64, 64, 128, 128, 196, 16]
    inputs = [3, *filters[:-1]]
    convolutions = sum(convolution(3, i, f, bias=True) for i, f in zip(inputs, filters, strict=True))
    assert trainable(network) == convolutions + 2 * sum(filters) + dense(4 * 4 * 16, 10)
    assert [layer.output.shape[1] for layer in layers(network, "MaxPooling2D")] == [16, 8, 4]


@pytest.mark.parametrize(("name", "count"), [("linear", dense(50, 7)), ("mlp", dense(50, 256) + dense(256, 7))])
def test_features_are_classified_too(name: str, count: int, tf: Any) -> None:
    network = build_network(name, (50,), 7, np.random.default_rng(0))
    assert network(np.zeros((3, 50), np.float32)).shape == (3, 7)
    assert trainable(network) == count
