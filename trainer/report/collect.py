"""Run directories -> finished runs, and a line for each directory that gives none.

What a run directory holds is somebody's files: every value is checked as it is read, and a file of another format is a
line of text, never a traceback.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from datatools.printable import ORDERS
from trainer.config import RunConfig
from trainer.errors import TrainerError
from trainer.methods import METHODS
from trainer.runs.directory import CONFIG_FILE
from trainer.runs.reading import RunFileError, get
from trainer.runs.result import Result
from trainer.runs.run import Run, epochs_done, is_finished, open_run
from trainer.settings import settings_of
from trainer.training.ledger import Ledger

CLEAN = "none"
"""The noise of a dataset that has none."""
NOTHING, NOT_RECORDED = "nothing", "not recorded"
"""What a method was told, where that was nothing, and where result.json is of a version that did not record it."""
OWN = "own"
"""The noise of a dataset whose labels have errors of their own, at a rate that the run was told."""
SETTINGS = tuple(
    name
    for name, declared in settings_of(RunConfig).items()
    if name not in ("network", "preset", "epochs", "noise_rate", "seed", "deterministic")
    and not declared.changes_no_result
)
"""What runs of one group may not differ in, beside the group's own fields, the preset and the method's settings."""


MOST_NUMBERS = 30
"""So many of a list of numbers, such as the epochs of the drops, tell settings apart."""


class Group(NamedTuple):
    """What the runs of one line of the table share.

    Attributes:
        settings: what else sets these runs apart from others of the same network, method and epochs, as
            "batch-size 64"; "" where nothing does.
    """

    dataset: str
    noise: str
    network: str
    method: str
    epochs: int
    settings: str = ""


class Noise(NamedTuple):
    """The label noise of a run's dataset.

    Attributes:
        kind: its type, with what else tells it apart ("pair", "symmetric, bernoulli"); CLEAN without noise, OWN for
            labels with errors of their own.
        rate: as requested, else as counted or told, a fraction; 0 without noise, None where nobody knows.
        name: how it reads in a table: the rate as %g, or what stands for it (a file, a column of human labels).
    """

    kind: str
    rate: float | None
    name: str


@dataclass(frozen=True)
class FinishedRun:
    """A finished run whose files were read and are what a run writes, and where it stands in the report."""

    run: Run
    group: Group
    noise: Noise

    @property
    def directory(self) -> Path:
        return self.run.directory

    @property
    def seed(self) -> int:
        return self.run.config_file.seed

    @property
    def train_records(self) -> int:
        return self.run.config_file.dataset.train_records

    @property
    def result(self) -> Result:
        return self.run.result

    @property
    def preset(self) -> str:
        """As config.json names it, or ""."""
        return plain_text(self.settings.get("preset") or "")

    @property
    def ledger(self) -> Ledger | None:
        """What the method was told; None where result.json does not have it, as of an earlier version."""
        try:
            return Ledger.from_json(get(self.result, "told", dict))
        except ValueError:
            return None

    @property
    def ledger_words(self) -> str:
        """What the method was told of the noise, as "true rate"; else NOTHING or NOT_RECORDED."""
        return NOT_RECORDED if self.ledger is None else self.ledger.words or NOTHING

    @property
    def metrics(self) -> dict[str, np.ndarray]:
        return self.run.metrics

    @property
    def settings(self) -> dict[str, Any]:
        """What config.json says, which may be of another version."""
        return self.run.config_file.values


def collect(paths: Iterable[Path]) -> tuple[list[FinishedRun], list[str]]:
    """The finished runs at or below `paths`, and a line for each that cannot be read.

    Raises:
        TrainerError: there is not one.
    """
    runs: dict[Path, FinishedRun] = {}
    notices: dict[Path, str] = {}
    for path in paths:
        directories = sorted(file.parent for file in path.glob(f"**/{CONFIG_FILE}"))
        if not directories:
            notices[path] = f"{path}: no run there; name a run directory that `trainer run` made, or a folder of them"
        for directory in directories:
            try:
                runs[directory.resolve()] = _read(directory)
            except LeftOutError as error:
                notices[directory.resolve()] = f"{directory}: {error}; left out"
    lines = [printable(line) for line in notices.values()]
    if not runs:
        raise TrainerError("; ".join(lines))
    return sorted(_with_settings(list(runs.values())), key=_order), lines


def printable(text: str) -> str:
    """`text` on one line, without characters that are orders, and with what is no Unicode text as escapes."""
    return ORDERS.sub("\N{REPLACEMENT CHARACTER}", text.encode("utf-8", "backslashreplace").decode())


def plain_text(value: Any) -> str:
    """A plain value of a JSON file as text; of a list or object, which can be nested without end, the kind alone."""
    return type(value).__name__ if isinstance(value, list | dict) else printable(str(value))


def groups(runs: Sequence[FinishedRun]) -> dict[Group, list[FinishedRun]]:
    """The runs of each group, in order."""
    members: dict[Group, list[FinishedRun]] = {}
    for run in runs:
        members.setdefault(run.group, []).append(run)
    return members


def method_rank(method: str) -> tuple[int, str]:
    """The order of methods in tables and figures: that of the registry, then by name."""
    known = list(METHODS)
    return (known.index(method) if method in known else len(known)), method


def _order(run: FinishedRun) -> tuple[Any, ...]:
    group, noise = run.group, run.noise
    rate = math.inf if noise.rate is None else noise.rate
    place = (group.dataset, noise.kind != CLEAN, noise.kind, group.network, group.epochs, rate, noise.name)
    return (*place, method_rank(group.method), group.settings, run.seed, str(run.directory))


class LeftOutError(Exception):
    """Why a run directory gives no finished run."""


def _read(directory: Path) -> FinishedRun:
    if not is_finished(directory):
        raise LeftOutError(
            f"not finished ({epochs_done(directory)} epochs done; `trainer run … --resume` goes on with it)"
        )
    try:
        run = open_run(directory)
        _ = run.result, run.metrics  # read now, so that what is wrong with them leaves the run out
        return _placed(run)
    except RunFileError as error:
        raise LeftOutError(f"cannot be read ({error.path.name}: {error.reason})") from None
    except (ValueError, OverflowError) as error:
        raise LeftOutError(f"cannot be read ({CONFIG_FILE}: {error})") from None


def _placed(run: Run) -> FinishedRun:
    """The run with its group, whose settings are not known as yet."""
    file = run.config_file
    noise = _noise(file.dataset.noise, file.values)
    if file.dataset.noise is None:
        dataset, name = file.dataset.name, noise.kind
    else:
        parent = get(file.dataset.noise, "parent", dict, "dataset.noise.")
        dataset, name = get(parent, "name", str, "dataset.noise.parent."), f"{noise.kind} {noise.name}".rstrip()
    network = f"{printable(file.network)}{_features(file.values)}"
    group = Group(printable(dataset), name, network, printable(file.method), file.epochs)
    return FinishedRun(run, group, noise)


def _features(values: dict[str, Any]) -> str:
    """On what features a run was trained, as " on efficientnet-lite0, 160 pixels" or " on mine.npy"; "" of images."""
    if values.get("features") is None:
        return ""
    file = get(values, "features_file", dict)
    backbone = file.get("backbone")
    if isinstance(backbone, dict):
        return f" on {plain_text(backbone.get('backbone'))}, {plain_text(backbone.get('size'))} pixels"
    return f" on {printable(Path(get(file, 'path', str, 'features_file.')).name)}"


def _noise(noise: dict[str, Any] | None, settings: dict[str, Any]) -> Noise:
    if noise is None:
        source, rate = settings.get("noise_rate_from", "clean labels"), settings.get("noise_rate")
        if source == "clean labels" or not isinstance(rate, int | float) or not 0 < rate < 1:
            return Noise(CLEAN, 0.0, "0")
        return Noise(OWN, float(rate), OWN)
    kind = printable(get(noise, "type", str, "dataset.noise."))
    if noise.get("sampling") == "bernoulli":
        kind += ", bernoulli"
    asked, counted = noise.get("rate"), noise.get("realised_rate")
    name = "" if asked is None else f"{get(noise, 'rate', (int, float), 'dataset.noise.'):g}"
    for key in ("column", "matrix_file", "donor"):
        if isinstance(source := noise.get(key), str):
            name = f"{name} {printable(Path(source).name)}".strip()
    rate = counted if asked is None else asked
    return Noise(kind, float(rate) if isinstance(rate, int | float) and 0 <= rate <= 1 else None, name)


def _with_settings(runs: list[FinishedRun]) -> list[FinishedRun]:
    """The runs with `Group.settings` filled in: what differs among those of a dataset, network, method and epochs.

    Of runs of several presets, the preset stands for what follows from it.
    """
    alike: dict[tuple[Any, ...], dict[str, list[FinishedRun]]] = {}
    for run in runs:
        group = run.group
        by_preset = alike.setdefault((group.dataset, group.network, group.method, group.epochs), {})
        by_preset.setdefault(run.preset, []).append(run)
    placed = []
    for by_preset in alike.values():
        for preset, members in by_preset.items():
            settings = [_settings(run) for run in members]
            names = sorted({name for values in settings for name in values})
            differing = [name for name in names if len({values[name] for values in settings if name in values}) > 1]
            first = [f"preset {preset}"] if preset and len(by_preset) > 1 else []
            for run, values in zip(members, settings, strict=True):
                text = ", ".join([*first, *(f"{name} {values[name]}" for name in differing if name in values)])
                placed.append(replace(run, group=run.group._replace(settings=text)))
    return placed


def _settings(run: FinishedRun) -> dict[str, str]:
    """What else the run was told, by option; what its file does not say is left out."""
    settings = run.settings
    values = {key: settings[key] for key in SETTINGS if settings.get(key) is not None}
    if "features" in values:  # what they are, and not where
        values["features"] = str(get(get(settings, "features_file", dict), "sha256", str, "features_file."))[:12]
    of_method = settings.get("method_settings")
    values |= of_method if isinstance(of_method, dict) else {}
    source = settings.get("noise_rate_from")
    # a rate that a person told and that is the dataset's own is no setting of its own
    if source == "--noise-rate" and settings.get("noise_rate") != run.noise.rate:
        values["noise_rate"] = settings.get("noise_rate")
    elif isinstance(source, str) and source.startswith("estimate"):
        values["noise_rate"] = "estimated"
    else:
        values["noise_rate"] = "known"
    return {printable(str(key)).replace("_", "-"): _setting_text(value)[:60] for key, value in values.items()}


def _setting_text(value: Any) -> str:
    if isinstance(value, list) and all(type(item) is int for item in value):
        return " ".join(map(str, value[:MOST_NUMBERS])) or "none"
    return plain_text(value)
