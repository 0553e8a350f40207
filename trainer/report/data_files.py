"""The data behind the page, as CSV and JSON. Errors, rates and shares are fractions, times seconds.

The tables are for spreadsheets too: where `safe`, a text that one would take for a formula has an apostrophe before it.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from datatools.files.write_errors import naming
from datatools.printable import formula_safe
from trainer.metrics import headline_metrics
from trainer.report.collect import FinishedRun, Group, plain_text, printable
from trainer.report.matrices import Transitions
from trainer.report.summary import SELECTED, Estimate, Panel, Row, final, headline_shares
from trainer.runs.result import HEADLINES

FORMAT_VERSION = 1


def write_csv(runs: Sequence[FinishedRun], path: Path, safe: bool = True) -> None:
    """results.csv: a line a run."""
    metrics = [metric.key for metric in headline_metrics()]
    columns = (*Group._fields[:5], "seed", *HEADLINES, "best_test_error_all_runs", *metrics, "run_directory")
    more = ("settings", "noise_type", "noise_rate", "wall_seconds", "epochs_in_all", "device")
    newer = (SELECTED, "preset", "told")
    lines = []
    for run in runs:
        results = [*(float(run.result[key]) for key in HEADLINES), run.result.best_test_error_all_runs]
        results += [final(run, key) for key in metrics]
        facts = [run.group.settings, run.noise.kind, run.noise.rate, run.result.wall_seconds]
        facts += [len(run.metrics["epoch"]), device(run)]
        facts += [run.result.selected_test_error, run.preset, run.ledger_words]
        lines.append([*run.group[:5], run.seed, *results, printable(str(run.directory)), *facts])
    _write(path, [*columns, *more, *newer], lines, safe)


def write_groups(rows: Sequence[Row], path: Path, safe: bool = True) -> None:
    """groups.csv: a line a group, mean and sample deviation of each headline figure, and the paper's value."""
    columns = [*Group._fields, "noise_type", "noise_rate", "runs"]
    shares = [metric.key for metric in headline_shares()]
    for name in (*HEADLINES, *shares, "wall_seconds"):
        columns += [f"{name}_mean", f"{name}_deviation"]
    lines = []
    for row in rows:
        cells: list[Any] = [*row.group, row.noise.kind, row.noise.rate, len(row.members)]
        figures = [*(row.errors[key] for key in HEADLINES), *(row.shares.get(key) for key in shares), row.seconds]
        for figure in figures:
            cells += [None, None] if figure is None else [figure.mean, figure.deviation]
        selected = row.errors.get(SELECTED)
        cells += [row.paper, *((None, None) if selected is None else selected[:2])]
        lines.append([*cells, row.preset, row.ledger_words])
    selected_columns = (f"{SELECTED}_mean", f"{SELECTED}_deviation")
    _write(path, [*columns, "paper_best_test_error", *selected_columns, "preset", "told"], lines, safe)


def write_curves(runs: Sequence[FinishedRun], path: Path, safe: bool = True) -> None:
    """curves.csv: a line an epoch of a run, with every column that any run's metrics.csv has."""
    names = list(dict.fromkeys(name for run in runs for name in run.metrics))
    lines = []
    for run in runs:
        for place in range(len(run.metrics["epoch"])):
            values = [run.metrics[name][place] if name in run.metrics else np.nan for name in names]
            cells = [None if np.isnan(value) else _whole(float(value)) for value in values]
            lines.append([*run.group, run.seed, place + 1, *cells])
    _write(path, [*Group._fields, "seed", "epoch_in_all", *map(printable, names)], lines, safe)


def write_matrices(matrices: Iterable[tuple[Group, Transitions]], path: Path, safe: bool = True) -> None:
    """matrices.csv: samples by clean label and label, before and after replacement; a line a cell that has any."""
    lines = []
    for group, matrix in matrices:
        for name, counts in (("before", matrix.before), ("after", matrix.after)):
            if counts is not None:
                for clean, label in np.argwhere(counts):
                    lines.append([*group, name, matrix.runs, int(clean), int(label), int(counts[clean, label])])
    _write(path, [*Group._fields, "matrix", "runs", "clean_label", "label", "samples"], lines, safe)


def write_json(
    panels: Sequence[Panel], runs: Sequence[FinishedRun], left_out: Sequence[str], files: Sequence[str], path: Path
) -> None:
    """report.json: the figures' points, the runs behind them, what was left out, and the names of all files."""
    content = {
        "format_version": FORMAT_VERSION,
        "panels": [
            {
                "dataset": panel.dataset,
                "noise_type": panel.kind,
                "network": panel.network,
                "epochs": panel.epochs,
                "points": [_point(row) for row in panel.rows],
            }
            for panel in panels
        ],
        "runs": [_run(run) for run in runs],
        "left_out": list(left_out),
        "files": list(files),
    }
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")


def _point(row: Row) -> dict[str, Any]:
    return {
        "noise_rate": row.noise.rate,
        "noise": row.noise.name,
        "method": row.group.method,
        "settings": row.group.settings,
        "seeds": [run.seed for run in row.members],
        "runs": len(row.members),
        "test_error": {key: _estimate(row.errors.get(key)) for key in (*HEADLINES, SELECTED)},
        **{metric.key: _estimate(row.shares.get(metric.key)) for metric in headline_shares()},
        "wall_seconds": _estimate(row.seconds),
        "paper_best_test_error": row.paper,
        "preset": row.preset,
        "told": row.ledger_words,
    }


def _run(run: FinishedRun) -> dict[str, Any]:
    return {
        "directory": printable(str(run.directory)),
        **run.group._asdict(),
        "seed": run.seed,
        **{key: run.result[key] for key in HEADLINES},
        "wall_seconds": run.result.wall_seconds,
        "epochs_in_all": len(run.metrics["epoch"]),
        "device": device(run),
        "versions": versions(run),
        SELECTED: run.result.selected_test_error,
        "preset": run.preset,
        "told": run.ledger_words,
    }


def versions(run: FinishedRun) -> dict[str, str]:
    """The versions of Python and packages that config.json names."""
    values = run.settings.get("versions")
    items = values.items() if isinstance(values, dict) else ()
    return {printable(name): plain_text(value) for name, value in items if value is not None}


def device(run: FinishedRun) -> str:
    """The device that config.json names, or ""."""
    return plain_text(run.settings.get("device") or "")


def _estimate(figure: Estimate | None) -> dict[str, Any] | None:
    return None if figure is None else {"mean": figure.mean, "deviation": figure.deviation}


def _whole(value: float) -> float | int:
    return int(value) if value.is_integer() and abs(value) < 2**53 else value


def _write(path: Path, columns: Sequence[str], lines: Iterable[Sequence[Any]], safe: bool) -> None:
    def cell(value: Any) -> Any:
        if isinstance(value, str):
            return formula_safe(value) if safe else value
        return "" if value is None else value

    with naming(path), path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerows(map(cell, line) for line in (columns, *lines))
