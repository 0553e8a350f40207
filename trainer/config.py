"""RunConfig: every setting of a run, resolved, and where each came from."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from datatools.format.dataset import Dataset
from trainer.augmentation import AUGMENTATIONS, NONE
from trainer.errors import TrainerError
from trainer.methods import METHODS
from trainer.methods.base import SAMPLINGS, Method
from trainer.networks import FEATURES, IMAGES, NETWORKS
from trainer.presets import PRESETS, epochs_at, from_preset, late_momentum_of, presets_text
from trainer.recipe import SCHEDULES, learning_rate_at
from trainer.settings import VARIANTS, Derived, Setting, resolve_settings, setting, settings_of

ENGINES = {
    "tensorflow": "trainer.engine.tensorflow:TensorFlowEngine",
    "jax": "trainer.engine.jax:JaxEngine",
}
"""What can train, as "module:class"; loaded by `trainer.engine` when a run starts."""
PRECISIONS = ("float32", "tf32", "bfloat16")
OPTIMIZERS = ("sgd", "adam", "adamw")
CHECKPOINT_EVERY = Setting(
    "Epochs from one checkpoint to the next; Ctrl-C and SIGTERM save one too.",
    default=1,
    source="ours",
    minimum=1,
    metavar="E",
    kind=int,
)
"""The one setting of how a run is done, not of what it is, that a sweep has too."""
COMPILATION_CACHE_VARIABLE = "TRAINER_COMPILATION_CACHE"
"""Environment variable with the folder in which compiled steps are kept, or "off"."""
ALWAYS_STORED = ("network", "preset", "epochs", "batch_size", "learning_rate", "noise_rate", "seed", "engine")
"""The settings that every config.json has, whatever version wrote it."""
FIRST_SETTINGS = ("variant", "features", "preset")
"""The settings that the defaults of others depend on, each after those that its own depends on."""
FEATURE_SUFFIXES = (".npy", ".npz", ".h5", ".hdf5")
"""What the name of a file of features ends in."""
BESIDE_PRESETS = ("preset", "features", "variant", "noise_rate", "seed", "engine")
"""The settings of which a preset says nothing."""
_DEVICE = re.compile(r"auto|cpu|gpu(:\d{1,4})?")


def _default_preset(values: Mapping[str, Any]) -> str:
    return "paper" if values.get("features") is None else "features"


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """The settings of one run.

    Attributes:
        epochs: of each run; a method that restarts trains so many several times.
        batch_size: the largest mini-batch (see `data.epoch_order`).
        learning_rate, schedule, drop_epochs, decay_from, …: see `trainer.recipe`; epochs count from 0.
        noise_rate: τ, what the method is told of the share of wrong labels; `noise_rate_from`: who told.
        method_settings: the method's own settings, resolved.
        weight_decay: factor w of the penalty ½ w ‖v‖² on every trainable variable v; of "adamw", the share by which
            each v shrinks a step, times the learning rate.
    """

    method: str
    network: str = setting(
        "Which network.",
        default=from_preset("network"),
        source="SELFIE, section 4.1; ours",
        choices=NETWORKS,
    )
    features: str | None = setting(
        "Train on features in place of the images: those that `trainer embed` made with the backbone NAME, or a file "
        "of any model's, .npy, .npz or .h5; `docs/features.md`.",
        default=None,
        none="train on the images",
        source="ours",
        metavar="NAME|FILE",
    )
    preset: str = setting(
        f"Values for what is not given. {presets_text()}.",
        default=Derived("paper; features with --features", _default_preset),
        source="ours",
        choices=PRESETS,
    )
    epochs: int = setting(
        "Epochs of each run; a method that restarts trains them several times.",
        default=from_preset("epochs"),
        source="SELFIE, section 4.1; ours",
        minimum=1,
        metavar="E",
    )
    batch_size: int = setting(
        "Images a step, at most; 2 at least, for batch norm.",
        default=from_preset("batch_size"),
        source="SELFIE, section 4.1",
        minimum=2,
        metavar="B",
    )
    learning_rate: float = setting(
        "First learning rate.",
        default=from_preset("learning_rate"),
        source="SELFIE, section 4.1",
        above=0,
        metavar="LR",
    )
    drop_epochs: tuple[int, ...] = setting(
        "Epochs at whose start the learning rate drops, schedule step.",
        default=Derived("the preset's shares of the epochs", lambda values: epochs_at(values, "drop_points")),
        source="SELFIE, section 4.1: 50% and 75%",
        metavar="E,E",
    )
    noise_rate: float = setting(
        "Share of wrong labels that the method is told, in [0, 1); estimated: what `trainer estimate-noise` found. "
        "Not every method makes use of it.",
        default=Derived("a noisy dataset's realised rate, 0 for a clean dataset", lambda values: values["known_rate"]),
        source="SELFIE, section 3: τ is given",
        minimum=0,
        below=1,
        metavar="R|estimated",
    )
    noise_rate_from: str
    seed: int = setting(
        "Weights, order, dropout and what is held out; the same seed gives the same run.",
        default=0,
        source="ours",
        minimum=0,
        metavar="S",
    )
    engine: str = setting(
        "What trains the networks.",
        default="tensorflow",
        source="ours",
        choices=ENGINES,
        environment="KERAS_BACKEND",
    )
    method_settings: dict[str, Any]
    variant: str = setting(
        "Whose defaults: the papers', or those of SELFIE's official code, its present head or its first release "
        "(independent mini-batches, four runs, two passes a step).",
        default="paper",
        source="ours",
        choices=VARIANTS,
    )
    sampling: str = setting(
        "Mini-batches. permutation: every sample once an epoch; independent: each batch drawn from all samples; "
        "balanced: as many samples of each given label, for a dataset with few of some.",
        default="permutation",
        variants={"official": "independent", "official-2019": "independent"},
        source="ours; `independent` is SELFIE's code",
        choices=SAMPLINGS,
    )
    precision: str = setting(
        "What the network computes in; weights, logits and losses are float32. tf32: float32 whose factors a GPU "
        "rounds to 10 bits before it multiplies (a CPU does not round).",
        default="float32",
        source="SELFIE's code",
        choices=PRECISIONS,
    )
    deterministic: bool = setting(
        "On a GPU, take only operations that give the same bits each time, so that a resumed run is the uninterrupted "
        "one; slower. A CPU always does.",
        default=False,
        source="ours",
    )
    validation_fraction: float = setting(
        "Share of each given label's training samples to hold out, with the labels they have, in [0, 1); an epoch is "
        "selected on them.",
        default=0.0,
        source="ours",
        minimum=0,
        below=1,
        metavar="F",
    )
    device: str = setting(
        "Where to train; auto takes a GPU where there is one, gpu:N the GPU of number N, from 0.",
        default="auto",
        source="ours",
        metavar="auto|cpu|gpu|gpu:N",
        changes_no_result=True,
    )
    device_memory: int | None = setting(
        "Images may take this much of the device, in MiB; a larger set is read from its files while it trains.",
        default=None,
        none="no limit",
        source="ours",
        minimum=1,
        metavar="MIB",
        changes_no_result=True,
    )
    drop_factor: float = setting(
        "Factor of the learning rate at each drop.",
        default=from_preset("drop_factor"),
        source="SELFIE, section 4.1",
        above=0,
        maximum=1,
        metavar="F",
    )
    momentum: float = setting(
        "Momentum of SGD, in [0, 1); β1 of Adam and AdamW.",
        default=0.9,
        source="SELFIE's code",
        minimum=0,
        below=1,
        metavar="M",
    )
    momentum_form: str = setting(
        "What stays when the learning rate drops. velocity: past steps as they were (Keras); accumulator: past "
        "gradients, so that steps shrink with the rate (TensorFlow 1, PyTorch).",
        default=from_preset("momentum_form"),
        variants={"official": "accumulator", "official-2019": "accumulator"},
        source="Keras; `accumulator` is SELFIE's code and PyTorch",
        choices=("velocity", "accumulator"),
    )
    weight_decay: float = setting(
        "Penalty on the weights: w in ½ w ‖v‖², v every trainable variable, batch norm's too; of adamw, the share by "
        "which v shrinks a step, times the learning rate.",
        default=from_preset("weight_decay"),
        source="SELFIE's code",
        minimum=0,
        metavar="W",
    )
    optimizer: str = setting(
        "What follows the gradient.", default=from_preset("optimizer"), source="SELFIE's code", choices=OPTIMIZERS
    )
    nesterov: bool = setting(
        "Nesterov's form of SGD's momentum.", default=from_preset("nesterov"), source="SELFIE's code", switches_off=True
    )
    schedule: str = setting(
        "How the learning rate goes on from the first. step: falls at --drop-epochs; cosine: half a cosine to "
        "--final-learning-rate; linear: down to 0 from --decay-from on; warm-restarts: half a cosine each "
        "--restart-period; constant.",
        default=from_preset("schedule"),
        source="SELFIE, section 4.1",
        choices=SCHEDULES,
    )
    decay_from: int = setting(
        "Epochs before the learning rate falls, schedule linear.",
        default=Derived("40% of the epochs", lambda values: epochs_at(values, "decay_point")[0]),
        source="Co-teaching's code: 80 of 200",
        minimum=0,
        metavar="E",
    )
    late_momentum: float | None = setting(
        "β1 of Adam and AdamW from --decay-from on, schedule linear.",
        default=Derived("the preset's", late_momentum_of),
        none="as before",
        source="Co-teaching's code has 0.1",
        minimum=0,
        below=1,
        metavar="M",
    )
    restart_period: int = setting(
        "Epochs from one restart of the learning rate to the next, schedule warm-restarts.",
        default=10,
        source="ELR's code",
        minimum=1,
        metavar="E",
    )
    final_learning_rate: float = setting(
        "Learning rate that the cosine schedules end at.",
        default=0.0,
        source="SGDR",
        minimum=0,
        metavar="LR",
    )
    learning_rate_warm_up: int = setting(
        "Steps in which the learning rate rises to the first one, in each run.",
        default=0,
        source="ours",
        minimum=0,
        metavar="STEPS",
    )
    augmentation: str = setting(
        "What happens to each training image, by random numbers of its own; `docs/augmentation.md`.",
        default=from_preset("augmentation"),
        source="SELFIE, section 4.1: none",
        choices=AUGMENTATIONS,
    )

    def __post_init__(self) -> None:
        if self.features is not None:
            object.__setattr__(self, "features", absolute_features(self.features))
        for name, declared in settings_of(RunConfig).items():
            # which names are known is looked at by `check_names`: a report may read runs of methods that are gone
            if declared.choices is None:
                declared.check(name, getattr(self, name))
            else:
                declared.check_type(name, getattr(self, name))
        if self.late_momentum is not None and self.optimizer == "sgd":
            raise TrainerError(f"--late-momentum {self.late_momentum}: goes with --optimizer adam or adamw")
        if _DEVICE.fullmatch(self.device) is None:
            raise TrainerError(f"--device {self.device}: auto, cpu, gpu or gpu:N is expected")

    def check_names(self) -> None:
        """Raise TrainerError unless method, network, engine and so on are ones that there are."""
        _check_method(self.method)
        for name, declared in settings_of(RunConfig).items():
            declared.check(name, getattr(self, name))
        allowed = METHODS[self.method].samplings
        if self.sampling not in allowed:
            raise TrainerError(
                f"--sampling {self.sampling}: {self.method} draws mini-batches of its own; {' or '.join(allowed)} is "
                "expected"
            )

    def check_inputs(self) -> None:
        """Raise TrainerError unless network and augmentation go with what the run trains on, images or features."""
        takes = NETWORKS[self.network].takes
        if self.features is None and takes != IMAGES:
            raise TrainerError(
                f"--network {self.network}: takes features; name them with --features, or choose a network that takes "
                "images"
            )
        if self.features is not None and takes != FEATURES:
            networks = " or ".join(name for name, spec in NETWORKS.items() if spec.takes == FEATURES)
            raise TrainerError(
                f"--network {self.network}: takes images; with --features choose --network {networks}, or leave "
                "--features out"
            )
        if self.features is not None and self.augmentation != NONE.name:
            raise TrainerError(
                f"--augmentation {self.augmentation}: changes pixels, and features have none; pass --augmentation none"
            )

    def make_method(self) -> Method:
        """The method with its settings."""
        _check_method(self.method)
        return METHODS[self.method].from_settings(self.epochs, self.method_settings, self.variant)

    def learning_rate_at(self, epoch: int) -> float:
        """The learning rate of an epoch, counted from 0, without warm-up."""
        return learning_rate_at(self, epoch)

    def velocity_factor_at(self, epoch: int) -> float:
        """By what the velocity of the optimizer is multiplied before an epoch, counted from 0; see `momentum_form`."""
        if self.momentum_form == "velocity" or self.optimizer != "sgd" or not epoch:
            return 1.0
        return self.learning_rate_at(epoch) / self.learning_rate_at(epoch - 1)

    def momentum_at(self, epoch: int) -> float:
        """The momentum of an epoch, counted from 0."""
        late = self.schedule == "linear" and self.late_momentum is not None and epoch >= self.decay_from
        return self.late_momentum if late and self.late_momentum is not None else self.momentum

    def departures(self) -> dict[str, Any]:
        """The settings that are not the preset's, by name."""
        values = {**vars(self), "preset": self.preset}
        return {
            name: getattr(self, name)
            for name, setting in settings_of(RunConfig).items()
            if name not in BESIDE_PRESETS and not setting.changes_no_result
            if getattr(self, name) != setting.default_for(values)
        }

    def to_json(self) -> dict[str, Any]:
        """As plain values for config.json."""
        return dict(json.loads(json.dumps(dataclasses.asdict(self))))

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> RunConfig:
        """From what `to_json` gave, or from a config.json, which says in "device" what was used.

        Raises:
            KeyError, TypeError, ValueError, TrainerError: a value is missing, of the wrong type or out of its range.
        """
        names = {field.name for field in dataclasses.fields(cls)}
        known = {key: value for key, value in values.items() if key in names}
        known["device"] = values.get("device_asked", values.get("device", "auto"))
        for name, kind in (("method", str), ("noise_rate_from", str), ("method_settings", dict)):
            if not isinstance(known[name], kind):
                raise TypeError(f"{name} is {known[name]!r:.60}")
        for name, declared in settings_of(RunConfig).items():
            if declared.kind is tuple and isinstance(known.get(name), list):
                known[name] = tuple(known[name])
            if name not in known and name not in ALWAYS_STORED:
                # a run of before this was a setting had the default of its preset
                known[name] = declared.default_for({"variant": "paper", **known})
        return cls(**known)


def is_feature_file(name: str) -> bool:
    """Whether the value of --features names a file, and no backbone."""
    return Path(name).suffix.lower() in FEATURE_SUFFIXES


def absolute_features(name: str) -> str:
    """The value of --features wherever one works: a run is resumed from other working directories too."""
    return str(Path(name).absolute()) if is_feature_file(name) else name


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


def _check_method(name: str) -> None:
    if name not in METHODS:
        raise TrainerError(f"method '{name}': not known; known are {', '.join(METHODS)}")


def resolve(
    method: str,
    dataset: Dataset,
    *,
    noise_rate_from: str | None = None,
    method_options: Mapping[str, Any] | None = None,
    **given: Any,
) -> RunConfig:
    """The settings of a run: what is given, else the preset's, the variant's, or what follows from other settings.

    Args:
        noise_rate_from: who told the given noise rate, for config.json.
        method_options: settings of the method's own, by name.
        given: settings of `RunConfig`, by name; None stands for one that is not given.

    Raises:
        TypeError: a setting that there is not.
        TrainerError: an unknown method or choice, a value out of range, settings that contradict each other, or a noise
            rate that nobody knows.
    """
    _check_method(method)
    settings = settings_of(RunConfig)
    unknown = given.keys() - settings.keys()
    if unknown:
        raise TypeError(f"unexpected settings {', '.join(sorted(unknown))}; a run has {', '.join(settings)}")
    given = {name: value for name, value in given.items() if value is not None}
    # the defaults of the others depend on these
    first = {name: settings[name] for name in FIRST_SETTINGS}
    context = resolve_settings(first, given, {"variant": VARIANTS[0]})
    if "noise_rate" not in given:
        context["known_rate"], noise_rate_from = known_noise_rate(dataset)
    values = resolve_settings(settings, given, context)
    made = METHODS[method].from_settings(values["epochs"], method_options or {}, values["variant"])
    config = RunConfig(
        method=method,
        noise_rate_from=noise_rate_from or "--noise-rate",
        method_settings=dataclasses.asdict(made),
        **values,
    )
    config.check_inputs()
    return config


def known_noise_rate(dataset: Dataset) -> tuple[float, str]:
    """The noise rate of a dataset's training labels, and how it is known.

    Raises:
        TrainerError: nobody knows it, or all labels are wrong.
    """
    metadata = dataset.metadata
    if metadata.noise is not None:
        rate = float(metadata.noise["realised_rate"])
        if rate >= 1:
            raise TrainerError(
                f"{dataset.path}: every training label is wrong (a realised noise rate of 1), so there is nothing to "
                "learn from; corrupt at a lower rate, or more images"
            )
        return rate, "manifest, realised"
    if metadata.labels == "clean":
        return 0.0, "clean labels"
    raise TrainerError(
        f"{dataset.path}: nobody knows the noise rate of its labels; estimate it with `trainer estimate-noise --data "
        f"{dataset.path}` and pass --noise-rate estimated, or tell it with --noise-rate R"
    )
