"""RunConfig: every setting of a run, resolved, and where each came from."""

from __future__ import annotations

import dataclasses
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from datatools.format.dataset import Dataset
from trainer.errors import TrainerError
from trainer.methods import METHODS
from trainer.methods.base import VARIANTS, Method
from trainer.networks import NETWORKS

ENGINES = {
    "tensorflow": "trainer.engine.tensorflow:TensorFlowEngine",
    "jax": "trainer.engine.jax:JaxEngine",
}
"""What can train, as "module:class"; loaded by `trainer.engine` when a run starts."""
PRECISIONS = ("float32", "tf32", "bfloat16")
SAMPLINGS = ("permutation", "independent")
MOMENTUM_FORMS = ("velocity", "accumulator")
DROP_POINTS = (0.5, 0.75)
"""At which shares of the epochs the learning rate drops (SELFIE, section 4.1)."""
DROP_FACTOR = 0.2
_DEVICE = re.compile(r"auto|cpu|gpu(:\d{1,4})?")


@dataclass(frozen=True)
class Preset:
    """Values for the settings that are not given."""

    title: str
    network: str
    epochs: int
    batch_size: int
    learning_rate: float


PRESETS = {
    "paper": Preset("the protocol of the SELFIE paper; wants a GPU", "densenet-25-12", 100, 128, 0.1),
    "quick": Preset("the same with a small network and fewer epochs; suits a CPU", "small-cnn", 40, 128, 0.1),
}


@dataclass(frozen=True)
class RunConfig:
    """The settings of one run.

    Attributes:
        epochs: of each run; a method that restarts trains so many several times.
        batch_size: the largest mini-batch; sizes differ by at most one (see `data.epoch_order`).
        learning_rate: the first one; it is multiplied by `drop_factor` at each epoch (from 0) in `drop_epochs`.
        weight_decay: factor w of the penalty ½ w ‖v‖² on every trainable variable v.
        noise_rate: τ, what the method is told of the share of wrong labels; `noise_rate_from`: who told.
        method_settings: the method's own settings, resolved.
        sampling: how an epoch's mini-batches are drawn, one of SAMPLINGS (see `data.epoch_order`).
        momentum_form: what stays as it is when the learning rate drops: the "velocity", past steps as they were taken
            (Keras), or the "accumulator", past gradients, so that steps shrink with the rate (TensorFlow 1, PyTorch).
        precision: what the network computes in; logits, losses and weights are float32 always. "tf32": float32 whose
            products a GPU rounds to 10 bits first.
        deterministic: whether a GPU takes only operations that give the same bits each time; a CPU always does.
        validation_fraction: share of the training samples that is held out, with the labels they have.
        device: what was asked for: auto, cpu, gpu or gpu:N. device_memory: MiB that images may take on the device, or
            None; larger sets stream.
    """

    method: str
    network: str
    preset: str
    epochs: int
    batch_size: int
    learning_rate: float
    drop_epochs: tuple[int, ...]
    noise_rate: float
    noise_rate_from: str
    seed: int
    engine: str
    method_settings: dict[str, Any]
    variant: str = "paper"
    sampling: str = "permutation"
    precision: str = "float32"
    deterministic: bool = False
    validation_fraction: float = 0.0
    device: str = "auto"
    device_memory: int | None = None
    drop_factor: float = DROP_FACTOR
    momentum: float = 0.9
    momentum_form: str = "velocity"
    weight_decay: float = 5e-4

    def __post_init__(self) -> None:
        _require("epochs", self.epochs, self.epochs >= 1, "at least 1")
        _require("batch-size", self.batch_size, self.batch_size >= 2, "at least 2, for batch norm's sake")
        _require(
            "learning-rate",
            self.learning_rate,
            math.isfinite(self.learning_rate) and self.learning_rate > 0,
            "above 0",
        )
        _require("noise-rate", self.noise_rate, 0 <= self.noise_rate < 1, "a fraction in [0, 1)")
        _require("seed", self.seed, self.seed >= 0, "a whole number of at least 0")
        _require(
            "validation-fraction", self.validation_fraction, 0 <= self.validation_fraction < 1, "a fraction in [0, 1)"
        )
        _require("device-memory", self.device_memory, self.device_memory is None or self.device_memory >= 1, "MiB")
        _require("device", self.device, _DEVICE.fullmatch(self.device) is not None, "auto, cpu, gpu or gpu:N")

    def make_method(self) -> Method:
        """The method with its settings."""
        return METHODS[self.method].from_options(self.epochs, self.method_settings, self.variant)

    def learning_rate_at(self, epoch: int) -> float:
        """The learning rate of an epoch, counted from 0."""
        drops = sum(epoch >= drop for drop in self.drop_epochs)
        return self.learning_rate * self.drop_factor**drops

    def velocity_factor_at(self, epoch: int) -> float:
        """By what the velocity of the optimizer is multiplied before an epoch, counted from 0; see `momentum_form`."""
        if self.momentum_form == "velocity" or not epoch:
            return 1.0
        return self.learning_rate_at(epoch) / self.learning_rate_at(epoch - 1)

    def to_json(self) -> dict[str, Any]:
        """As plain values for config.json."""
        return dict(json.loads(json.dumps(dataclasses.asdict(self))))

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> RunConfig:
        """From what `to_json` gave, or from a config.json, which says in "device" what was used."""
        names = {field.name for field in dataclasses.fields(cls)}
        known = {key: value for key, value in values.items() if key in names}
        known["device"] = values.get("device_asked", values["device"])
        return cls(**{**known, "drop_epochs": tuple(values["drop_epochs"])})


def gpu_number(device: str, count: int) -> int | None:
    """Which of `count` GPUs `device` (auto, cpu, gpu, gpu:N) asks for; None for the CPU.

    Raises:
        TrainerError: a GPU is asked for that is not there.
    """
    if device == "cpu" or (device == "auto" and not count):
        return None
    number = int(device.partition(":")[2] or 0)
    if number >= count:
        there = f"{count} GPU{'s' * (count > 1)}, numbered from 0" if count else "no GPU"
        raise TrainerError(
            f"--device {device}: the engine sees {there} here; choose --device cpu or auto, or install what the GPU "
            "needs (docs/running.md)"
        )
    return number


def _require(setting: str, value: object, holds: bool, expected: str) -> None:
    if not holds:
        raise TrainerError(f"--{setting} {value}: {expected} is expected")


def resolve(
    method: str,
    dataset: Dataset,
    *,
    preset: str = "paper",
    network: str | None = None,
    epochs: int | None = None,
    batch_size: int | None = None,
    learning_rate: float | None = None,
    noise_rate: float | None = None,
    noise_rate_from: str | None = None,
    seed: int = 0,
    engine: str = "tensorflow",
    variant: str = "paper",
    sampling: str | None = None,
    momentum_form: str | None = None,
    precision: str = "float32",
    deterministic: bool = False,
    validation_fraction: float = 0.0,
    device: str = "auto",
    device_memory: int | None = None,
    method_options: Mapping[str, Any] | None = None,
) -> RunConfig:
    """The settings of a run: what is given, else the preset's, else what follows from the number of epochs.

    Args:
        noise_rate_from: who told the given noise rate, for config.json.

    Raises:
        TrainerError: an unknown name, a value out of range, or a noise rate that nobody knows.
    """
    for kind, name, known in (
        ("method", method, METHODS),
        ("preset", preset, PRESETS),
        ("engine", engine, ENGINES),
        ("network", network or PRESETS["paper"].network, NETWORKS),
        ("variant", variant, VARIANTS),
        ("sampling", sampling or SAMPLINGS[0], SAMPLINGS),
        ("momentum form", momentum_form or MOMENTUM_FORMS[0], MOMENTUM_FORMS),
        ("precision", precision, PRECISIONS),
    ):
        if name not in known:
            raise TrainerError(f"{kind} '{name}': not known; known are {', '.join(known)}")
    base = PRESETS[preset]
    epochs = base.epochs if epochs is None else epochs
    _require("epochs", epochs, epochs >= 1, "at least 1")
    made = METHODS[method].from_options(epochs, method_options or {}, variant)
    rate, told_by = _noise_rate(dataset, noise_rate, noise_rate_from)
    return RunConfig(
        method=method,
        network=network or base.network,
        preset=preset,
        epochs=epochs,
        batch_size=base.batch_size if batch_size is None else batch_size,
        learning_rate=base.learning_rate if learning_rate is None else learning_rate,
        drop_epochs=tuple(math.ceil(point * epochs) for point in DROP_POINTS),
        noise_rate=rate,
        noise_rate_from=told_by,
        seed=seed,
        engine=engine,
        method_settings=dataclasses.asdict(made),
        variant=variant,
        sampling=sampling or ("permutation" if variant == "paper" else "independent"),
        momentum_form=momentum_form or ("velocity" if variant == "paper" else "accumulator"),
        precision=precision,
        deterministic=deterministic,
        validation_fraction=validation_fraction,
        device=device,
        device_memory=device_memory,
    )


def _noise_rate(dataset: Dataset, given: float | None, told_by: str | None) -> tuple[float, str]:
    metadata = dataset.metadata
    if given is not None:
        return given, told_by or "--noise-rate"
    if metadata.noise is not None:
        return float(metadata.noise["realised_rate"]), "manifest, realised"
    if metadata.labels == "clean":
        return 0.0, "clean labels"
    raise TrainerError(
        f"{dataset.path}: nobody knows the noise rate of its labels; estimate it with `trainer estimate-noise --data "
        f"{dataset.path}` and pass --noise-rate estimated, or tell it with --noise-rate R"
    )
