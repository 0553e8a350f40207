"""JAX: one jitted step at a time on a CPU; on a GPU one `lax.scan` over many, under `jit`.

(XLA on a CPU compiles convolutions inside a loop badly: a scan runs them several times slower there.)

Keras' networks and optimizers are templates. The values live in a dictionary of arrays that is given away (donated) to
every step and replaced by what the step returns, so that the device updates them in place.
docs/decisions/0015-jax-engine.md
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.errors import JaxRuntimeError

from datatools.processors import usable_processors
from trainer.config import RunConfig, gpu_number
from trainer.data import TrainingData
from trainer.engine import quiet_stderr
from trainer.engine.base import LEARNING_RATE, BaseEngine, Kind, out_of_memory
from trainer.engine.compilation_cache import keep_compiled
from trainer.engine.jax_learner import Learner, TracedNetwork, Values
from trainer.engine.step import averaged, descended, evaluations, run_method, standardise
from trainer.engine.variables import Variable
from trainer.errors import TrainerError
from trainer.methods.base import Method, Tensor

State = tuple[Values, Values]
"""All that a step changes: the networks' and optimizers' values, and the per-sample memory."""


class JaxEngine(BaseEngine):
    """Trains on a GPU or on the CPU, as `config.device` asks. The contract is `trainer.engine.Engine`."""

    memory_errors: ClassVar = (JaxRuntimeError,)
    compiles = True

    def __init__(self, config: RunConfig, method: Method, data: TrainingData, scan: bool | None = None) -> None:
        """`scan`: all steps of a call in one program; None for what suits the device."""
        self._device = _choose_device(config.device)
        self._cache_notices = keep_compiled()
        super().__init__(config, method, data, on_cpu=self._device.platform == "cpu")
        self.device = f"CPU, {usable_processors()} cores" if self.on_cpu else f"GPU, {self._device.device_kind}"
        # Streamed images come a block at a time, and the last block may be a short one, as may an epoch be of a method
        # whose epochs differ: a step at a time has one shape
        one_length = not self.streams and not self._epochs_differ
        self._scan = (not self.on_cpu and one_length) if scan is None else scan
        # The values of Keras' variables, by name, and the memory
        named = list(self._named_variables())
        self._names = {id(variable): name for name, variable in named}
        with out_of_memory(*self.memory_errors):
            values = {name: self._put(variable) for name, variable in named}
            self._state: State = (values, self._put_all(self.start_memory()))
        pairs = zip(self.networks, self.optimizers, strict=True)
        self._learners = [Learner.of(network, optimizer, self._names) for network, optimizer in pairs]
        self._averages = [Learner.of(network, None, self._names) for network in self.averages]
        # The programs
        self._options = {"xla_gpu_deterministic_ops": True} if config.deterministic and not self.on_cpu else None
        self._gather = jax.jit(_taken)
        self._test = jax.jit(self._test_batch, compiler_options=self._options)
        self._probabilities = jax.jit(self._classify, static_argnums=0, compiler_options=self._options)
        self._programs: dict[Kind, Any] = {}
        self._compiled: dict[tuple[Any, ...], Any] = {}
        """The same compiled, by kind and the shape of the rows."""

    @property
    def notices(self) -> tuple[str, ...]:
        return (*super().notices, *self._cache_notices)

    # The device

    @property
    def memory(self) -> dict[str, np.ndarray]:
        return {key: np.array(values) for key, values in self._state[1].items()}

    @memory.setter
    def memory(self, values: dict[str, np.ndarray]) -> None:
        self._state = self._state[0], self._put_all({key: values[key] for key in self._state[1]})

    def _put(self, values: Any) -> Tensor:
        """On the device, and never the host's own memory, which a donation would overwrite."""
        return jax.device_put(np.asarray(values), self._device, may_alias=False)

    def _put_all(self, values: dict[str, np.ndarray]) -> Values:
        return {key: self._put(value) for key, value in values.items()}

    def _fetch(self, results: list[Any]) -> list[Any]:
        return list(jax.device_get(results))

    def _get(self, variable: Variable) -> np.ndarray:
        return np.array(self._state[0][self._names[id(variable)]])

    def _set(self, variable: Variable, values: Any) -> None:
        name = self._names[id(variable)]
        self._state[0][name] = self._put(np.asarray(values).astype(self._state[0][name].dtype))

    def _collect(self, results: list[Any], result: Any) -> None:
        """Where images stream, wait for the result before.

        The host would else queue all images on the device, which is what the budget is to prevent.
        """
        if self.streams and results:
            jax.block_until_ready(results[-1])
        super()._collect(results, result)

    # Calls of what is compiled

    @contextmanager
    def _arithmetic(self) -> Iterator[None]:
        """How a step is to be compiled: products in the precision that was asked for, and dropout's plain layout.

        The partitionable layout of dropout masks is for several devices, costs a third of a DenseNet's step on a CPU,
        and four times the compilation.
        """
        products = "tensorfloat32" if self.config.precision == "tf32" else "float32"
        with jax.threefry_partitionable(False), jax.default_matmul_precision(products):
            yield

    def _program(self, kind: Kind) -> Any:
        """What trains on a piece."""
        if kind not in self._programs:
            advance = partial(self._train_steps if self._scan else self._train_one, kind)
            self._programs[kind] = jax.jit(advance, donate_argnums=0, compiler_options=self._options)
        return self._programs[kind]

    def _pieces(self, indices: np.ndarray, inputs: dict[str, np.ndarray]) -> Iterator[tuple[Any, ...]]:
        """The arguments of `_train_steps` or `_train_one` after the schedule."""
        if not self.streams:
            for start, part in [(0, indices)] if self._scan else enumerate(np.split(indices, len(indices))):
                rows, part_inputs = self._put(part), self._put_all(_part(inputs, start, len(part)))
                yield (
                    (part_inputs, rows, rows, self._images)
                    if self._scan
                    else (
                        part_inputs,
                        rows,
                        self._gather(self._images, rows),
                    )
                )
            return
        start = 0
        for block, images in self.blocks(indices):
            if self._scan:
                places = np.arange(block.size, dtype=np.int32).reshape(block.shape)
                part_inputs = self._put_all(_part(inputs, start, len(block)))
                yield (
                    part_inputs,
                    self._put(block),
                    self._put(places),
                    self._put(images.reshape(-1, *self.data.image_shape)),
                )
            else:
                for number in range(len(block)):
                    part_inputs = self._put_all(_part(inputs, start + number, 1))
                    yield part_inputs, self._put(block[number : number + 1]), self._put(images[number : number + 1])
            start += len(block)

    def _compile_piece(self, kind: Kind, schedule: Values, *piece: Any) -> None:
        lowered = self._program(kind).lower(self._state, self._labels, schedule, *piece)
        self._compiled[kind, piece[1].shape] = lowered.compile()

    def _train_piece(self, kind: Kind, schedule: Values, *piece: Any) -> Tensor:
        advance = self._compiled.get((kind, piece[1].shape)) or self._program(kind)
        self._state, sums = advance(self._state, self._labels, schedule, *piece)
        return sums

    def _predict_batch(self, number: int, images: Tensor) -> Tensor:
        return self._probabilities(number, self._state[0], images)

    def _evaluate_batch(self, images: Tensor, labels: Tensor) -> list[dict[str, Tensor]]:
        return list(self._test(self._state[0], images, labels))

    # What is compiled

    def _train_steps(
        self,
        kind: Kind,
        state: State,
        labels: Values,
        schedule: Values,
        inputs: Values,
        rows: Tensor,
        places: Tensor,
        images: Tensor,
    ) -> tuple[State, Tensor]:
        """Mini-batches of (s, B) sample rows, whose images are at (s, B) places of `images`; (s, …) inputs.

        Returns:
            The state after s steps, and (s, number of sums).
        """

        def step(state: State, mini_batch: tuple[Values, Tensor, Tensor]) -> tuple[State, Tensor]:
            part_inputs, row, place = mini_batch
            # Kept apart from what is computed of them, which is then the same wherever they come from
            gathered = jax.lax.optimization_barrier(_taken(images, place))
            return self._train_step(kind, state, labels, schedule, part_inputs, row, gathered)

        return jax.lax.scan(step, state, (inputs, rows, places))

    def _train_one(
        self,
        kind: Kind,
        state: State,
        labels: Values,
        schedule: Values,
        inputs: Values,
        rows: Tensor,
        images: Tensor,
    ) -> tuple[State, Tensor]:
        """The same for s = 1, and (1, B, H, W, C) images: streamed or gathered, they go through the same program."""
        part_inputs = {name: values[0] for name, values in inputs.items()}
        state, sums = self._train_step(kind, state, labels, schedule, part_inputs, rows[0], images[0])
        return state, sums[None]

    def _train_step(
        self,
        kind: Kind,
        state: State,
        labels: Values,
        schedule: Values,
        inputs: Values,
        row: Tensor,
        images: Tensor,
    ) -> tuple[State, Tensor]:
        """One mini-batch: (B,) rows, (B, H, W, C) images; its sums as one vector, in the order of `_sum_keys`.

        Each network gets the gradient of its own loss: the losses are taken back one by one, and of each only the part
        that belongs to its network is used, so that the compiler leaves out the rest.
        """
        # Gather
        values, memory = state
        labels = {name: _taken(whole, row) for name, whole in labels.items()}
        batch = self._batch(labels["given"], images, inputs, kind)
        rows = {key: whole if self.is_shared(key) else _taken(whole, row) for key, whole in memory.items()}

        # Forward, and the method's choice and losses
        def losses_of(weights: list[list[Tensor]], learned: Values) -> tuple[Any, tuple[Values, Values, Values]]:
            averages: list[Any] = [*self._averages] or [None] * len(self._learners)
            networks = tuple(map(TracedNetwork, self._learners, weights, [values] * len(weights), averages))
            step, new_rows, sums = run_method(
                self.method, batch, labels.get("clean"), networks, rows | learned, schedule
            )
            fixed = {name: value for network in networks for name, value in network.fixed.items()}
            losses = tuple(loss for loss in step.losses if loss is not None)
            return losses, (new_rows, sums, fixed)

        weights = [[values[name] for name in learner.trainable] for learner in self._learners]
        learned = {name: rows[name] for name in self._learned}
        losses, backward, (new_rows, sums, fixed) = jax.vjp(losses_of, weights, learned, has_aux=True)
        # Backward: each network by its own loss
        values = {**values, **fixed}
        learning = [number for number, learner in enumerate(self._learners) if kind.learns[number]]
        for place, number in enumerate(learning):
            this_loss = tuple(jnp.full_like(loss, float(other == place)) for other, loss in enumerate(losses))
            gradients = backward(this_loss)[0][number]
            optimizer = self.optimizers[number]
            if LEARNING_RATE in inputs:
                values[self._names[id(optimizer.learning_rate)]] = inputs[LEARNING_RATE]
            rate = values[self._names[id(optimizer.learning_rate)]]
            shrinkage = self.weight_shrinkage * rate if self.weight_shrinkage else None
            with self._momentum(optimizer, schedule):
                values |= self._learners[number].updated(values, gradients, self.weight_penalty, shrinkage)
        if learned:
            _, by_learned = backward(tuple(map(jnp.ones_like, losses)))
            for name, declared in self._learned.items():
                rate = schedule[declared.learning_rate]
                new_rows[name] = descended(learned[name], by_learned[name], rate, declared)
        for number, average in enumerate(self._averages):
            if kind.learns[number]:
                pairs = zip(average.trainable, self._learners[number].trainable, strict=True)
                decay = self._average_decay(schedule)
                values |= {name: averaged(values[name], values[source], decay) for name, source in pairs}
        # Write back; no row stands twice in a mini-batch, so that their order does not matter
        memory = {**memory, **{key: self._written(memory[key], key, row, rows) for key, rows in new_rows.items()}}
        self._sum_keys[kind] = tuple(sums)
        return (values, memory), jnp.stack(list(sums.values()))

    def _written(self, whole: Tensor, key: str, row: Tensor, values: Tensor) -> Tensor:
        """A memory with a mini-batch's rows written back."""
        if self.is_shared(key):
            return values
        return whole.at[row].set(values.astype(whole.dtype), mode="promise_in_bounds", unique_indices=True)

    def _classify(self, number: int, values: Values, images: Tensor) -> Tensor:
        return jax.nn.softmax(self._learners[number].classify(values, standardise(images)))

    def _test_batch(self, values: Values, images: Tensor, labels: Tensor) -> list[dict[str, Tensor]]:
        inputs = standardise(images)
        logits = [learner.classify(values, inputs) for learner in self._learners]
        return evaluations(self.method, labels, logits, self.data.num_classes)


def _part(inputs: dict[str, np.ndarray], start: int, count: int) -> dict[str, np.ndarray]:
    return {name: values[start : start + count] for name, values in inputs.items()}


def _taken(values: Tensor, rows: Tensor) -> Tensor:
    """Rows of `values`; all of them exist, so nothing guards against those that do not."""
    return values.at[rows].get(mode="promise_in_bounds")


def _choose_device(device: str) -> Any:
    """The jax.Device that `device` asks for, made JAX's default.

    Raises:
        TrainerError: no such device.
    """
    if device == "cpu":
        jax.config.update("jax_platforms", "cpu")  # a GPU is not even started: it may be full, or another's
    gpus = [] if device == "cpu" else _devices("gpu")
    number = gpu_number(device, len(gpus))
    wanted = _devices("cpu") if number is None else gpus[number : number + 1]
    if not wanted:
        raise TrainerError(f"--device {device}: JAX finds neither a GPU nor the CPU; unset JAX_PLATFORMS")
    jax.config.update("jax_default_device", wanted[0])
    return wanted[0]


def _devices(platform: str) -> list[Any]:
    """JAX's devices of a platform, without its remarks on those it does not find."""
    with quiet_stderr():
        try:
            return list(jax.devices(platform))
        except RuntimeError:
            return []
