"""Optimizers, warm-up, momentum and augmentation, step by step against a few lines of NumPy, on each engine."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.tiny import run_config, training_data
from trainer.methods.default import Default

ENGINE = os.environ.get("TEST_ENGINE", "tensorflow")
"""The engine of this process; a test runs the others of this file on JAX, in a process of its own."""
ROOT = Path(__file__).parents[3]
COUNT, BATCH, CLASSES, STEPS = 60, 10, 3, 6
RATE, DECAY = 0.1, 0.05


def made(**settings: Any) -> Any:
    from trainer.engine import make_engine

    values = {"learning_rate": RATE, "weight_decay": DECAY, "batch_size": BATCH, "epochs": 8, **settings}
    config = run_config("default", "linear", engine=ENGINE, device="cpu", **values)
    engine = make_engine(config, Default(), training_data(COUNT, CLASSES))
    engine.reset(0)
    engine.memory = engine.start_memory()
    return engine


def standardised(images: np.ndarray) -> np.ndarray:
    flat = images.astype(np.float64).reshape(len(images), -1)
    centred = flat - flat.mean(axis=1, keepdims=True)
    return np.asarray(centred / centred.std(axis=1, keepdims=True))


def gradient(weights: list[np.ndarray], inputs: np.ndarray, labels: np.ndarray) -> list[np.ndarray]:
    """Of the mean cross-entropy of a linear network, by kernel and bias."""
    kernel, bias = weights
    logits = inputs @ kernel + bias
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    by_logits = (powers / powers.sum(axis=1, keepdims=True) - np.eye(CLASSES)[labels]) / len(labels)
    return [inputs.T @ by_logits, by_logits.sum(axis=0)]


class Expected:
    """An optimizer in NumPy, as its paper has it."""

    def __init__(self, config: Any, weights: list[np.ndarray]) -> None:
        self.config = config
        self.weights = [values.astype(np.float64) for values in weights]
        self.first = [np.zeros_like(values) for values in self.weights]
        self.second = [np.zeros_like(values) for values in self.weights]
        self.count = 0

    def step(self, inputs: np.ndarray, labels: np.ndarray, rate: float, momentum: float) -> None:
        self.count += 1
        for place, slope in enumerate(gradient(self.weights, inputs, labels)):
            weights = self.weights[place]
            if self.config.optimizer == "adamw":
                weights = weights * (1 - rate * DECAY)
            else:
                slope = slope + DECAY * weights
            if self.config.optimizer == "sgd":
                velocity = momentum * self.first[place] - rate * slope
                self.first[place] = velocity
                change = momentum * velocity - rate * slope if self.config.nesterov else velocity
            else:
                self.first[place] = momentum * self.first[place] + (1 - momentum) * slope
                self.second[place] = 0.999 * self.second[place] + 0.001 * slope**2
                mean = self.first[place] / (1 - momentum**self.count)
                change = -rate * mean / (np.sqrt(self.second[place] / (1 - 0.999**self.count)) + 1e-8)
            self.weights[place] = weights + change


def weights_of(engine: Any) -> list[np.ndarray]:
    return [values for name, values in sorted(engine.weights().items())]


def mini_batches() -> np.ndarray:
    return np.random.default_rng(0).permuted(np.tile(np.arange(COUNT, dtype=np.int32), (STEPS, 1)), axis=1)[:, :BATCH]


OPTIMIZERS: dict[str, dict[str, Any]] = {
    "sgd, nesterov": {"nesterov": True},
    "sgd": {"nesterov": False},
    "adam": {"optimizer": "adam"},
    "adamw": {"optimizer": "adamw"},
    "sgd, warm-up": {"nesterov": False, "learning_rate_warm_up": 4},
    "adamw, warm-up": {"optimizer": "adamw", "learning_rate_warm_up": 4},
    "adam, late momentum": {"optimizer": "adam", "schedule": "linear", "decay_from": 1, "late_momentum": 0.1},
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_an_optimizer_steps_as_its_paper_says(name: str) -> None:
    engine = made(**OPTIMIZERS[name])
    config, expected = engine.config, Expected(engine.config, weights_of(engine))
    for epoch in range(2):
        rows = mini_batches()
        rate, momentum = config.learning_rate_at(epoch), 0.9
        if "late" in name and epoch == 1:
            momentum = config.late_momentum
        engine.begin_epoch(0, epoch, rate)
        engine.train(rows[:2], {})
        engine.train(rows[2:], {}, first_step=2)
        for step, batch in enumerate(rows):
            place = epoch * STEPS + step
            factor = min(1.0, (place + 1) / 4) if "warm-up" in name else 1.0
            images, labels = engine.data.train_images[batch], engine.data.train_labels[batch]
            expected.step(standardised(images), labels, rate * factor, momentum)
    for values, numbers in zip(weights_of(engine), expected.weights, strict=True):
        np.testing.assert_allclose(values, numbers, rtol=2e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["crop-flip", "cutout", "randaugment"])
def test_images_are_augmented_by_the_numbers_of_the_step(name: str) -> None:
    from trainer.augmentation import AUGMENTATIONS, draw
    from trainer.ops import convert_to_numpy

    engine = made(augmentation=name, weight_decay=0.0)
    rows = mini_batches()
    before = [values.astype(np.float64) for values in weights_of(engine)]
    engine.begin_epoch(0, 1, RATE)
    sums = engine.train(rows[3:4], {}, first_step=3)
    augmentation = AUGMENTATIONS[name]
    numbers = draw(augmentation, engine.config.seed, 0, 1, 1, BATCH, first_step=3)[0]
    images = engine.data.train_images[rows[3]].astype(np.float32)
    seen = np.asarray(convert_to_numpy(augmentation.apply(images, numbers)))
    assert not np.array_equal(seen, images)
    kernel, bias = before
    flat = seen.astype(np.float64).reshape(BATCH, -1)
    centred = flat - flat.mean(axis=1, keepdims=True)
    logits = centred / np.maximum(centred.std(axis=1, keepdims=True), 1 / np.sqrt(flat.shape[1])) @ kernel + bias
    labels = engine.data.train_labels[rows[3]]
    log_p = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    np.testing.assert_allclose(sums["loss"][0] / BATCH, -log_p[np.arange(BATCH), labels].mean(), rtol=1e-4)


def test_held_out_images_are_not_augmented() -> None:
    plain, augmented = made(), made(augmentation="randaugment")
    assert plain.evaluate()[0]["loss"] == augmented.evaluate()[0]["loss"]


@pytest.mark.skipif(ENGINE == "jax", reason="it is this process")
def test_all_of_it_holds_on_jax() -> None:
    environment = {**os.environ, "TEST_ENGINE": "jax", "KERAS_BACKEND": "jax"}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(Path(__file__))]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stdout[-3000:]
