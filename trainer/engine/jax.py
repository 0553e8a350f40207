"""JAX: one jitted step at a time on a CPU; on a GPU one `lax.scan` over many, under `jit`.

(XLA on a CPU compiles convolutions inside a loop badly: a scan runs them several times slower there.)

Keras' networks and optimizers are templates. The values live in a dictionary of arrays that is given away (donated) to
every step and replaced by what the step returns, so that the device updates them in place.
docs/decisions/0015-jax-engine.md
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.errors import JaxRuntimeError

from datatools.processors import usable_processors
from trainer.config import RunConfig, gpu_number
from trainer.data import TrainingData
from trainer.engine import quiet_stderr
from trainer.engine.base import (
    EngineParts,
    check_state,
    evaluation_totals,
    named_variables,
    named_weights,
    out_of_memory,
)
from trainer.engine.compilation_cache import keep_compiled
from trainer.engine.step import (
    dropout_seeds,
    evaluation_sums,
    run_method,
    standardise,
    update_loss,
    with_update_losses,
)
from trainer.errors import TrainerError
from trainer.methods.base import Method, Tensor, Update
from trainer.networks.layers import batch_norm_over

Values = dict[str, Any]
"""jax.Array by the names of `named_variables`."""
State = tuple[Values, Values]
"""All that a step changes: the networks' and optimizers' values, and the per-sample memory."""


class JaxEngine(EngineParts):
    """Trains on a GPU or on the CPU, as `config.device` asks. The contract is `trainer.engine.Engine`."""

    def __init__(self, config: RunConfig, method: Method, data: TrainingData, scan: bool | None = None) -> None:
        """`scan`: all steps of a call in one program; None for what suits the device."""
        super().__init__(config, method, data)
        self._device = _choose_device(config.device)
        self.on_cpu = self._device.platform == "cpu"
        self.device = f"CPU, {usable_processors()} cores" if self.on_cpu else f"GPU, {self._device.device_kind}"
        self.compiles = True
        self._kept = keep_compiled()
        # Streamed images come a block at a time, and the last block may be a short one: a step at a time has one shape
        self._scan = (not self.on_cpu and not self.streams) if scan is None else scan
        with out_of_memory(JaxRuntimeError):
            self.networks = [self.build(0, number) for number in range(method.num_networks)]
            self.optimizers = [self.make_optimizer(network) for network in self.networks]
            named = list(named_variables(self.networks, self.optimizers))
            self._names = {id(variable): name for name, variable in named}
            values = {name: self._put(variable) for name, variable in named}
            self._state: State = (values, self._put_all(self.start_memory()))
            self._images = None if self.streams else self._put(data.train_images)
            self._labels = {"given": self._put(data.train_labels)}
            if data.clean_labels is not None:
                self._labels["clean"] = self._put(data.clean_labels)
            self._held_out = (
                {} if self.streams else {split: list(self._held_out_batches(split)) for split in data.held_out}
            )
        pairs = zip(self.networks, self.optimizers, strict=True)
        self._learners = [_Learner.of(network, optimizer, self._names) for network, optimizer in pairs]
        self._sum_keys: tuple[str, ...] = ()
        options = {"xla_gpu_deterministic_ops": True} if config.deterministic and not self.on_cpu else None
        self._gather = jax.jit(_taken)
        advance = self._train_steps if self._scan else self._train_one
        self._advance = jax.jit(advance, donate_argnums=0, compiler_options=options)
        self._test = jax.jit(self._test_batch, compiler_options=options)
        self._compiled: dict[tuple[int, ...], Any] = {}
        """Programs by the shape of the rows they train on."""

    def _put(self, values: Any) -> Any:
        """On the device, and never the host's own memory, which a donation would overwrite."""
        return jax.device_put(np.asarray(values), self._device, may_alias=False)

    def _put_all(self, values: dict[str, np.ndarray]) -> Values:
        return {key: self._put(value) for key, value in values.items()}

    def _held_out_batches(self, split: str) -> Iterator[tuple[Any, Any]]:
        for images, labels in self.held_out_batches(split):
            yield self._put(images), self._put(labels)

    @property
    def notices(self) -> tuple[str, ...]:
        return (*super().notices, *self._kept)

    @contextmanager
    def _arithmetic(self) -> Iterator[None]:
        """How a step is to be compiled: products in the precision that was asked for, and dropout's plain layout.

        The partitionable layout of dropout masks is for several devices, costs a third of a DenseNet's step on a CPU,
        and four times the compilation.
        """
        products = "tensorfloat32" if self.config.precision == "tf32" else "float32"
        with jax.threefry_partitionable(False), jax.default_matmul_precision(products):
            yield

    @property
    def memory(self) -> dict[str, np.ndarray]:
        return {key: np.array(values) for key, values in self._state[1].items()}

    @memory.setter
    def memory(self, values: dict[str, np.ndarray]) -> None:
        self._state = self._state[0], self._put_all({key: values[key] for key in self._state[1]})

    def parameters(self) -> int:
        return sum(int(np.prod(v.shape)) for v in self.networks[0].trainable_variables)

    def reset(self, run: int) -> None:
        # New values under the old names: what was compiled stays valid
        for number, (network, optimizer) in enumerate(zip(self.networks, self.optimizers, strict=True)):
            fresh = self.build(run, number)
            for variable, value in zip(network.variables, fresh.variables, strict=True):
                self._set(variable, value)
            for variable in optimizer.variables:
                self._set(variable, np.zeros(variable.shape))

    def _set(self, variable: Any, values: Any) -> None:
        """Give the Keras variable's place in the state other values, in the dtype that it has."""
        name = self._names[id(variable)]
        self._state[0][name] = self._put(np.asarray(values).astype(self._state[0][name].dtype))

    def state(self) -> dict[str, np.ndarray]:
        variables = named_variables(self.networks, self.optimizers)
        return {name: np.array(self._state[0][name]) for name, _ in variables}

    def load_state(self, values: dict[str, np.ndarray]) -> None:
        variables = dict(named_variables(self.networks, self.optimizers))
        check_state(set(variables), values)
        for name, variable in variables.items():
            self._set(variable, values[name])

    def weights(self) -> dict[str, np.ndarray]:
        variables = named_weights(self.networks)
        return {name: np.array(self._state[0][self._names[id(variable)]]) for name, variable in variables}

    def begin_epoch(self, run: int, epoch: int, learning_rate: float) -> None:
        for optimizer in self.optimizers:
            self._set(optimizer.learning_rate, learning_rate)
            if (factor := self.config.velocity_factor_at(epoch)) != 1:
                for velocity in optimizer.momentums:
                    self._set(velocity, factor * np.asarray(self._state[0][self._names[id(velocity)]]))
        generators = [seed for network in self.networks for seed in dropout_seeds(network)]
        for generator, value in zip(generators, self.epoch_seeds(self.networks, run, epoch), strict=True):
            self._set(generator.state, value)

    def prepare(self, indices: np.ndarray, schedule: dict[str, float]) -> None:
        with out_of_memory(JaxRuntimeError), self._arithmetic():
            piece = next(self._pieces(np.asarray(indices, np.int32)))
            lowered = self._advance.lower(self._state, self._labels, self._scalars(schedule), *piece)
            self._compiled[piece[0].shape] = lowered.compile()

    def _scalars(self, schedule: dict[str, float]) -> Values:
        return {key: self._put(np.float32(value)) for key, value in schedule.items()}

    def train(self, indices: np.ndarray, schedule: dict[str, float]) -> dict[str, np.ndarray]:
        with out_of_memory(JaxRuntimeError), self._arithmetic():
            scalars = self._scalars(schedule)
            parts: list[Any] = []
            for piece in self._pieces(np.asarray(indices, np.int32)):
                advance = self._compiled.get(piece[0].shape, self._advance)
                self._state, sums = advance(self._state, self._labels, scalars, *piece)
                self._add(parts, sums)
            found = np.concatenate(jax.device_get(parts))
        return dict(zip(self._sum_keys, found.T, strict=True))

    def evaluate(self, split: str = "test") -> list[dict[str, Any]]:
        with out_of_memory(JaxRuntimeError), self._arithmetic():
            batches: list[Any] = []
            for images, labels in self._held_out.get(split) or self._held_out_batches(split):
                self._add(batches, self._test(self._state[0], images, labels))
            batches = jax.device_get(batches)
        return [evaluation_totals([batch[number] for batch in batches]) for number in range(len(self.networks))]

    def _add(self, results: list[Any], result: Any) -> None:
        """Note a result that the device still works on.

        Where images stream, wait for the one before: the host would else queue all images on the device, which is what
        the budget is to prevent.
        """
        if self.streams and results:
            jax.block_until_ready(results[-1])
        results.append(result)

    def _pieces(self, indices: np.ndarray) -> Iterator[tuple[Any, ...]]:
        """What goes to the device at a time: the arguments of `_train_steps` or `_train_one` after the schedule."""
        if not self.streams:
            for rows in [indices] if self._scan else np.split(indices, len(indices)):
                own = self._put(rows)
                yield (own, own, self._images) if self._scan else (own, self._gather(self._images, own))
            return
        for block, images in self.blocks(indices):
            if self._scan:
                places = np.arange(block.size, dtype=np.int32).reshape(block.shape)
                yield self._put(block), self._put(places), self._put(images.reshape(-1, *self.data.image_shape))
            else:
                for number in range(len(block)):
                    yield self._put(block[number : number + 1]), self._put(images[number : number + 1])

    def _train_steps(
        self, state: State, labels: Values, schedule: Values, rows: Tensor, places: Tensor, images: Tensor
    ) -> tuple[State, Tensor]:
        """Mini-batches of (s, B) sample rows, whose images are at (s, B) places of `images`.

        Returns:
            The state after s steps, and (s, number of sums).
        """

        def step(state: State, here: tuple[Tensor, Tensor]) -> tuple[State, Tensor]:
            row, place = here
            # Kept apart from what is computed of them, which is then the same wherever they come from
            own = jax.lax.optimization_barrier(_taken(images, place))
            return self._train_step(state, labels, schedule, row, own)

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
        values, memory = state
        inputs = standardise(images)
        given, clean = _taken(labels["given"], row), labels.get("clean")
        clean = None if clean is None else _taken(clean, row)
        rows = {key: _taken(kept, row) for key, kept in memory.items()}
        passes = [learner.forward(values, inputs) for learner in self._learners]

        def losses_of(logits: tuple[Tensor, ...]) -> Any:
            step, new_rows, sums = run_method(self.method, given, clean, logits, rows, schedule)
            return step.losses, (step.updates, new_rows, sums)

        logits = tuple(logits for logits, _, _ in passes)
        losses, by_logits, (updates, rows, sums) = jax.vjp(losses_of, logits, has_aux=True)
        if self.method.second_pass:
            passes = [
                learner.second_forward(values | learner.seeds_of(fixed), inputs, update)
                for learner, (_, _, fixed), update in zip(self._learners, passes, updates, strict=True)
            ]
            logits = tuple(logits for logits, _, _ in passes)
            losses, by_logits = jax.vjp(lambda logits: tuple(map(update_loss, updates, logits)), logits)
            sums = with_update_losses(sums, losses)
        values = dict(values)
        for number, (learner, (_, by_weights, fixed)) in enumerate(zip(self._learners, passes, strict=True)):
            own = tuple(jnp.full_like(loss, float(other == number)) for other, loss in enumerate(losses))
            (of_logits,) = by_logits(own)
            (gradients,) = by_weights(of_logits[number])
            values |= fixed | learner.updated(values, gradients, self.config.weight_decay)
        memory = {
            # No row stands twice in a mini-batch, so that their order does not matter
            key: kept.at[row].set(rows[key].astype(kept.dtype), mode="promise_in_bounds", unique_indices=True)
            for key, kept in memory.items()
        }
        self._sum_keys = tuple(sums)
        return (values, memory), jnp.stack(list(sums.values()))

    def _test_batch(self, values: Values, images: Tensor, labels: Tensor) -> list[dict[str, Tensor]]:
        inputs = standardise(images)
        return [
            evaluation_sums(labels, learner.classify(values, inputs), self.data.num_classes)
            for learner in self._learners
        ]


@dataclass(frozen=True)
class _Learner:
    """A network and its optimizer as pure functions, and the names of their values.

    Attributes:
        trainable, fixed: names of the network's trainable variables, and of its batch-norm statistics and dropout
            seeds. seeds: of the last alone. slots: of the optimizer's variables.
    """

    network: Any
    optimizer: Any
    trainable: tuple[str, ...]
    fixed: tuple[str, ...]
    seeds: tuple[str, ...]
    slots: tuple[str, ...]

    @classmethod
    def of(cls, network: Any, optimizer: Any, names: dict[int, str]) -> _Learner:
        """`names`: of variables by their `id`."""
        seeds = [seed.state for seed in dropout_seeds(network)]
        lists = (network.trainable_variables, network.non_trainable_variables, seeds, optimizer.variables)
        return cls(network, optimizer, *(tuple(names[id(variable)] for variable in own) for own in lists))

    def forward(self, values: Values, images: Tensor) -> tuple[Tensor, Callable[[Tensor], Any], Values]:
        """A pass in training mode: (B, K) logits; what takes their gradient back; new statistics and seeds."""
        fixed = [values[name] for name in self.fixed]

        def call(trainable: list[Tensor]) -> tuple[Tensor, Values]:
            logits, changed = self.network.stateless_call(trainable, fixed, images, training=True)
            return logits, dict(zip(self.fixed, changed, strict=True))

        return jax.vjp(call, [values[name] for name in self.trainable], has_aux=True)

    def second_forward(
        self, values: Values, images: Tensor, update: Update
    ) -> tuple[Tensor, Callable[[Tensor], Any], Values]:
        """The same of a pass in which batch norm sees the samples of the update alone."""
        with batch_norm_over(update.samples):
            return self.forward(values, images)

    def seeds_of(self, fixed: Values) -> Values:
        """The dropout seeds of what a pass has changed."""
        return {name: fixed[name] for name in self.seeds}

    def classify(self, values: Values, images: Tensor) -> Tensor:
        """(B, K) logits."""
        trainable, fixed = ([values[name] for name in own] for own in (self.trainable, self.fixed))
        return self.network.stateless_call(trainable, fixed, images, training=False)[0]

    def updated(self, values: Values, gradients: list[Tensor], weight_decay: float) -> Values:
        """Add the gradient of ½ weight decay ‖v‖² over all trainable variables v, and take the optimizer's step."""
        trainable = [values[name] for name in self.trainable]
        decayed = [own + weight_decay * value for own, value in zip(gradients, trainable, strict=True)]
        slots = [values[name] for name in self.slots]
        trainable, slots = self.optimizer.stateless_apply(slots, decayed, trainable)
        return dict(zip((*self.trainable, *self.slots), (*trainable, *slots), strict=True))


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
    found = _devices("cpu") if number is None else gpus[number : number + 1]
    if not found:
        raise TrainerError(f"--device {device}: JAX finds neither a GPU nor the CPU; unset JAX_PLATFORMS")
    jax.config.update("jax_default_device", found[0])
    return found[0]


def _devices(platform: str) -> list[Any]:
    """JAX's devices of a platform, without its remarks on those it does not find."""
    with quiet_stderr():
        try:
            return list(jax.devices(platform))
        except RuntimeError:
            return []
