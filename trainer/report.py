"""Finished runs side by side: a table, results.csv and learning curves.

Runs that differ in nothing but seeds (of the noise, of the training) form a group; a group is a line of the table.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from trainer.errors import TrainerError
from trainer.run_log import CONFIG_FILE, METRICS_FILE, RESULT_FILE

HEADLINES = ("best_test_error", "last_test_error", "mean_last10_test_error")


class Group(NamedTuple):
    """What the runs of one line of the table share."""

    dataset: str
    noise: str
    network: str
    method: str
    epochs: int


@dataclass(frozen=True)
class FinishedRun:
    """A finished run, read back.

    Attributes:
        result: result.json. metrics: each column of metrics.csv as (epochs of all restarts,) float64, with
            not-a-number where a cell is empty.
    """

    directory: Path
    group: Group
    seed: int
    train_records: int
    result: dict[str, Any]
    metrics: dict[str, np.ndarray]


def collect(paths: Iterable[Path]) -> tuple[list[FinishedRun], list[str]]:
    """The finished runs at or below `paths`, and a notice for each that cannot be read.

    Raises:
        TrainerError: there is not one.
    """
    runs, notices = {}, []
    for path in paths:
        directories = sorted(file.parent for file in path.glob(f"**/{CONFIG_FILE}"))
        if not directories:
            notices.append(f"{path}: no run there; name a run directory that `trainer run` made, or a folder of them")
        for directory in directories:
            try:
                runs[directory.resolve()] = _read(directory)
            except (OSError, ValueError, LookupError, TypeError) as error:
                what = "not finished" if not (directory / RESULT_FILE).is_file() else f"cannot be read ({error})"
                notices.append(f"{directory}: {what}; left out")
    if not runs:
        raise TrainerError("; ".join(notices))
    return sorted(runs.values(), key=lambda run: (run.group, run.seed)), notices


def _read(directory: Path) -> FinishedRun:
    config = json.loads((directory / CONFIG_FILE).read_text(encoding="utf-8"))
    result = json.loads((directory / RESULT_FILE).read_text(encoding="utf-8"))
    for key in HEADLINES:
        float(result[key])
    with (directory / METRICS_FILE).open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    metrics = {key: np.array([float(row[key] or "nan") for row in rows]) for key in rows[0]}
    if not {"epoch", "test_error"} <= metrics.keys():
        raise ValueError(f"{METRICS_FILE} has no test errors")
    noise = config["dataset"]["noise"]
    rate = "" if noise is None or noise["rate"] is None else f" {noise['rate']:g}"
    group = Group(
        dataset=config["dataset"]["name"] if noise is None else noise["parent"]["name"],
        noise="none" if noise is None else f"{noise['type']}{rate}",
        network=str(config["network"]),
        method=str(config["method"]),
        epochs=int(config["epochs"]),
    )
    return FinishedRun(directory, group, int(config["seed"]), int(config["dataset"]["train_records"]), result, metrics)


def groups(runs: Sequence[FinishedRun]) -> dict[Group, list[FinishedRun]]:
    """The runs of each group, in order."""
    found: dict[Group, list[FinishedRun]] = {}
    for run in runs:
        found.setdefault(run.group, []).append(run)
    return found


def table(runs: Sequence[FinishedRun]) -> list[str]:
    """Lines of text: a group each, mean ± standard deviation over its runs, in percent."""
    header = (
        "dataset",
        "noise",
        "network",
        "method",
        "runs",
        "best",
        "last",
        "mean last 10",
        "labels refurbished right",
    )
    rows: list[tuple[str, ...]] = [header]
    for group, members in groups(runs).items():
        figures = [_mean_deviation([100 * run.result[key] for run in members]) for key in HEADLINES]
        accuracy = [100 * value for run in members if (value := _final(run, "refurbishment_accuracy")) is not None]
        refurbished = _mean_deviation(accuracy) if accuracy else "-"
        rows.append((group.dataset, group.noise, group.network, group.method, str(len(members)), *figures, refurbished))
    widths = [max(len(row[column]) for row in rows) for column in range(len(header))]
    return ["test error in %, mean ± standard deviation over runs"] + [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    ]


def _mean_deviation(values: list[float]) -> str:
    deviation = f" ± {np.std(values, ddof=1):.1f}" if len(values) > 1 else ""
    return f"{np.mean(values):.1f}{deviation}"


def _final(run: FinishedRun, column: str) -> float | None:
    """The last epoch's value of a column that the run has."""
    values = run.metrics.get(column, np.array([np.nan]))
    return None if np.isnan(values[-1]) else float(values[-1])


def write_csv(runs: Sequence[FinishedRun], path: Path) -> None:
    """results.csv: a line a run, errors and rates as fractions."""
    columns = (*Group._fields, "seed", *HEADLINES, "best_test_error_all_runs", "refurbished", "refurbishment_accuracy")
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([*columns, "run_directory"])
        for run in runs:
            results = [run.result.get(key) for key in (*HEADLINES, "best_test_error_all_runs")]
            refurbished = [_final(run, key) for key in ("refurbished", "refurbishment_accuracy")]
            cells = [*run.group, run.seed, *results, *refurbished, run.directory]
            writer.writerow(["" if cell is None else cell for cell in cells])


def draw(runs: Sequence[FinishedRun], path: Path) -> None:
    """learning-curves.png: a row of pictures for each dataset, noise and network.

    Left, test error by epoch, counted through restarts: the mean over runs, and their range as a band. Right, for
    methods that refurbish, the share of training samples with a refurbished label, and how many of those are right.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    panels: dict[tuple[str, str, str], list[tuple[Group, list[FinishedRun]]]] = {}
    for group, members in groups(runs).items():
        panels.setdefault((group.dataset, group.noise, group.network), []).append((group, members))
    figure, axes = plt.subplots(len(panels), 2, figsize=(11, 4 * len(panels)), squeeze=False, layout="constrained")
    for (left, right), (title, lines) in zip(axes, panels.items(), strict=True):
        _draw_errors(left, title, lines)
        _draw_refurbishment(right, lines)
    figure.savefig(path, dpi=120)
    plt.close(figure)


def _draw_errors(axes: Any, title: tuple[str, str, str], lines: list[tuple[Group, list[FinishedRun]]]) -> None:
    for number, (group, members) in enumerate(lines):
        _band(
            axes, members, "test_error", f"{group.method}, {len(members)} run{'s' * (len(members) > 1)}", f"C{number}"
        )
        for restart in range(group.epochs, len(members[0].metrics["epoch"]), group.epochs):
            axes.axvline(restart + 0.5, color=f"C{number}", linestyle=":", linewidth=1)
    axes.set(title="{}, noise {}, {}".format(*title), xlabel="epoch (dotted: restart)", ylabel="test error in %")
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)
    axes.legend()


def _draw_refurbishment(axes: Any, lines: list[tuple[Group, list[FinishedRun]]]) -> None:
    drawn = False
    for number, (group, members) in enumerate(lines):
        if "refurbished" not in members[0].metrics:
            continue
        drawn = True
        _band(axes, members, "refurbished_share", f"{group.method}: samples refurbished", f"C{number}", "--")
        if "refurbishment_accuracy" in members[0].metrics:
            _band(axes, members, "refurbishment_accuracy", f"{group.method}: of those, right", f"C{number}")
    axes.set_axis_on() if drawn else axes.set_axis_off()
    if drawn:
        axes.set(title="refurbished labels", xlabel="epoch", ylabel="%", ylim=(0, 102))
        axes.grid(alpha=0.3)
        axes.legend(loc="lower right")


def _band(axes: Any, members: list[FinishedRun], column: str, label: str, colour: str, style: str = "-") -> None:
    """The mean of a column over runs as a line, their range as a band; runs of other length are cut."""
    curves = [_percent(run, column) for run in members]
    length = min(map(len, curves))
    values = np.array([curve[:length] for curve in curves])
    epochs = np.arange(1, length + 1)
    axes.plot(epochs, values.mean(axis=0), style, color=colour, label=label)
    if len(members) > 1:
        axes.fill_between(epochs, values.min(axis=0), values.max(axis=0), color=colour, alpha=0.15, linewidth=0)


def _percent(run: FinishedRun, column: str) -> np.ndarray:
    if column == "refurbished_share":
        return 100 * run.metrics["refurbished"] / run.train_records
    return 100 * run.metrics[column]
