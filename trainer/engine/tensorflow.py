"""TensorFlow: many steps in one `tf.function`, XLA on a GPU, a plain graph on a CPU.

(XLA on a CPU compiles convolutions inside a loop several times slower than the graph runs them.)
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any, ClassVar

import numpy as np
import tensorflow as tf

from datatools.processors import usable_processors
from trainer.config import RunConfig, gpu_number
from trainer.data import TrainingData
from trainer.engine import quiet_stderr
from trainer.engine.base import BaseEngine, out_of_memory
from trainer.engine.step import evaluation_sums, run_method, standardise, update_loss, with_update_losses
from trainer.engine.variables import Network, Optimizer, Variable, moving_statistics
from trainer.errors import TrainerError
from trainer.methods.base import Method, Update
from trainer.networks.layers import batch_norm_over


class TensorFlowEngine(BaseEngine):
    """Trains on a GPU or on the CPU, as `config.device` asks. The contract is `trainer.engine.Engine`."""

    memory_errors: ClassVar = (tf.errors.ResourceExhaustedError, tf.errors.InternalError)

    def __init__(self, config: RunConfig, method: Method, data: TrainingData, compile: bool | None = None) -> None:
        """`compile`: through XLA; None for what suits the device."""
        gpu = _choose_device(config.device)
        _set_arithmetic(config, on_cpu=gpu is None)
        super().__init__(config, method, data, on_cpu=gpu is None)
        self.device = _describe(gpu)
        self.compiles = not self.on_cpu if compile is None else compile
        with out_of_memory(*self.memory_errors):
            memory = self.start_memory()
            self._memory_dtypes = {key: values.dtype for key, values in memory.items()}
            self._memory = {key: tf.Variable(_stored(values), name=key) for key, values in memory.items()}
        self._steps = 0
        """How many steps a compiled call holds; a shorter one is filled up, and stops early."""
        self._trace(self.compiles)

    def _trace(self, compile: bool) -> None:
        # XLA wants every shape known, and so one compilation a shape; a plain graph takes all shapes in one trace
        schedule = {key: tf.TensorSpec((), tf.float32) for key in self.method.schedule(0, 2, 0.0)}
        indices, steps = tf.TensorSpec((None, None), tf.int32), tf.TensorSpec((), tf.int32)
        images = tf.TensorSpec((None, None, *self.data.image_shape), tf.uint8)
        resident = None if compile else [indices, steps, schedule]
        streamed = None if compile else [indices, steps, schedule, images]
        # the step is a function of its own, so that it is traced once
        self._step = tf.function(self._train_step, autograph=False, reduce_retracing=not compile)
        self._train = tf.function(self._train_steps, jit_compile=compile, input_signature=resident)
        self._train_streamed = tf.function(self._train_images, jit_compile=compile, input_signature=streamed)
        self._test = tf.function(self._test_batch, autograph=False, jit_compile=compile, reduce_retracing=not compile)

    # The device

    @property
    def memory(self) -> dict[str, np.ndarray]:
        return {key: variable.numpy().astype(self._memory_dtypes[key]) for key, variable in self._memory.items()}

    @memory.setter
    def memory(self, values: dict[str, np.ndarray]) -> None:
        for key, variable in self._memory.items():
            variable.assign(_stored(values[key]))

    def _put(self, values: Any) -> tf.Tensor:
        return tf.constant(np.asarray(values))

    def _fetch(self, results: list[Any]) -> list[Any]:
        return list(tf.nest.map_structure(lambda tensor: tensor.numpy(), results))

    def _get(self, variable: Variable) -> np.ndarray:
        return variable.numpy()

    def _set(self, variable: Variable, values: Any) -> None:
        variable.assign(values)

    # Calls of what is traced

    def _pieces(self, indices: np.ndarray) -> Iterator[tuple[tf.Tensor, ...]]:
        """The arguments of `_train` or `_train_streamed`, but for the schedule."""
        if not self.streams:
            yield self._filled(indices), self._put(np.int32(len(indices)))
            return
        for block, images in self.blocks(indices):
            yield self._filled(block), self._put(np.int32(len(block))), self._filled(images)

    def _filled(self, values: np.ndarray) -> tf.Tensor:
        """A call's (steps, …) values.

        A compiled program has one shape: where a call has fewer steps than the first one had, rows are repeated, which
        nothing is done with.
        """
        if self.compiles:
            self._steps = max(self._steps, len(values))
            values = np.concatenate([values, np.repeat(values[-1:], self._steps - len(values), axis=0)])
        return self._put(values)

    def _compile_piece(self, schedule: dict[str, tf.Tensor], *piece: tf.Tensor) -> None:
        # A program is compiled when it is first called, and how many steps it makes is an argument
        indices, _, *images = piece
        self._train_piece(schedule, indices, self._put(np.int32(0)), *images)

    def _train_piece(self, schedule: dict[str, tf.Tensor], *piece: tf.Tensor) -> tf.Tensor:
        indices, steps, *images = piece
        program = self._train_streamed if self.streams else self._train
        return program(indices, steps, schedule, *images)

    def _evaluate_batch(self, images: tf.Tensor, labels: tf.Tensor) -> list[dict[str, tf.Tensor]]:
        return list(self._test(images, labels))

    # What is traced

    def _train_steps(self, indices: tf.Tensor, steps: tf.Tensor, schedule: dict[str, tf.Tensor]) -> tf.Tensor:
        sums = tf.TensorArray(tf.float32, size=_length(indices))
        for step in tf.range(steps):
            sums = sums.write(step, self._step(indices[step], schedule, tf.gather(self._images, indices[step])))
        return sums.stack()

    def _train_images(
        self, indices: tf.Tensor, steps: tf.Tensor, schedule: dict[str, tf.Tensor], images: tf.Tensor
    ) -> tf.Tensor:
        sums = tf.TensorArray(tf.float32, size=_length(indices))
        for step in tf.range(steps):
            sums = sums.write(step, self._step(indices[step], schedule, images[step]))
        return sums.stack()

    def _train_step(self, index: tf.Tensor, schedule: dict[str, tf.Tensor], images: tf.Tensor) -> tf.Tensor:
        """One mini-batch; its sums as one vector, in the order of `_sum_keys`."""
        # Gather
        images = standardise(images)
        labels = {name: tf.gather(values, index) for name, values in self._labels.items()}
        rows = {
            key: tf.cast(tf.gather(variable, index), self._memory_dtypes[key]) for key, variable in self._memory.items()
        }
        # Forward, and the method's choice and losses
        with tf.GradientTape(persistent=self.method.num_networks > 1) as tape:
            logits = tuple(self._choosing_pass(network, images) for network in self.networks)
            step, rows, sums = run_method(self.method, labels["given"], labels.get("clean"), logits, rows, schedule)
            losses = step.losses
            if self.method.second_pass:
                losses = tuple(map(partial(_second_pass, images=images), self.networks, step.updates))
                sums = with_update_losses(sums, losses)
        # Backward: each network by its own loss
        for network, optimizer, loss in zip(self.networks, self.optimizers, losses, strict=True):
            self._update(network, optimizer, tape.gradient(loss, _values(network)))
        # Write back
        for key, variable in self._memory.items():
            variable.scatter_update(tf.IndexedSlices(tf.cast(rows[key], variable.dtype), index))
        self._sum_keys = tuple(sums)
        return tf.stack(list(sums.values()))

    def _choosing_pass(self, network: Network, images: tf.Tensor) -> tf.Tensor:
        """(B, K) logits of a step's first pass, which changes moving statistics only where it is the only one."""
        if not self.method.second_pass:
            return network(images, training=True)
        before = [(variable, tf.identity(variable.value)) for variable in moving_statistics(network)]
        logits = tf.stop_gradient(network(images, training=True))
        for variable, value in before:
            variable.assign(value)
        return logits

    def _update(self, network: Network, optimizer: Optimizer, gradients: list[tf.Tensor]) -> None:
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


def _second_pass(network: Network, update: Update, images: tf.Tensor) -> tf.Tensor:
    """The loss of a step's second pass."""
    with batch_norm_over(update.samples):
        return update_loss(update, network(images, training=True))


def _stored(values: np.ndarray) -> np.ndarray:
    """As a variable keeps it: int32 ones stay on the host in TensorFlow, out of the reach of a program on a GPU."""
    return values.astype(np.int64) if values.dtype == np.int32 else values


def _set_arithmetic(config: RunConfig, on_cpu: bool) -> None:
    """For the whole process: whether a GPU rounds the factors of float32 products, and takes ops in any order."""
    tf.config.experimental.enable_tensor_float_32_execution(config.precision == "tf32")
    if config.deterministic and not on_cpu:
        tf.config.experimental.enable_op_determinism()


def _length(indices: tf.Tensor) -> Any:
    """Number of steps: a plain number where it is known, as XLA wants it for what a loop collects."""
    return tf.shape(indices)[0] if indices.shape[0] is None else indices.shape[0]


def _values(network: Network) -> list[tf.Variable]:
    return [variable.value for variable in network.trainable_variables]


def _choose_device(device: str) -> Any:
    """Make the GPU that `device` asks for the only visible one; None for the CPU.

    Raises:
        TrainerError: no such GPU, or this process computes on another device already.
    """
    with quiet_stderr():  # a missing driver is remarked upon, now and then also past the log level
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
