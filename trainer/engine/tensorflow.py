"""TensorFlow: many steps in one `tf.function`, XLA on a GPU, a plain graph on a CPU.

(XLA on a CPU compiles convolutions inside a loop several times slower than the graph runs them.)
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from functools import partial
from typing import Any, ClassVar, NamedTuple

import numpy as np
import tensorflow as tf

from datatools.processors import usable_processors
from trainer.config import RunConfig, gpu_number
from trainer.data import TrainingData
from trainer.engine import quiet_stderr
from trainer.engine.base import LEARNING_RATE, MOMENTUM, BaseEngine, Kind, out_of_memory
from trainer.engine.step import averaged, descended, evaluations, run_method, standardise
from trainer.engine.variables import Network, Optimizer, Variable, moving_statistics
from trainer.errors import TrainerError
from trainer.methods.base import Method
from trainer.networks.layers import batch_norm_over

STEPS_A_CALL = 32
"""How many steps a compiled call holds where the number of steps differs from epoch to epoch."""


class Program(NamedTuple):
    """Traced functions: what trains on the mini-batches of a call, and the step that it makes."""

    epoch: Any
    step: Any


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
        self._steps = STEPS_A_CALL if self._epochs_differ else 0
        """How many steps a compiled call holds; a shorter one is filled up, and stops early."""
        self._trace(self.compiles)

    def _trace(self, compile: bool) -> None:
        self._test = tf.function(self._test_batch, autograph=False, jit_compile=compile, reduce_retracing=not compile)
        self._probabilities = tf.function(self._classify, jit_compile=compile, reduce_retracing=not compile)
        self._programs: dict[Kind, Program] = {}

    def _program(self, kind: Kind) -> Program:
        """What trains on the mini-batches of a call."""
        if kind not in self._programs:
            # the step is a function of its own, so that it is traced once
            train_step = partial(self._train_step, kind=kind)
            step = tf.function(train_step, autograph=False, reduce_retracing=not self.compiles)
            loop = self._train_images if self.streams else self._train_steps

            def train(*arguments: Any) -> tf.Tensor:
                return loop(step, *arguments)

            # XLA wants every shape known, and so one compilation a shape; a plain graph takes all shapes in one trace
            signature = None if self.compiles else self._signature()
            epoch = tf.function(train, jit_compile=self.compiles, input_signature=signature)
            self._programs[kind] = Program(epoch, step)
        return self._programs[kind]

    def _signature(self) -> list[Any]:
        indices, steps = tf.TensorSpec((None, None), tf.int32), tf.TensorSpec((), tf.int32)
        scalars = (*self.method.schedule(0, 2, 0.0), *([MOMENTUM] if self._momentum_changes else []))
        schedule = {key: tf.TensorSpec((), tf.float32) for key in scalars}
        # a length that differs between mini-batches of two sizes is that of the mini-batch
        small, large = self._inputs(0, 1, 2), self._inputs(0, 1, 3)
        inputs = {}
        for name, example in small.items():
            same = np.equal(example.shape, large[name].shape)
            shape = [size if fixed else None for size, fixed in zip(example.shape, same, strict=True)]
            inputs[name] = tf.TensorSpec((None, *shape[1:]), example.dtype)
        images = tf.TensorSpec((None, None, *self.data.image_shape), self.data.train_images.dtype)
        return [indices, steps, inputs, schedule, *([images] if self.streams else [])]

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

    def _pieces(self, indices: np.ndarray, inputs: dict[str, np.ndarray]) -> Iterator[tuple[Any, ...]]:
        """The arguments of `_program`, but for the schedule, which comes after the third."""
        start = 0
        whole = [(part,) for part in self._calls(indices)]
        for block, *images in self.blocks(indices) if self.streams else whole:
            part = {name: self._filled(values[start : start + len(block)]) for name, values in inputs.items()}
            start += len(block)
            yield self._filled(block), self._put(np.int32(len(block))), part, *map(self._filled, images)

    def _calls(self, indices: np.ndarray) -> list[np.ndarray]:
        """The mini-batches of each compiled call: all of them, or where epochs differ so many at a time."""
        if not (self.compiles and self._epochs_differ):
            return [indices]
        return [indices[start : start + STEPS_A_CALL] for start in range(0, len(indices), STEPS_A_CALL)]

    def _filled(self, values: np.ndarray) -> tf.Tensor:
        """A call's (steps, …) values.

        A compiled program has one shape: where a call has fewer steps than the first one had, rows are repeated, which
        nothing is done with.
        """
        if self.compiles:
            self._steps = max(self._steps, len(values))
            values = np.concatenate([values, np.repeat(values[-1:], self._steps - len(values), axis=0)])
        return self._put(values)

    def _compile_piece(self, kind: Kind, schedule: dict[str, tf.Tensor], *piece: Any) -> None:
        # A program is compiled when it is first called, and how many steps it makes is an argument
        indices, _, *others = piece
        self._train_piece(kind, schedule, indices, self._put(np.int32(0)), *others)

    def _train_piece(self, kind: Kind, schedule: dict[str, tf.Tensor], *piece: Any) -> tf.Tensor:
        indices, steps, inputs, *images = piece
        return self._program(kind).epoch(indices, steps, inputs, schedule, *images)

    def _predict_batch(self, number: int, images: tf.Tensor) -> tf.Tensor:
        return self._probabilities(number, images)

    def _evaluate_batch(self, images: tf.Tensor, labels: tf.Tensor) -> list[dict[str, tf.Tensor]]:
        return list(self._test(images, labels))

    # What is traced

    def _train_steps(
        self,
        train_step: Any,
        indices: tf.Tensor,
        steps: tf.Tensor,
        inputs: dict[str, tf.Tensor],
        schedule: dict[str, tf.Tensor],
    ) -> tf.Tensor:
        sums = tf.TensorArray(tf.float32, size=_length(indices))
        for step in tf.range(steps):
            images = tf.gather(self._images, indices[step])
            sums = sums.write(step, train_step(indices[step], _at(inputs, step), schedule, images))
        return sums.stack()

    def _train_images(
        self,
        train_step: Any,
        indices: tf.Tensor,
        steps: tf.Tensor,
        inputs: dict[str, tf.Tensor],
        schedule: dict[str, tf.Tensor],
        images: tf.Tensor,
    ) -> tf.Tensor:
        sums = tf.TensorArray(tf.float32, size=_length(indices))
        for step in tf.range(steps):
            sums = sums.write(step, train_step(indices[step], _at(inputs, step), schedule, images[step]))
        return sums.stack()

    def _train_step(
        self,
        index: tf.Tensor,
        inputs: dict[str, tf.Tensor],
        schedule: dict[str, tf.Tensor],
        images: tf.Tensor,
        kind: Kind,
    ) -> tf.Tensor:
        """One mini-batch; its sums as one vector, in the order of `_sum_keys`."""
        # Gather
        labels = {name: tf.gather(values, index) for name, values in self._labels.items()}
        batch = self._batch(labels["given"], images, inputs, kind)
        rows = {key: tf.cast(self._rows(key, index), self._memory_dtypes[key]) for key in self._memory}
        learned = {name: rows[name] for name in self._learned}
        # Forward, and the method's choice and losses
        networks = tuple(
            TracedNetwork(network, *self.averages[number : number + 1]) for number, network in enumerate(self.networks)
        )
        with tf.GradientTape(persistent=sum(kind.learns) > 1 or bool(learned)) as tape:
            tape.watch(list(learned.values()))
            step, new_rows, sums = run_method(self.method, batch, labels.get("clean"), networks, rows, schedule)
            whole_loss = sum(loss for loss in step.losses if loss is not None) if learned else None
        # Backward: each network by its own loss
        for network, optimizer, loss in zip(self.networks, self.optimizers, step.losses, strict=True):
            if loss is None:
                continue
            if LEARNING_RATE in inputs:
                optimizer.learning_rate.assign(inputs[LEARNING_RATE])
            with self._momentum(optimizer, schedule):
                self._update(network, optimizer, tape.gradient(loss, _values(network)))
        for name, values in learned.items():
            gradient = tape.gradient(whole_loss, values, unconnected_gradients=tf.UnconnectedGradients.ZERO)
            declared = self._learned[name]
            new_rows[name] = descended(values, gradient, schedule[declared.learning_rate], declared)
        for average, network, learning in zip(self.averages, self.networks, kind.learns, strict=False):
            for kept, variable in zip(average.trainable_variables, network.trainable_variables, strict=True):
                if learning:
                    kept.assign(averaged(kept.value, variable.value, self._average_decay(schedule)))
        # Write back
        for key, values in new_rows.items():
            self._write(key, index, values)
        self._sum_keys[kind] = tuple(sums)
        return tf.stack(list(sums.values()))

    def _rows(self, key: str, index: tf.Tensor) -> tf.Tensor:
        """A mini-batch's rows of a memory, or all of what samples share."""
        variable = self._memory[key]
        return variable.value() if self.is_shared(key) else tf.gather(variable, index)

    def _write(self, key: str, index: tf.Tensor, values: tf.Tensor) -> None:
        variable = self._memory[key]
        if self.is_shared(key):
            variable.assign(values)
        else:
            variable.scatter_update(tf.IndexedSlices(tf.cast(values, variable.dtype), index))

    def _update(self, network: Network, optimizer: Optimizer, gradients: list[tf.Tensor]) -> None:
        """Add the gradient of the weight penalty over all trainable variables, and take the optimizer's step."""
        penalised = [
            gradient + self.weight_penalty * variable
            for gradient, variable in zip(gradients, _values(network), strict=True)
        ]
        if self.weight_shrinkage:
            kept = 1.0 - self.weight_shrinkage * optimizer.learning_rate.value
            for variable in network.trainable_variables:
                variable.assign(kept * variable.value)
        optimizer.apply(penalised, network.trainable_variables)

    def _test_batch(self, images: tf.Tensor, labels: tf.Tensor) -> list[dict[str, tf.Tensor]]:
        inputs = standardise(images)
        logits = [tf.cast(network(inputs, training=False), tf.float32) for network in self.networks]
        return evaluations(self.method, labels, logits, self.data.num_classes)

    def _classify(self, number: int, images: tf.Tensor) -> tf.Tensor:
        return tf.nn.softmax(TracedNetwork(self.networks[number]).evaluate(standardise(images)))


class TracedNetwork:
    """A network in a step. The contract is `trainer.methods.base.Network`."""

    def __init__(self, network: Network, average: Network | None = None) -> None:
        self._network, self._average = network, average

    def __call__(self, images: tf.Tensor, samples: tf.Tensor | None = None) -> tf.Tensor:
        with nullcontext() if samples is None else batch_norm_over(samples):
            return tf.cast(self._network(images, training=True), tf.float32)

    def score(self, images: tf.Tensor) -> tf.Tensor:
        before = [(variable, tf.identity(variable.value)) for variable in moving_statistics(self._network)]
        logits = self.frozen(images)
        for variable, value in before:
            variable.assign(value)
        return logits

    def frozen(self, images: tf.Tensor) -> tf.Tensor:
        return tf.stop_gradient(self(images))

    def evaluate(self, images: tf.Tensor) -> tf.Tensor:
        return tf.stop_gradient(tf.cast(self._network(images, training=False), tf.float32))

    def averaged(self, images: tf.Tensor) -> tf.Tensor:
        assert self._average is not None, "the method declares no average_decay"
        return tf.stop_gradient(tf.cast(self._average(images, training=True), tf.float32))


def _at(inputs: dict[str, tf.Tensor], step: tf.Tensor) -> dict[str, tf.Tensor]:
    return {name: values[step] for name, values in inputs.items()}


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
