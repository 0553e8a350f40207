"""The grid of a sweep, from the command line or a TOML file, and its cells."""

from __future__ import annotations

import dataclasses
import itertools
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from datatools.corruption import rate_text
from datatools.noise import noise_type
from datatools.sources import SOURCES
from trainer.config import CHECKPOINT_EVERY, FIRST_SETTINGS, RunConfig, absolute_features
from trainer.errors import TrainerError
from trainer.methods import METHODS
from trainer.networks import NETWORKS
from trainer.settings import settings_of

CLEAN = "clean"
"""How the directory of a cell without noise is called."""
SHARED = {
    **{name: s for name, s in settings_of(RunConfig).items() if name not in ("network", "noise_rate", "seed")},
    "checkpoint_every": CHECKPOINT_EVERY,
}
"""What every cell shares: settings of `trainer run`, by their names there."""


def value_of(settings: Mapping[str, Any], name: str) -> Any:
    """A setting of a run of which `settings` are given; the default where it is not among them."""
    if name in settings:
        return settings[name]
    declared = settings_of(RunConfig)
    first: dict[str, Any] = {"variant": declared["variant"].default}
    for key in FIRST_SETTINGS:
        first[key] = settings[key] if key in settings else declared[key].default_for(first)
    return first[name] if name in first else declared[name].default_for(first)


@dataclass(frozen=True)
class Cell:
    """One run of a sweep.

    Attributes:
        dataset: directory of a clean dataset under the root. noise, rate: what its labels are given; rate 0 is the
            clean dataset itself. seed: of the noise and of the training alike.
        settings: those of SHARED that were given. options: the method's own.
    """

    dataset: str
    noise: str
    rate: float
    method: str
    network: str
    seed: int
    settings: dict[str, Any] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def noise_name(self) -> str:
        """As it stands in names: "pair-0.4", or "clean"."""
        return f"{self.noise}-{rate_text(self.rate)}" if self.rate else CLEAN

    @property
    def name(self) -> str:
        """The run directory below the sweep's: dataset-noise/method-network-seed."""
        return f"{self.dataset}-{self.noise_name}/{self.method}-{self.network}-seed{self.seed}"

    def to_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self)


@dataclass(frozen=True)
class Grid:
    """What a sweep runs over.

    Attributes:
        datasets: names of clean datasets under the root, or of image sets that can be converted. source, limit: for
            their conversion. networks: the preset's where none is named.
        options: settings of the methods' own, by method.
    """

    datasets: tuple[str, ...]
    methods: tuple[str, ...]
    noise: tuple[str, ...] = ("pair",)
    rates: tuple[float, ...] = (0.0, 0.1, 0.2, 0.3, 0.4)
    networks: tuple[str, ...] = ()
    seeds: tuple[int, ...] = (0,)
    source: str | None = None
    limit: int | None = None
    settings: dict[str, Any] = field(default_factory=dict)
    options: dict[str, dict[str, Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("datasets", "methods", "noise", "rates", "networks", "seeds"):
            values = getattr(self, name)
            if not values and name != "networks":
                raise TrainerError(f"sweep: no {name} are given; name at least one")
            if len(set(values)) != len(values):
                raise TrainerError(f"sweep: {name} {', '.join(map(str, values))}: one is named twice")
        known: Mapping[str, Any]
        for kind, names, known in (("method", self.methods, METHODS), ("network", self.networks, NETWORKS)):
            for name in names:
                if name not in known:
                    raise TrainerError(f"{kind} '{name}': not known; known are {', '.join(known)}")
        for name, value in self.settings.items():
            SHARED[name].check(name, value)
        for noise in self.noise:
            if noise_type(noise)[1].needs not in ((), ("rate",)):
                raise TrainerError(
                    f"noise type '{noise}': needs files of its own; make the dataset with `datatools corrupt`, and "
                    "train on it with `trainer run`"
                )
        for rate in self.rates:
            if not 0 <= rate < 1:
                raise TrainerError(f"rate {rate}: a fraction in [0, 1) is expected")
        if any(seed < 0 for seed in self.seeds):
            raise TrainerError(f"seeds {', '.join(map(str, self.seeds))}: whole numbers of at least 0 are expected")
        if self.source is not None and len(self.datasets) > 1:
            raise TrainerError("sweep: a source is given for several datasets; convert them first with datatools")
        epochs, variant = value_of(self.settings, "epochs"), value_of(self.settings, "variant")
        for method, options in self.options.items():
            if method not in METHODS:
                raise TrainerError(f"options of method '{method}': not known; known are {', '.join(METHODS)}")
            METHODS[method].from_settings(epochs, options, variant)

    def directory(self, dataset: str) -> str:
        """Name of the directory of one of `datasets` under the root."""
        return dataset if self.limit is None or dataset not in SOURCES else f"{dataset}-first{self.limit}"

    def cells(self) -> list[Cell]:
        """Every cell once, in an order that brings each rate's methods together; rate 0 is there once for all noise."""
        cells: dict[str, Cell] = {}
        networks = self.networks or (value_of(self.settings, "network"),)
        settings = dict(self.settings)
        if settings.get("features") is not None:
            settings["features"] = absolute_features(settings["features"])
        for dataset, rate, noise, seed, network, method in itertools.product(
            map(self.directory, self.datasets), self.rates, self.noise, self.seeds, networks, self.methods
        ):
            options = self.options.get(method, {})
            cell = Cell(dataset, noise, float(rate), method, network, seed, dict(settings), dict(options))
            cells.setdefault(cell.name, cell)
        return list(cells.values())


LISTS: dict[str, type | tuple[type, ...]] = {
    "datasets": str,
    "methods": str,
    "noise": str,
    "rates": (int, float),
    "networks": str,
    "seeds": int,
}


def read_toml(path: Path) -> dict[str, Any]:
    """The fields of `Grid` that a TOML file gives, checked for their types.

    Raises:
        TrainerError: not TOML, or an entry that is not known or of the wrong type.
    """
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise TrainerError(f"{path}: cannot be read as TOML ({error})") from None
    entries: dict[str, Any] = {"settings": {}}
    for key, value in values.items():
        if key in LISTS:
            items = value if isinstance(value, list) else [value]
            entries[key] = tuple(_typed(path, key, item, LISTS[key]) for item in items)
        elif key in SHARED:
            entries["settings"][key] = value
        elif key in ("source", "limit"):
            entries[key] = _typed(path, key, value, str if key == "source" else int)
        elif (
            key == "options"
            and isinstance(value, dict)
            and all(isinstance(options, dict) for options in value.values())
        ):
            entries[key] = {
                method: {name.replace("-", "_"): v for name, v in options.items()} for method, options in value.items()
            }
        else:
            known = ", ".join([*LISTS, "source", "limit", *SHARED, "[options.METHOD]"])
            raise TrainerError(f"{path}: '{key}' is not an entry of a sweep; known are {known}")
    try:
        for key, value in entries["settings"].items():
            SHARED[key].check(key, value)
    except TrainerError as error:
        raise TrainerError(f"{path}: {error}") from None
    return entries


def _typed(path: Path, key: str, value: Any, kind: type | tuple[type, ...]) -> Any:
    kinds = kind if isinstance(kind, tuple) else (kind,)
    if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
        raise TrainerError(f"{path}: '{key}' should be {' or '.join(k.__name__ for k in kinds)}, is {value!r:.60}")
    return value


def merged(file: Mapping[str, Any], command_line: Mapping[str, Any]) -> Grid:
    """The grid of a file, with what the command line says put over it."""
    options = {method: dict(settings) for method, settings in file.get("options", {}).items()}
    for method, settings in command_line.get("options", {}).items():
        options.setdefault(method, {}).update(settings)
    together = {**file, **command_line}
    together["settings"] = {**file.get("settings", {}), **command_line.get("settings", {})}
    together["options"] = options
    for name, option in (("datasets", "--dataset"), ("methods", "--methods")):
        if name not in together:
            raise TrainerError(f"sweep: no {name} are given; name them with {option} or in --file")
    return Grid(**together)
