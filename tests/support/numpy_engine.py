"""An engine in NumPy, for runs in forked processes: a linear classifier, by plain SGD with momentum.

It trains by the given labels whatever the method says, keeps all that an engine keeps, and gives the same bits however
an epoch is cut into calls and wherever a run is resumed.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from trainer.config import RunConfig
from trainer.data import TrainingData
from trainer.engine import EvaluationTotals
from trainer.engine.step import engine_memory
from trainer.methods.base import Method


class NumpyEngine:
    """The contract is `trainer.engine.Engine`."""

    device = "CPU, NumPy"
    on_cpu, reproducible, compiles, streams = True, True, False, False
    notices: tuple[str, ...] = ()

    def __init__(self, config: RunConfig, method: Method, data: TrainingData) -> None:
        self.config, self.method, self.data = config, method, data
        self.memory = self.start_memory()
        self._images = self._flat(data.train_images)
        self._rate = 0.0
        self.reset(0)

    def start_memory(self) -> dict[str, np.ndarray]:
        count, classes = self.data.num_samples, self.data.num_classes
        return {**self.method.memory(count, classes), **engine_memory(count, classes)}

    def _flat(self, images: Any) -> np.ndarray:
        return np.asarray(images).reshape(len(np.asarray(images)), -1).astype(np.float32) / 255

    def reset(self, run: int) -> None:
        rng = np.random.default_rng((self.config.seed, run))
        shape = (self._images.shape[1], self.data.num_classes)
        self._state = {"weights": rng.normal(0, 0.1, shape).astype(np.float32), "velocity": np.zeros(shape, np.float32)}

    def state(self) -> dict[str, np.ndarray]:
        return {name: values.copy() for name, values in self._state.items()}

    def load_state(self, values: dict[str, np.ndarray]) -> None:
        self._state = {name: values[name].copy() for name in self._state}

    def weights(self) -> dict[str, np.ndarray]:
        return {"network_1/weights": self._state["weights"].copy()}

    def begin_epoch(self, run: int, epoch: int, learning_rate: float) -> None:
        self._rate = learning_rate

    def go_on(self, run: int, epoch: int) -> None:
        self._rate = self.config.learning_rate_at(epoch)

    def prepare(self, indices: np.ndarray, schedule: dict[str, float], *others: Any) -> None:
        raise AssertionError("nothing is compiled")

    def train(self, indices: np.ndarray, schedule: dict[str, float], *others: Any) -> dict[str, np.ndarray]:
        steps = [self._step(rows) for rows in indices]
        return {key: np.array([step[key] for step in steps], np.float32) for key in steps[0]}

    def _step(self, rows: np.ndarray) -> dict[str, float]:
        images, labels = self._images[rows], self.data.train_labels[rows]
        log_p = _log_softmax(images @ self._state["weights"])
        probability = np.exp(log_p)
        loss = -log_p[np.arange(len(rows)), labels]
        gradient = images.T @ (probability - np.eye(self.data.num_classes, dtype=np.float32)[labels]) / len(rows)
        self._state["velocity"] = np.float32(0.9) * self._state["velocity"] - np.float32(self._rate) * gradient
        self._state["weights"] = self._state["weights"] + self._state["velocity"]
        memory = self.memory
        memory["visits"][rows] += 1
        memory["last_loss"][rows], memory["last_prediction"][rows] = loss, probability.argmax(1)
        memory["mean_loss"][rows] += (loss - memory["mean_loss"][rows]) / memory["visits"][rows]
        sums = {"samples": len(rows), "loss": loss.sum(), "errors": (probability.argmax(1) != labels).sum()}
        if self.data.clean_labels is not None:
            clean = self.data.clean_labels[rows]
            sums |= {"clean_errors": (probability.argmax(1) != clean).sum(), "truly_clean": (labels == clean).sum()}
        return sums

    def evaluate(self, split: str = "test") -> list[EvaluationTotals]:
        validation = split == "validation"
        images = self.data.validation_images if validation else self.data.test_images
        labels = self.data.validation_labels if validation else self.data.test_labels
        assert labels is not None
        log_p = _log_softmax(self._flat(images) @ self._state["weights"])
        confusion = np.zeros((self.data.num_classes, self.data.num_classes), np.int64)
        np.add.at(confusion, (labels, log_p.argmax(1)), 1)
        return [{"loss": float(-log_p[np.arange(len(labels)), labels].sum()), "confusion": confusion}]

    def parameters(self) -> int:
        return self._state["weights"].size


def _log_softmax(logits: np.ndarray) -> np.ndarray:
    shifted = logits - logits.max(axis=1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True)))
