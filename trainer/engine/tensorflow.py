"""TensorFlow: many steps in one `tf.function`, XLA on a GPU, a plain graph on a CPU.

(XLA on a CPU compiles convolutions inside a loop several times slower than the graph runs them.)
"""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from datatools.processors import usable_processors
from trainer.config import RunConfig, gpu_number
from trainer.data import TrainingData
from trainer.engine.base import (
    EngineParts,
    check_state,
    evaluation_parts,
    evaluation_totals,
    named_variables,
    named_weights,
    out_of_memory,
)
from trainer.engine.step import dropout_seeds, evaluation_sums, run_method, standardise
from trainer.errors import TrainerError
from trainer.methods.base import Method


class TensorFlowEngine(EngineParts):
    """Trains on a GPU or on the CPU, as `config.device` asks. The contract is `trainer.engine.Engine`."""

    def __init__(self, config: RunConfig, method: Method, data: TrainingData, compile: bool | None = None) -> None:
        """`compile`: through XLA; None for what suits the device."""
        super().__init__(config, method, data)
        gpu = _choose_device(config.device)
        self.on_cpu = gpu is None
        self.device = _describe(gpu)
        with out_of_memory(tf.errors.ResourceExhaustedError):
            self.networks = [self.build(0, number) for number in range(method.num_networks)]
            self.optimizers = [self.make_optimizer(network) for network in self.networks]
            self._images = None if self.streams else _put(data.train_images)
            self._labels = tf.constant(data.train_labels)
            self._clean_labels = None if data.clean_labels is None else tf.constant(data.clean_labels)
            self._memory = {key: tf.Variable(value, name=key) for key, value in self.start_memory().items()}
            self._held_out = {} if self.streams else {split: self._put_held_out(split) for split in data.held_out}
        self._sum_keys: tuple[str, ...] = ()
        self._trace(not self.on_cpu if compile is None else compile)

    def _put_held_out(self, split: str) -> tuple[Any, Any]:
        images, labels = self.held_out(split)
        return _put(images), tf.constant(labels)

    def _trace(self, compile: bool) -> None:
        # XLA wants every shape known, and so one compilation a shape; a plain graph takes all shapes in one trace
        knobs = {key: tf.TensorSpec((), tf.float32) for key in self.method.knobs(0, 2, 0.0)}
        indices = tf.TensorSpec((None, None), tf.int32)
        images = tf.TensorSpec((None, None, *self.data.image_shape), tf.uint8)
        resident, streamed = (None, None) if compile else ([indices, knobs], [indices, knobs, images])
        # the step is a function of its own, so that it is traced once
        self._step = tf.function(self._train_step, autograph=False, reduce_retracing=not compile)
        self._train = tf.function(self._train_steps, jit_compile=compile, input_signature=resident)
        self._train_streamed = tf.function(self._train_images, jit_compile=compile, input_signature=streamed)
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
            fresh = self.build(run, number)
            for variable, value in zip(network.variables, fresh.variables, strict=True):
                variable.assign(value)
            for variable in optimizer.variables:
                variable.assign(tf.zeros_like(variable.value))

    def state(self) -> dict[str, np.ndarray]:
        return {name: variable.numpy() for name, variable in named_variables(self.networks, self.optimizers)}

    def load_state(self, values: dict[str, np.ndarray]) -> None:
        variables = dict(named_variables(self.networks, self.optimizers))
        check_state(set(variables), values)
        for name, variable in variables.items():
            variable.assign(values[name])

    def weights(self) -> dict[str, np.ndarray]:
        return {name: variable.numpy() for name, variable in named_weights(self.networks)}

    def begin_epoch(self, run: int, epoch: int, learning_rate: float) -> None:
        for optimizer in self.optimizers:
            optimizer.learning_rate.assign(learning_rate)
        generators = [seed for network in self.networks for seed in dropout_seeds(network)]
        for generator, value in zip(generators, self.epoch_seeds(self.networks, run, epoch), strict=True):
            generator.state.assign(value)

    def train(self, indices: np.ndarray, knobs: dict[str, float]) -> dict[str, np.ndarray]:
        scalars = {key: tf.constant(value, tf.float32) for key, value in knobs.items()}
        with out_of_memory(tf.errors.ResourceExhaustedError, tf.errors.InternalError):
            if not self.streams:
                sums = self._train(tf.constant(indices, tf.int32), scalars).numpy()
            else:
                parts = [
                    self._train_streamed(tf.constant(part, tf.int32), scalars, tf.constant(images))
                    for part, images in self.blocks(indices)
                ]
                sums = np.concatenate([part.numpy() for part in parts])
        return dict(zip(self._sum_keys, sums.T, strict=True))

    def evaluate(self, split: str = "test") -> list[dict[str, Any]]:
        images, labels = self._held_out.get(split) or self.held_out(split)
        with out_of_memory(tf.errors.ResourceExhaustedError, tf.errors.InternalError):
            batches = [
                self._test(tf.convert_to_tensor(images[part]), tf.convert_to_tensor(labels[part]))
                for part in evaluation_parts(len(labels))
            ]
            return [evaluation_totals([batch[number] for batch in batches]) for number in range(len(self.networks))]

    def _train_steps(self, indices: tf.Tensor, knobs: dict[str, tf.Tensor]) -> tf.Tensor:
        sums = tf.TensorArray(tf.float32, size=_length(indices))
        for step in tf.range(_length(indices)):
            sums = sums.write(step, self._step(indices[step], knobs, tf.gather(self._images, indices[step])))
        return sums.stack()

    def _train_images(self, indices: tf.Tensor, knobs: dict[str, tf.Tensor], images: tf.Tensor) -> tf.Tensor:
        sums = tf.TensorArray(tf.float32, size=_length(indices))
        for step in tf.range(_length(indices)):
            sums = sums.write(step, self._step(indices[step], knobs, images[step]))
        return sums.stack()

    def _train_step(self, index: tf.Tensor, knobs: dict[str, tf.Tensor], images: tf.Tensor) -> tf.Tensor:
        """One mini-batch; its sums as one vector, in the order of `_sum_keys`."""
        images = standardise(images)
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
        self._sum_keys = tuple(sums)
        return tf.stack(list(sums.values()))

    def _update(self, network: Any, optimizer: Any, gradients: list[tf.Tensor]) -> None:
        """Add the gradient of ½ weight decay ‖v‖² over all trainable variables v, and take the optimizer's step."""
        decayed = [
            gradient + self.config.weight_decay * variable
            for gradient, variable in zip(gradients, _values(network), strict=True)
        ]
        optimizer.apply(decayed, network.trainable_variables)

    def _test_batch(self, images: tf.Tensor, labels: tf.Tensor) -> list[dict[str, tf.Tensor]]:
        inputs = standardise(images)
        return [
            evaluation_sums(labels, network(inputs, training=False), self.data.num_classes) for network in self.networks
        ]


def _put(images: Any) -> tf.Tensor:
    return tf.constant(np.asarray(images))


def _length(indices: tf.Tensor) -> Any:
    """Number of steps: a plain number where it is known, as XLA wants it for what a loop collects."""
    return tf.shape(indices)[0] if indices.shape[0] is None else indices.shape[0]


def _values(network: Any) -> list[tf.Variable]:
    return [variable.value for variable in network.trainable_variables]


def _choose_device(device: str) -> Any:
    """Make the GPU that `device` asks for the only visible one; None for the CPU.

    Raises:
        TrainerError: no such GPU, or this process computes on another device already.
    """
    gpus = tf.config.list_physical_devices("GPU")
    wanted = gpu_number(device, len(gpus))
    visible = [] if wanted is None else [gpus[wanted]]
    if tf.config.get_visible_devices("GPU") != visible:
        try:
            tf.config.set_visible_devices(visible, "GPU")
        except RuntimeError:
            raise TrainerError(
                f"--device {device}: TensorFlow runs on another device in this process; start a new one"
            ) from None
    for gpu in visible:
        if not tf.config.experimental.get_memory_growth(gpu):
            tf.config.experimental.set_memory_growth(gpu, True)
    return visible[0] if visible else None


def _describe(gpu: Any) -> str:
    if gpu is None:
        return f"CPU, {usable_processors()} cores"
    details = tf.config.experimental.get_device_details(gpu)
    return f"GPU, {details.get('device_name', 'unknown')}"
