"""JAX: one jitted step at a time on a CPU; on a GPU one `lax.scan` over many, under `jit`.

(XLA on a CPU compiles convolutions inside a loop badly: a scan runs them several times slower there.)

Keras' networks and optimizers are templates. The values live in a dictionary of arrays that is given away (donated) to
every step and replaced by what the step returns, so that the device updates them in place.
docs/decisions/0015-jax-engine.md
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.errors import JaxRuntimeError

from datatools.processors import usable_processors
from trainer.config import RunConfig, gpu_number
from trainer.data import TrainingData
from trainer.engine import quiet_stderr
from trainer.engine.base import BaseEngine, out_of_memory
from trainer.engine.compilation_cache import keep_compiled
from trainer.engine.jax_learner import Learner, Values
from trainer.engine.step import evaluation_sums, run_method, standardise, update_loss, with_update_losses
from trainer.engine.variables import Variable, named_variables
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
        # Streamed images come a block at a time, and the last block may be a short one: a step at a time has one shape
        self._scan = (not self.on_cpu and not self.streams) if scan is None else scan
        # The values of Keras' variables, by name, and the memory
        named = list(named_variables(self.networks, self.optimizers))
        self._names = {id(variable): name for name, variable in named}
        with out_of_memory(*self.memory_errors):
            values = {name: self._put(variable) for name, variable in named}
            self._state: State = (values, self._put_all(self.start_memory()))
        pairs = zip(self.networks, self.optimizers, strict=True)
        self._learners = [Learner.of(network, optimizer, self._names) for network, optimizer in pairs]
        # The programs
        options = {"xla_gpu_deterministic_ops": True} if config.deterministic and not self.on_cpu else None
        self._gather = jax.jit(_taken)
        advance = self._train_steps if self._scan else self._train_one
        self._advance = jax.jit(advance, donate_argnums=0, compiler_options=options)
        self._test = jax.jit(self._test_batch, compiler_options=options)
        self._compiled: dict[tuple[int, ...], Any] = {}
        """Programs by the shape of the rows they train on."""

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

    def _pieces(self, indices: np.ndarray) -> Iterator[tuple[Tensor, ...]]:
        """The arguments of `_train_steps` or `_train_one` after the schedule."""
        if not self.streams:
            for part in [indices] if self._scan else np.split(indices, len(indices)):
                rows = self._put(part)
                yield (rows, rows, self._images) if self._scan else (rows, self._gather(self._images, rows))
            return
        for block, images in self.blocks(indices):
            if self._scan:
                places = np.arange(block.size, dtype=np.int32).reshape(block.shape)
                yield self._put(block), self._put(places), self._put(images.reshape(-1, *self.data.image_shape))
            else:
                for number in range(len(block)):
                    yield self._put(block[number : number + 1]), self._put(images[number : number + 1])

    def _compile_piece(self, schedule: Values, *piece: Tensor) -> None:
        lowered = self._advance.lower(self._state, self._labels, schedule, *piece)
        self._compiled[piece[0].shape] = lowered.compile()

    def _train_piece(self, schedule: Values, *piece: Tensor) -> Tensor:
        advance = self._compiled.get(piece[0].shape, self._advance)
        self._state, sums = advance(self._state, self._labels, schedule, *piece)
        return sums

    def _evaluate_batch(self, images: Tensor, labels: Tensor) -> list[dict[str, Tensor]]:
        return list(self._test(self._state[0], images, labels))

    # What is compiled

    def _train_steps(
        self, state: State, labels: Values, schedule: Values, rows: Tensor, places: Tensor, images: Tensor
    ) -> tuple[State, Tensor]:
        """Mini-batches of (s, B) sample rows, whose images are at (s, B) places of `images`.

        Returns:
            The state after s steps, and (s, number of sums).
        """

        def step(state: State, mini_batch: tuple[Tensor, Tensor]) -> tuple[State, Tensor]:
            row, place = mini_batch
            # Kept apart from what is computed of them, which is then the same wherever they come from
            gathered = jax.lax.optimization_barrier(_taken(images, place))
            return self._train_step(state, labels, schedule, row, gathered)

        return jax.lax.scan(step, state, (rows, places))

    def _train_one(
        self, state: State, labels: Values, schedule: Values, rows: Tensor, images: Tensor
    ) -> tuple[State, Tensor]:
        """The same for s = 1, and (1, B, H, W, C) images: streamed or gathered, they go through the same program."""
        state, sums = self._train_step(state, labels, schedule, rows[0], images[0])
        return state, sums[None]

    def _train_step(
        self, state: State, labels: Values, schedule: Values, row: Tensor, images: Tensor
    ) -> tuple[State, Tensor]:
        """One mini-batch: (B,) rows, (B, H, W, C) images; its sums as one vector, in the order of `_sum_keys`.

        Each network gets the gradient of its own loss through its own logits, whatever the losses share: first the
        losses' gradients by all logits, (B, K) each and cheap, then of loss k the part by logits k back through
        network k. So every network runs forward once and backward once, and no gradient can reach another network.
        """
        # Gather
        values, memory = state
        inputs = standardise(images)
        labels = {name: _taken(whole, row) for name, whole in labels.items()}
        rows = {key: _taken(whole, row) for key, whole in memory.items()}
        # Forward
        passes = [learner.forward(values, inputs) for learner in self._learners]
        logits = tuple(logits for logits, _, _ in passes)

        # The method's choice and losses
        def losses_of(logits: tuple[Tensor, ...]) -> tuple[Any, tuple[Any, Values, Values]]:
            step, new_rows, sums = run_method(self.method, labels["given"], labels.get("clean"), logits, rows, schedule)
            return step.losses, (step.updates, new_rows, sums)

        losses, by_logits, (updates, rows, sums) = jax.vjp(losses_of, logits, has_aux=True)
        if self.method.second_pass:
            # Forward once more, from the statistics before the first pass and the seeds after it
            passes = [
                learner.second_forward(values | learner.seeds_of(fixed), inputs, update)
                for learner, (_, _, fixed), update in zip(self._learners, passes, updates, strict=True)
            ]
            logits = tuple(logits for logits, _, _ in passes)
            losses, by_logits = jax.vjp(lambda logits: tuple(map(update_loss, updates, logits)), logits)
            sums = with_update_losses(sums, losses)
        # Backward: each network by its own loss
        values = dict(values)
        for number, (learner, (_, by_weights, fixed)) in enumerate(zip(self._learners, passes, strict=True)):
            this_loss = tuple(jnp.full_like(loss, float(other == number)) for other, loss in enumerate(losses))
            (of_logits,) = by_logits(this_loss)
            (gradients,) = by_weights(of_logits[number])
            values |= fixed | learner.updated(values, gradients, self.config.weight_decay)
        # Write back; no row stands twice in a mini-batch, so that their order does not matter
        memory = {
            key: whole.at[row].set(rows[key].astype(whole.dtype), mode="promise_in_bounds", unique_indices=True)
            for key, whole in memory.items()
        }
        self._sum_keys = tuple(sums)
        return (values, memory), jnp.stack(list(sums.values()))

    def _test_batch(self, values: Values, images: Tensor, labels: Tensor) -> list[dict[str, Tensor]]:
        inputs = standardise(images)
        return [
            evaluation_sums(labels, learner.classify(values, inputs), self.data.num_classes)
            for learner in self._learners
        ]


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
