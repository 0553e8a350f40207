"""TensorFlow: many steps in one `tf.function`, XLA on a GPU, a plain graph on a CPU.

(XLA on a CPU compiles convolutions inside a loop several times slower than the graph runs them.)
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from datatools.processors import usable_processors
from datatools.seeding import stream
from trainer.config import RunConfig
from trainer.data import TrainingData
from trainer.engine.step import dropout_seeds, engine_memory, run_method, standardise, test_sums
from trainer.methods.base import Method
from trainer.networks import build_network

TEST_BATCH = 500


class TensorFlowEngine:
    """Trains on the first GPU where there is one, else on the CPU. The contract is `trainer.engine.Engine`."""

    def __init__(self, config: RunConfig, method: Method, data: TrainingData, compile: bool | None = None) -> None:
        """`compile`: through XLA; None for what suits the device."""
        gpus = tf.config.list_logical_devices("GPU")
        self.on_cpu = not gpus
        self.device = _describe(gpus)
        self.config, self.method, self.data = config, method, data
        self.networks = [self._build(0, number) for number in range(method.num_networks)]
        self.optimizers = [self._optimizer(network) for network in self.networks]
        self._images = tf.constant(data.train_images)
        self._labels = tf.constant(data.train_labels)
        self._clean_labels = None if data.clean_labels is None else tf.constant(data.clean_labels)
        memory = {**method.memory(data.num_samples, data.num_classes), **engine_memory(data.num_samples)}
        self._memory = {key: tf.Variable(value, name=key) for key, value in memory.items()}
        self._trace(bool(gpus) if compile is None else compile)
        self._test_images, self._test_labels = tf.constant(data.test_images), tf.constant(data.test_labels)

    def _trace(self, compile: bool) -> None:
        knobs = {key: tf.TensorSpec((), tf.float32) for key in self.method.knobs(0, 2, 0.0)}
        # XLA wants every shape known, and so one compilation a shape; a plain graph takes all shapes in one trace
        signature = None if compile else [tf.TensorSpec((None, None), tf.int32), knobs]
        # the step is a function of its own, so that it is traced once though the loop names it twice
        self._step = tf.function(self._train_step, autograph=False, reduce_retracing=not compile)
        self._train = tf.function(self._train_steps, jit_compile=compile, input_signature=signature)
        self._test = tf.function(self._test_batch, autograph=False, jit_compile=compile, reduce_retracing=not compile)

    @property
    def memory(self) -> dict[str, np.ndarray]:
        return {key: variable.numpy() for key, variable in self._memory.items()}

    @memory.setter
    def memory(self, values: dict[str, np.ndarray]) -> None:
        for key, variable in self._memory.items():
            variable.assign(values[key])

    def parameters(self) -> int:
        return sum(int(np.prod(v.shape)) for v in self.networks[0].trainable_variables)

    def reset(self, run: int) -> None:
        # New values go into the old variables: what was traced and compiled stays valid
        for number, (network, optimizer) in enumerate(zip(self.networks, self.optimizers, strict=True)):
            fresh = self._build(run, number)
            for variable, value in zip(network.variables, fresh.variables, strict=True):
                variable.assign(value)
            for variable in optimizer.variables:
                variable.assign(tf.zeros_like(variable.value))

    def begin_epoch(self, run: int, epoch: int, learning_rate: float) -> None:
        for optimizer in self.optimizers:
            optimizer.learning_rate.assign(learning_rate)
        generators = [seed for network in self.networks for seed in dropout_seeds(network)]
        raw = stream(self.config.seed, "dropout", run, epoch).random_raw(2 * len(generators))
        for generator, pair in zip(generators, np.reshape(raw, (-1, 2)), strict=True):
            generator.state.assign((pair >> np.uint64(33)).astype(np.uint32))

    def train(self, indices: np.ndarray, knobs: dict[str, float]) -> dict[str, float]:
        scalars = {key: tf.constant(value, tf.float32) for key, value in knobs.items()}
        sums = self._train(tf.constant(indices, tf.int32), scalars)
        return {key: float(value) for key, value in sums.items()}

    def evaluate(self) -> dict[str, float]:
        batches = [
            self._test(self._test_images[start : start + TEST_BATCH], self._test_labels[start : start + TEST_BATCH])
            for start in range(0, len(self.data.test_labels), TEST_BATCH)
        ]
        return {key: float(sum(batch[key] for batch in batches)) for key in batches[0]}

    def _build(self, run: int, number: int) -> Any:
        weights = np.random.Generator(stream(self.config.seed, "weights", run, number))
        return build_network(self.config.network, self.data.image_shape, self.data.num_classes, weights)

    def _optimizer(self, network: Any) -> Any:
        optimizer = keras.optimizers.SGD(self.config.learning_rate, momentum=self.config.momentum, nesterov=True)
        optimizer.build(network.trainable_variables)
        return optimizer

    def _train_steps(self, indices: tf.Tensor, knobs: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        sums = self._step(indices[0], knobs)
        for step in tf.range(1, tf.shape(indices)[0]):
            more = self._step(indices[step], knobs)
            sums = {key: sums[key] + more[key] for key in sums}
        return sums

    def _train_step(self, index: tf.Tensor, knobs: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        images = standardise(tf.gather(self._images, index))
        labels = tf.gather(self._labels, index)
        clean = None if self._clean_labels is None else tf.gather(self._clean_labels, index)
        rows = {key: tf.gather(variable, index) for key, variable in self._memory.items()}
        with tf.GradientTape(persistent=self.method.num_networks > 1) as tape:
            logits = tuple(network(images, training=True) for network in self.networks)
            losses, rows, sums = run_method(self.method, labels, clean, logits, rows, knobs)
        for network, optimizer, loss in zip(self.networks, self.optimizers, losses, strict=True):
            self._update(network, optimizer, tape.gradient(loss, _values(network)))
        for key, variable in self._memory.items():
            variable.scatter_update(tf.IndexedSlices(rows[key], index))
        return sums

    def _update(self, network: Any, optimizer: Any, gradients: list[tf.Tensor]) -> None:
        """Add the gradient of ½ weight decay ‖v‖² over all trainable variables v, and take the optimizer's step."""
        decayed = [
            gradient + self.config.weight_decay * variable
            for gradient, variable in zip(gradients, _values(network), strict=True)
        ]
        optimizer.apply(decayed, network.trainable_variables)

    def _test_batch(self, images: tf.Tensor, labels: tf.Tensor) -> dict[str, tf.Tensor]:
        return test_sums(labels, self.networks[0](standardise(images), training=False))


def _values(network: Any) -> list[tf.Variable]:
    return [variable.value for variable in network.trainable_variables]


def _describe(gpus: list[Any]) -> str:
    if not gpus:
        return f"CPU, {usable_processors()} cores"
    details = tf.config.experimental.get_device_details(tf.config.list_physical_devices("GPU")[0])
    return f"GPU, {details.get('device_name', 'unknown')}"
