"""Probabilities of images: a softmax in any batching, and a trained engine's weights in a network."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.support.tiny import run_config, tensorflow_engine, training_data
from trainer.data import TrainingData
from trainer.engine.prediction import network_of, predict


@pytest.fixture(scope="module")
def data() -> TrainingData:
    return training_data(30)


@pytest.fixture(scope="module")
def engine(tf: Any, data: TrainingData) -> Any:
    return tensorflow_engine(run_config(), data)


@pytest.fixture
def network(tf: Any, data: TrainingData) -> Any:
    from trainer.networks import build_network

    return build_network("small-cnn", data.image_shape, 3, np.random.default_rng(5))


def test_probabilities_are_the_softmax_of_the_logits(network: Any, data: TrainingData) -> None:
    from trainer.engine.step import standardise

    logits = np.asarray(network(standardise(data.test_images[:]), training=False), np.float64)
    expected = np.exp(logits - logits.max(axis=1, keepdims=True))
    probability = predict([network], data.test_images)
    assert probability.dtype == np.float32
    assert probability == pytest.approx(expected / expected.sum(axis=1, keepdims=True), abs=1e-6)


@pytest.mark.parametrize("size", [1, 7, 15, 500])
def test_the_batch_size_changes_nothing(network: Any, data: TrainingData, size: int) -> None:
    assert predict([network], data.test_images, size) == pytest.approx(predict([network], data.test_images), abs=1e-6)


def test_no_images_give_no_rows(network: Any) -> None:
    assert predict([network], np.empty((0, 8, 8, 1), np.uint8)).shape == (0, 3)


def test_a_network_with_the_engine_s_weights_predicts_as_the_engine_evaluates(
    engine: Any, network: Any, data: TrainingData
) -> None:
    before = predict([network], data.test_images)
    probability = predict([network_of(engine.weights(), network)], data.test_images)
    assert not np.allclose(before, probability, atol=1e-3)
    (totals,) = engine.evaluate()
    of_label = probability[np.arange(len(data.test_labels)), data.test_labels]
    assert -np.log(of_label).sum() == pytest.approx(totals["loss"], rel=1e-4)
    confusion = np.zeros((3, 3), np.int64)
    np.add.at(confusion, (data.test_labels, probability.argmax(axis=1)), 1)
    assert confusion.tolist() == totals["confusion"].tolist()
