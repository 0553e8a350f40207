"""What the engines do alike: networks and optimizers of Keras, their state, and how images reach the device."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, ClassVar, NamedTuple

import keras
import numpy as np

from datatools.seeding import stream
from trainer import ops
from trainer.augmentation import AUGMENTATIONS, NONE, draw
from trainer.config import RunConfig
from trainer.data import TrainingData
from trainer.engine import EvaluationTotals
from trainer.engine.images import EVALUATION_BATCH, ImageFeed
from trainer.engine.step import engine_memory, standardise
from trainer.engine.variables import (
    Network,
    Optimizer,
    Variable,
    check_state,
    dropout_seeds,
    named_variables,
    named_weights,
)
from trainer.errors import TrainerError
from trainer.methods.base import AVERAGE_DECAY, TRAIN_VIEW, Batch, Method
from trainer.networks import build_network
from trainer.ops import Tensor
from trainer.recipe import warm_up_factors

NUMBERS, LEARNING_RATE = "numbers/", "learning_rate"
"""Among a step's inputs: before the number of the view that an augmentation's numbers are for; the learning rate."""
MOMENTUM = "engine/momentum"
"""Among the scalars of an epoch, where the momentum changes."""
DRAWS = "draws/"
"""Before the names of `Method.draw` among a step's inputs."""


class Kind(NamedTuple):
    """What tells a step's programs apart: which networks learn, and the stage of the pass."""

    learns: tuple[bool, ...]
    stage: str = ""


class BaseEngine(ImageFeed, ABC):
    """What an engine does whatever the framework. The contract is `trainer.engine.Engine`, where methods are described.

    A framework adds how values get to the device and back, how a step takes gradients, and how an epoch loops.
    """

    device: str
    compiles: bool
    memory_errors: ClassVar[tuple[type[BaseException], ...]]
    """What the framework raises where the device has no room."""

    def __init__(self, config: RunConfig, method: Method, data: TrainingData, on_cpu: bool) -> None:
        """Put networks, images and labels on the device, which has been chosen."""
        super().__init__(data, config.device_memory)
        self.config, self.method, self.on_cpu = config, method, on_cpu
        # What stays on the device
        with out_of_memory(*self.memory_errors):
            self.networks = [self.build(0, number) for number in range(method.num_networks)]
            self.optimizers = [self.make_optimizer(network) for network in self.networks]
            averaged = () if method.average_decay is None else range(method.num_networks)
            self.averages = [self.build(0, number) for number in averaged]
            self._labels = {"given": self._put(data.train_labels)}
            if data.clean_labels is not None:
                self._labels["clean"] = self._put(data.clean_labels)
            self._images = None if self.streams else self._put(data.train_images)
            splits = () if self.streams else data.held_out
            self._held_out = {split: list(self._held_out_on_device(split)) for split in splits}
        self._augmentations = tuple(AUGMENTATIONS[name] for name in self._view_names())
        self._learned = method.learned(data.num_samples, data.num_classes)
        self._sum_keys: dict[Kind, tuple[str, ...]] = {}
        """The sums of a step in the order in which it gives them; known once it is traced."""
        self._epoch = (0, 0)
        """Run and epoch under way."""

    def _view_names(self) -> list[str]:
        """The augmentation of each view; that of features, which have no pixels, is none."""
        names = [self.config.augmentation if view == TRAIN_VIEW else view for view in self.method.views]
        return [NONE.name] * len(names) if self.data.has_features else names

    @property
    def notices(self) -> tuple[str, ...]:
        notices = []
        if self.config.precision == "tf32" and self.on_cpu:
            notices.append("a CPU computes in float32 where --precision tf32 is asked for")
        views = {view for view in self.method.views if view not in (TRAIN_VIEW, NONE.name)}
        if self.data.has_features and views:
            names = ", ".join(sorted(views))
            notices.append(f"features have no pixels: where the method wants {names}, it gets the features as they are")
        return tuple(notices)

    @property
    def reproducible(self) -> bool:
        return self.on_cpu or self.config.deterministic

    # What a framework adds

    @property
    @abstractmethod
    def memory(self) -> dict[str, np.ndarray]:
        """See `trainer.engine.Engine`."""

    @memory.setter
    @abstractmethod
    def memory(self, values: dict[str, np.ndarray]) -> None: ...

    @abstractmethod
    def _put(self, values: Any) -> Tensor:
        """Values of the host as a tensor on the device."""

    @abstractmethod
    def _fetch(self, results: list[Any]) -> list[Any]:
        """Tensors, or nested lists and dictionaries of them, as NumPy arrays; waits for the device."""

    @abstractmethod
    def _get(self, variable: Variable) -> np.ndarray:
        """A copy of what a variable of the networks or optimizers holds."""

    @abstractmethod
    def _set(self, variable: Variable, values: Any) -> None:
        """Give such a variable other values, in the dtype that it has; what was compiled stays valid."""

    @abstractmethod
    def _pieces(self, indices: np.ndarray, inputs: dict[str, np.ndarray]) -> Iterator[tuple[Any, ...]]:
        """What goes to the device at a time, of (steps, B) indices and (steps, …) inputs: for `_train_piece`."""

    @abstractmethod
    def _compile_piece(self, kind: Kind, schedule: dict[str, Tensor], *piece: Any) -> None:
        """Compile what `_train_piece` runs, and train nothing."""

    @abstractmethod
    def _train_piece(self, kind: Kind, schedule: dict[str, Tensor], *piece: Any) -> Tensor:
        """Train on a piece; at least as many rows as it has steps, each the sums of a step."""

    @abstractmethod
    def _evaluate_batch(self, images: Tensor, labels: Tensor) -> list[dict[str, Tensor]]:
        """`step.evaluations`."""

    @abstractmethod
    def _predict_batch(self, number: int, images: Tensor) -> Tensor:
        """(B, K) probabilities, by a network in evaluation mode."""

    def _arithmetic(self) -> AbstractContextManager[None]:
        """How the framework is to compute what is traced inside."""
        return nullcontext()

    def _collect(self, results: list[Any], result: Any) -> None:
        """Note a result that the device may still work on."""
        results.append(result)

    # Networks and their state

    def build(self, run: int, number: int) -> Network:
        """A fresh network: its weights are a function of (seed, run, number)."""
        rng = np.random.Generator(stream(self.config.seed, "weights", run, number))
        config, data = self.config, self.data
        return build_network(config.network, data.image_shape, data.num_classes, rng, config.precision)

    def make_optimizer(self, network: Network) -> Optimizer:
        """What `config.optimizer` names, built for `network`."""
        config = self.config
        if config.optimizer == "sgd":
            optimizer = keras.optimizers.SGD(config.learning_rate, config.momentum, config.nesterov)
        else:
            # PyTorch's epsilon; Keras' AdamW would not let weight decay follow a learning rate that rises step by step
            optimizer = keras.optimizers.Adam(config.learning_rate, config.momentum, epsilon=1e-8)
        optimizer.build(network.trainable_variables)
        return optimizer

    @property
    def weight_penalty(self) -> float:
        """Weight decay as a part of the gradient: of every optimizer but AdamW."""
        return 0.0 if self.config.optimizer == "adamw" else self.config.weight_decay

    @property
    def weight_shrinkage(self) -> float:
        """Weight decay beside the gradient, AdamW's: the share that weights lose a step, times the learning rate."""
        return self.config.weight_decay if self.config.optimizer == "adamw" else 0.0

    def start_memory(self) -> dict[str, np.ndarray]:
        """See `trainer.engine.Engine`."""
        count, num_classes = self.data.num_samples, self.data.num_classes
        learned = {name: declared.start for name, declared in self._learned.items()}
        return {**self.method.memory(count, num_classes), **engine_memory(count, num_classes), **learned}

    def parameters(self) -> int:
        return sum(int(np.prod(variable.shape)) for variable in self.networks[0].trainable_variables)

    def reset(self, run: int) -> None:
        for number, (network, optimizer) in enumerate(zip(self.networks, self.optimizers, strict=True)):
            fresh = self.build(run, number)
            for copy in (network, *self.averages[number : number + 1]):
                for variable, value in zip(copy.variables, fresh.variables, strict=True):
                    self._set(variable, value)
            for variable in optimizer.variables:
                self._set(variable, np.zeros(variable.shape, variable.dtype))

    def state(self) -> dict[str, np.ndarray]:
        return {name: self._get(variable) for name, variable in self._named_variables()}

    def _named_variables(self) -> Iterator[tuple[str, Variable]]:
        return named_variables(self.networks, self.optimizers, self.averages)

    def load_state(self, values: dict[str, np.ndarray]) -> None:
        variables = dict(self._named_variables())
        check_state(set(variables), values)
        for name, variable in variables.items():
            self._set(variable, values[name])

    def weights(self) -> dict[str, np.ndarray]:
        return {name: self._get(variable) for name, variable in named_weights(self.networks)}

    # Epochs

    def go_on(self, run: int, epoch: int) -> None:
        self._epoch = (run, epoch)

    def begin_epoch(self, run: int, epoch: int, learning_rate: float) -> None:
        self._epoch = (run, epoch)
        factor = self.config.velocity_factor_at(epoch)
        for optimizer in self.optimizers:
            self._set(optimizer.learning_rate, learning_rate)
            if factor != 1:
                for velocity in optimizer.momentums:
                    self._set(velocity, factor * self._get(velocity))
        # Dropout: (2,) uint32 for each layer of all networks, a function of (seed, run, epoch)
        networks = (*self.networks, *self.averages)
        generators = [generator for network in networks for generator in dropout_seeds(network)]
        raw = stream(self.config.seed, "dropout", run, epoch).random_raw(2 * len(generators))
        seeds = (np.reshape(raw, (-1, 2)) >> np.uint64(33)).astype(np.uint32)
        for generator, seed in zip(generators, seeds, strict=True):
            self._set(generator.state, seed)

    def prepare(
        self,
        indices: np.ndarray,
        schedule: dict[str, float],
        learns: tuple[bool, ...] | None = None,
        stage: str = "",
    ) -> None:
        kind = Kind(learns or (True,) * len(self.networks), stage)
        with out_of_memory(*self.memory_errors), self._arithmetic():
            piece = next(self._pieces(indices, self._inputs(0, *indices.shape)))
            self._compile_piece(kind, self._scalars(schedule), *piece)

    def train(
        self,
        indices: np.ndarray,
        schedule: dict[str, float],
        first_step: int = 0,
        learns: tuple[bool, ...] | None = None,
        stage: str = "",
    ) -> dict[str, np.ndarray]:
        kind = Kind(learns or (True,) * len(self.networks), stage)
        with out_of_memory(*self.memory_errors), self._arithmetic():
            scalars = self._scalars(schedule)
            parts: list[Any] = []
            for piece in self._pieces(indices, self._inputs(first_step, *indices.shape)):
                self._collect(parts, self._train_piece(kind, scalars, *piece))
            sums = np.concatenate(self._fetch(parts))[: len(indices)]
        return dict(zip(self._sum_keys[kind], sums.T, strict=True))

    def _inputs(self, first_step: int, steps: int, batch_size: int) -> dict[str, np.ndarray]:
        """What each step is given beside its indices, (steps, …) each, a function of (seed, run, epoch, step)."""
        config, (run, epoch) = self.config, self._epoch
        inputs: dict[str, np.ndarray] = {}
        for view, augmentation in enumerate(self._augmentations):
            if augmentation.numbers:
                place = (config.seed, run, epoch, steps, batch_size, first_step, view)
                inputs[f"{NUMBERS}{view}"] = draw(augmentation, *place)
        if config.learning_rate_warm_up:
            before = epoch * -(-self.data.num_samples // config.batch_size)
            factors = warm_up_factors(config, before + first_step, steps)
            inputs[LEARNING_RATE] = (config.learning_rate_at(epoch) * factors).astype(np.float32)
        if type(self.method).draw is not Method.draw:
            places = [(run, epoch, first_step + step) for step in range(steps)]
            generators = [np.random.Generator(stream(config.seed, "draws", *place)) for place in places]
            draws = [self.method.draw(rng, batch_size) for rng in generators]
            inputs |= {f"{DRAWS}{name}": np.stack([part[name] for part in draws]) for name in draws[0]}
        return inputs

    def _batch(self, labels: Tensor, images: Tensor, inputs: dict[str, Tensor], kind: Kind) -> Batch:
        """What a step is given, of (B, H, W, C) uint8 images, or (B, D) float32 features, and its inputs."""
        views = []
        for view, augmentation in enumerate(self._augmentations):
            seen = images
            if augmentation.numbers:
                seen = augmentation.apply(ops.cast(images, "float32"), inputs[f"{NUMBERS}{view}"])
            views.append(standardise(seen))
        draws = {name.removeprefix(DRAWS): value for name, value in inputs.items() if name.startswith(DRAWS)}
        return Batch(labels, tuple(views), draws, kind.learns, kind.stage)

    def predict(self, number: int) -> np.ndarray:
        count, size = self.data.num_samples, EVALUATION_BATCH
        with out_of_memory(*self.memory_errors), self._arithmetic():
            parts: list[Any] = []
            for start in range(0, count, size):
                # all of one shape: the last one ends with images of the one before
                rows = np.arange(size) + min(start, max(count - size, 0))
                self._collect(parts, self._predict_batch(number, self._put(self.data.train_images[rows % count])))
            pieces = [np.asarray(part) for part in self._fetch(parts)]
        starts = [min(start, max(count - size, 0)) for start in range(0, count, size)]
        probabilities = np.empty((count, self.data.num_classes), np.float32)
        for start, piece in zip(starts, pieces, strict=True):
            probabilities[start : start + size] = piece[: count - start]
        return probabilities

    def is_shared(self, key: str) -> bool:
        """Whether a memory of this name is the same for all samples."""
        return key in self.method.shared or (key in self._learned and self._learned[key].shared)

    @property
    def _epochs_differ(self) -> bool:
        """Whether an epoch may have another number of steps than the one before: no program may depend on it then."""
        return len(self.method.stages) > 1

    def _average_decay(self, schedule: dict[str, Tensor]) -> Tensor | float:
        """The decay of the averages of the weights in this epoch."""
        return schedule.get(AVERAGE_DECAY, self.method.average_decay or 0.0)

    def _scalars(self, schedule: dict[str, float]) -> dict[str, Tensor]:
        if self._momentum_changes:
            schedule = {**schedule, MOMENTUM: self.config.momentum_at(self._epoch[1])}
        return {key: self._put(np.float32(value)) for key, value in schedule.items()}

    @property
    def _momentum_changes(self) -> bool:
        return self.config.schedule == "linear" and self.config.late_momentum is not None

    @contextmanager
    def _momentum(self, optimizer: Optimizer, schedule: dict[str, Tensor]) -> Iterator[None]:
        """Let Adam take the epoch's momentum while it is traced, where that changes."""
        if MOMENTUM not in schedule:
            yield
            return
        optimizer.beta_1 = schedule[MOMENTUM]
        try:
            yield
        finally:
            optimizer.beta_1 = self.config.momentum

    def evaluate(self, split: str = "test") -> list[EvaluationTotals]:
        with out_of_memory(*self.memory_errors), self._arithmetic():
            results: list[Any] = []
            for images, labels in self._held_out.get(split) or self._held_out_on_device(split):
                self._collect(results, self._evaluate_batch(images, labels))
            batches = self._fetch(results)
        return [evaluation_totals(list(of_each)) for of_each in zip(*batches, strict=True)]

    def _held_out_on_device(self, split: str) -> Iterator[tuple[Tensor, Tensor]]:
        for images, labels in self.held_out_batches(split):
            yield self._put(images), self._put(labels)


def evaluation_totals(batches: list[dict[str, np.ndarray]]) -> EvaluationTotals:
    """Batches' `step.evaluation_sums`, on the host, added up."""
    return {
        "loss": float(sum(float(batch["loss"]) for batch in batches)),
        "confusion": np.sum([batch["confusion"].astype(np.int64) for batch in batches], axis=0),
    }


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
