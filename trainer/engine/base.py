"""What the engines share: networks and optimizers of Keras, their seeds, and how images reach the device."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np

from datatools.seeding import stream
from trainer.config import RunConfig
from trainer.data import Images, TrainingData
from trainer.engine.step import dropout_seeds, engine_memory
from trainer.errors import TrainerError
from trainer.methods.base import Method
from trainer.networks import build_network

EVALUATION_BATCH = 500
STREAM_SHARE = 8
"""Streaming keeps this share of the memory budget, one in so many, for each block of images under way."""


class EngineParts:
    """Networks, optimizers and data of a run, as far as they do not depend on the framework."""

    on_cpu: bool

    def __init__(self, config: RunConfig, method: Method, data: TrainingData) -> None:
        self.config, self.method, self.data = config, method, data
        budget = None if config.device_memory is None else config.device_memory << 20
        images = (data.train_images, data.test_images, data.validation_images)
        self.budget = budget
        self.streams = budget is not None and sum(part.nbytes for part in images if part is not None) > budget
        sizes = [len(self.held_out(split)[1]) for split in data.held_out]
        batches = -(-max(sizes) // EVALUATION_BATCH)
        self.evaluation_batch = max(1, -(-max(sizes) // max(1, batches)))
        """Images evaluated at a time: one size for all splits, and for the largest one hardly a place left empty."""

    @property
    def notices(self) -> tuple[str, ...]:
        """See `trainer.engine.Engine`."""
        if self.config.precision == "tf32" and self.on_cpu:
            return ("a CPU computes in float32 where --precision tf32 is asked for",)
        return ()

    @property
    def reproducible(self) -> bool:
        """See `trainer.engine.Engine`."""
        return self.on_cpu or self.config.deterministic

    def build(self, run: int, number: int) -> Any:
        """A fresh network: its weights are a function of (seed, run, number)."""
        rng = np.random.Generator(stream(self.config.seed, "weights", run, number))
        config, data = self.config, self.data
        return build_network(config.network, data.image_shape, data.num_classes, rng, config.precision)

    def make_optimizer(self, network: Any) -> Any:
        """SGD with Nesterov momentum, built for `network`."""
        optimizer = keras.optimizers.SGD(self.config.learning_rate, momentum=self.config.momentum, nesterov=True)
        optimizer.build(network.trainable_variables)
        return optimizer

    def start_memory(self) -> dict[str, np.ndarray]:
        """The per-sample memory with which a first run starts."""
        count = self.data.num_samples
        return {**self.method.memory(count, self.data.num_classes), **engine_memory(count, self.data.num_classes)}

    def epoch_seeds(self, networks: list[Any], run: int, epoch: int) -> list[np.ndarray]:
        """(2,) uint32 for each dropout layer of all networks: a function of (seed, run, epoch)."""
        layers = sum(len(dropout_seeds(network)) for network in networks)
        raw = stream(self.config.seed, "dropout", run, epoch).random_raw(2 * layers)
        return list((np.reshape(raw, (-1, 2)) >> np.uint64(33)).astype(np.uint32))

    def held_out(self, split: str) -> tuple[Images, np.ndarray]:
        """Images and labels of "test" or "validation"."""
        if split == "test":
            return self.data.test_images, self.data.test_labels
        assert self.data.validation_images is not None, "no validation split"
        assert self.data.validation_labels is not None
        return self.data.validation_images, self.data.validation_labels

    def held_out_batches(self, split: str) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """(B, H, W, C) uint8 images and (B,) int32 labels of a split, all of one shape.

        The last mini-batch is filled up with images of label -1, which `step.evaluation_sums` does not count.
        """
        images, labels = self.held_out(split)
        size = self.evaluation_batch
        for start in range(0, len(labels), size):
            rows = np.arange(start, min(start + size, len(labels)))
            missing = size - len(rows)
            filled = np.concatenate([rows, np.repeat(rows[-1:], missing)])
            yield images[filled], np.concatenate([labels[rows], np.full(missing, -1, labels.dtype)])

    def blocks(self, indices: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """The mini-batches with their images, read ahead by one block, for a dataset that is not on the device.

        Args:
            indices: (steps, B) int32.

        Yields:
            (s, B) int32 indices and (s, B, H, W, C) uint8 images, of as many steps as the budget takes.
        """
        assert self.budget is not None
        step_bytes = indices.shape[1] * int(np.prod(self.data.image_shape))
        size = max(1, self.budget // STREAM_SHARE // step_bytes)
        parts = [indices[start : start + size] for start in range(0, len(indices), size)]
        with ThreadPoolExecutor(1) as reader:
            ahead = reader.submit(self._read, parts[0])
            for part, following in zip(parts, [*parts[1:], None], strict=True):
                images = ahead.result()
                if following is not None:
                    ahead = reader.submit(self._read, following)
                yield part, images

    def _read(self, indices: np.ndarray) -> np.ndarray:
        return self.data.train_images[indices.reshape(-1)].reshape(*indices.shape, *self.data.image_shape)


def evaluation_totals(parts: list[dict[str, Any]]) -> dict[str, Any]:
    """Batches' `step.evaluation_sums`, on the host, added up: "loss" a float, "confusion" (K, K) int64."""
    return {
        "loss": float(sum(float(part["loss"]) for part in parts)),
        "confusion": sum(np.asarray(part["confusion"]).astype(np.int64) for part in parts),
    }


def named_variables(networks: list[Any], optimizers: list[Any]) -> Iterator[tuple[str, Any]]:
    """(name, variable) of all that training changes beside the memory: weights, statistics, seeds, velocities.

    The names depend on the order alone: Keras numbers its layers through a whole process, and names an optimizer's
    variables after them.
    """
    for kind, owners in (("network", networks), ("optimizer", optimizers)):
        for number, owner in enumerate(owners):
            for place, variable in enumerate(owner.variables):
                own = f"-{variable.name}" if kind == "network" else ""
                yield f"{kind}_{number + 1}/{place:04d}{own}", variable


def named_weights(networks: list[Any]) -> Iterator[tuple[str, Any]]:
    """(name, variable) of what a network needs to classify: its weights and batch-norm statistics."""
    for number, network in enumerate(networks):
        for place, variable in enumerate(network.weights):
            yield f"network_{number + 1}/{place:04d}-{variable.name}", variable


def check_state(names: set[str], values: dict[str, np.ndarray]) -> None:
    """Raise TrainerError unless `values` has exactly the entries `names`."""
    if names != values.keys():
        odd = sorted(names ^ values.keys())
        raise TrainerError(f"checkpoint: its state is of another network or method (differs in {odd[0]}); start anew")


@contextmanager
def out_of_memory(*errors: type[BaseException]) -> Iterator[None]:
    """Turn a framework's out-of-memory error, one of `errors` that says so, into one line."""
    try:
        yield
    except errors as error:
        text = str(error)
        if not any(sign in text for sign in ("RESOURCE_EXHAUSTED", "OOM", "out of memory", "Out of memory")):
            raise
        raise TrainerError(
            "out of memory on the device; lower --batch-size, take a smaller --network or --precision bfloat16, or "
            "keep the images off it with --device-memory MIB"
        ) from None
