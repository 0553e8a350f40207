"""Run directories -> finished runs, and a line for each directory that gives none.

What a run directory holds is somebody's files: every value is checked as it is read, and a file of another format is a
line of text, never a traceback.
"""

from __future__ import annotations

import csv
import json
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from trainer.errors import TrainerError
from trainer.methods import METHODS
from trainer.runs.directory import CONFIG_FILE, METRICS_FILE, RESULT_FILE
from trainer.runs.run import read_metrics

HEADLINES = ("best_test_error", "last_test_error", "mean_last10_test_error")
CLEAN = "none"
"""The noise of a dataset that has none."""
OWN = "own"
"""The noise of a dataset whose labels have errors of their own, at a rate that the run was told."""
SETTINGS = (
    "batch_size",
    "learning_rate",
    "weight_decay",
    "variant",
    "sampling",
    "momentum_form",
    "precision",
    "engine",
    "validation_fraction",
)
"""What runs of one group may not differ in, beside the group's own fields and the method's settings."""


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
    """A finished run, read back.

    Attributes:
        result: result.json; `HEADLINES` are checked. config: config.json; "dataset" is an object.
        metrics: each column of metrics.csv as (epochs of all restarts,) float64, with not-a-number where a cell is
            empty; "epoch" and "test_error" are there and have no gap.
    """

    directory: Path
    group: Group
    noise: Noise
    seed: int
    train_records: int
    result: dict[str, Any]
    config: dict[str, Any]
    metrics: dict[str, np.ndarray]


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
            # RecursionError, OverflowError: JSON nested too deeply, numbers beyond a float
            except (
                OSError,
                ValueError,
                LookupError,
                TypeError,
                AttributeError,
                ArithmeticError,
                RecursionError,
                csv.Error,
            ) as error:
                notices[directory.resolve()] = f"{directory}: {_reason(directory, error)}; left out"
    lines = [printable(line) for line in notices.values()]
    if not runs:
        raise TrainerError("; ".join(lines))
    return sorted(_told_apart(list(runs.values())), key=_order), lines


def printable(text: str) -> str:
    """`text` on one line, without control characters, and with what is no Unicode text as escapes."""
    visible = re.sub(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]", "\N{REPLACEMENT CHARACTER}", text)
    return visible.encode("utf-8", "backslashreplace").decode()


def groups(runs: Sequence[FinishedRun]) -> dict[Group, list[FinishedRun]]:
    """The runs of each group, in order."""
    found: dict[Group, list[FinishedRun]] = {}
    for run in runs:
        found.setdefault(run.group, []).append(run)
    return found


def method_rank(method: str) -> tuple[int, str]:
    """The order of methods in tables and figures: that of the registry, then by name."""
    known = list(METHODS)
    return (known.index(method) if method in known else len(known)), method


def _order(run: FinishedRun) -> tuple[Any, ...]:
    group, noise = run.group, run.noise
    rate = math.inf if noise.rate is None else noise.rate
    place = (group.dataset, noise.kind != CLEAN, noise.kind, group.network, group.epochs, rate, noise.name)
    return (*place, method_rank(group.method), group.settings, run.seed, str(run.directory))


def _reason(directory: Path, error: Exception) -> str:
    if (directory / RESULT_FILE).is_file():
        return f"cannot be read ({' '.join(str(error).split())[:200]})"
    try:
        epochs = len((directory / METRICS_FILE).read_text(encoding="utf-8").splitlines()) - 1
    except (OSError, ValueError):
        epochs = 0
    return f"not finished ({max(epochs, 0)} epochs done; `trainer run … --resume` goes on with it)"


def _read(directory: Path) -> FinishedRun:
    config, result = (_object(directory / name) for name in (CONFIG_FILE, RESULT_FILE))
    dataset = _get(config, "dataset", dict, CONFIG_FILE)
    noise = dataset.get("noise")
    for key in HEADLINES:
        if not 0 <= _get(result, key, (int, float), RESULT_FILE) <= 1:
            raise ValueError(f"{RESULT_FILE}: {key} is no fraction")
    named = dataset if noise is None else _get(noise, "parent", dict, CONFIG_FILE)
    own = _noise(noise, config)
    group = Group(
        dataset=printable(_get(named, "name", str, CONFIG_FILE)),
        noise=own.kind if noise is None else f"{own.kind} {own.name}".rstrip(),
        network=printable(_get(config, "network", str, CONFIG_FILE)),
        method=printable(_get(config, "method", str, CONFIG_FILE)),
        epochs=_get(config, "epochs", int, CONFIG_FILE),
    )
    records = _get(dataset, "train_records", int, CONFIG_FILE)
    if group.epochs < 1 or records < 1:
        raise ValueError(f"{CONFIG_FILE}: epochs and train_records should be at least 1")
    seed = _get(config, "seed", int, CONFIG_FILE)
    return FinishedRun(directory, group, own, seed, records, result, config, read_metrics(directory / METRICS_FILE))


def _object(path: Path) -> dict[str, Any]:
    value = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(value, dict):
        raise ValueError(f"{path.name}: not a JSON object")
    return value


def _get(values: dict[str, Any], key: str, kind: type | tuple[type, ...], file: str) -> Any:
    value = values.get(key)
    # bool is an int to Python, not to us
    if not isinstance(value, kind) or isinstance(value, bool):
        raise ValueError(f"{file}: '{key}' is {'missing' if key not in values else 'not of the kind expected'}")
    if value == "":
        raise ValueError(f"{file}: '{key}' is empty")
    return value


def _noise(noise: dict[str, Any] | None, config: dict[str, Any]) -> Noise:
    if noise is None:
        told, rate = config.get("noise_rate_from", "clean labels"), config.get("noise_rate")
        if told == "clean labels" or not isinstance(rate, int | float) or not 0 < rate < 1:
            return Noise(CLEAN, 0.0, "0")
        return Noise(OWN, float(rate), OWN)
    kind = printable(_get(noise, "type", str, CONFIG_FILE))
    if noise.get("sampling") == "bernoulli":
        kind += ", bernoulli"
    rate = noise.get("rate")
    counted = noise.get("realised_rate")
    name = "" if rate is None else f"{_get(noise, 'rate', (int, float), CONFIG_FILE):g}"
    for key in ("column", "matrix_file", "donor"):
        if isinstance(own := noise.get(key), str):
            name = f"{name} {printable(Path(own).name)}".strip()
    found = counted if rate is None else rate
    return Noise(kind, float(found) if isinstance(found, int | float) and 0 <= found <= 1 else None, name)


def _told_apart(runs: list[FinishedRun]) -> list[FinishedRun]:
    """The runs with `Group.settings` filled in: what differs among those of a dataset, network, method and epochs."""
    alike: dict[tuple[Any, ...], list[FinishedRun]] = {}
    for run in runs:
        group = run.group
        alike.setdefault((group.dataset, group.network, group.method, group.epochs), []).append(run)
    found = []
    for members in alike.values():
        settings = [_settings(run) for run in members]
        names = sorted({name for own in settings for name in own})
        differing = [name for name in names if len({own[name] for own in settings if name in own}) > 1]
        for run, own in zip(members, settings, strict=True):
            text = ", ".join(f"{name} {own[name]}" for name in differing if name in own)
            found.append(replace(run, group=run.group._replace(settings=text)))
    return found


def _settings(run: FinishedRun) -> dict[str, str]:
    """What else the run was told, by option; what its file does not say is left out."""
    config = run.config
    values = {key: config[key] for key in SETTINGS if config.get(key) is not None}
    own = config.get("method_settings")
    values |= own if isinstance(own, dict) else {}
    told = config.get("noise_rate_from")
    # a rate that a person told and that is the dataset's own is no setting of its own
    if told == "--noise-rate" and config.get("noise_rate") != run.noise.rate:
        values["noise_rate"] = config.get("noise_rate")
    elif isinstance(told, str) and told.startswith("estimate"):
        values["noise_rate"] = "estimated"
    else:
        values["noise_rate"] = "known"
    return {printable(str(key)).replace("_", "-"): printable(str(value))[:60] for key, value in values.items()}
