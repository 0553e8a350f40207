"""The figures as data: what the page draws as SVG and `figures` for papers. Values are in percent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from trainer.report.collect import FinishedRun, method_rank
from trainer.report.summary import Panel, Row

HEADLINE_TITLES = {
    "best_test_error": "Best test error",
    "last_test_error": "Last test error",
    "mean_last10_test_error": "Mean of the last 10 epochs",
}
REFURBISHED_SHARE = "refurbished_share"
CURVES = {
    "test_error": "Test error",
    "label_precision": "Label precision",
    "label_recall": "Label recall",
    REFURBISHED_SHARE: "Labels refurbished",
    "refurbishment_accuracy": "Refurbished labels that are right",
}
"""Columns of metrics.csv that are drawn by epoch. The share is `refurbished` over the training samples."""
CURVE_NOTES = {
    "test_error": "mean and range over runs",
    "label_precision": "share of the clean set that is truly clean",
    "label_recall": "truly clean samples that are in the clean set",
    REFURBISHED_SHARE: "share of the training samples",
    "refurbishment_accuracy": "share of the refurbished labels",
}


@dataclass(frozen=True)
class Series:
    """A line of a chart.

    Attributes:
        label: its name. style: its number in `style.STYLES`. x, y: (n,) float64.
        low, high: (n,) float64, ends of the bars (`bars`) or edges of the band; not-a-number where there is none.
    """

    label: str
    style: int
    x: np.ndarray
    y: np.ndarray
    low: np.ndarray
    high: np.ndarray
    bars: bool


@dataclass(frozen=True)
class Chart:
    """A line chart.

    Attributes:
        x_ticks: values of the x axis with a number. y_range: its ends and the step of its ticks.
        restarts: (x, style) of the places where a method starts afresh.
    """

    title: str
    x_label: str
    y_label: str
    series: tuple[Series, ...]
    x_ticks: tuple[float, ...]
    x_range: tuple[float, float]
    y_range: tuple[float, float, float]
    restarts: tuple[tuple[float, int], ...] = field(default=())


def styles(panels: Sequence[Panel]) -> dict[str, int]:
    """The style of each line of all panels: a method keeps its own, whatever else is in the report."""
    found: dict[str, int] = {}
    extra = 4
    for panel in panels:
        for row in sorted(panel.rows, key=lambda row: (method_rank(row.group.method), row.label)):
            if row.label in found:
                continue
            own = method_rank(row.group.method)[0]
            if own < 4 and own not in found.values():
                found[row.label] = own
            else:
                found[row.label], extra = extra, extra + 1
    return found


def error_against_rate(panel: Panel, headline: str, style: dict[str, int]) -> Chart | None:
    """The paper's figure: a test error against the noise rate, a line per method; None where no rate is known."""
    lines = []
    for label in panel.labels():
        rows = sorted((row for row in panel.rows if row.label == label and row.noise.rate is not None), key=_rate)
        if not rows:
            continue
        estimates = [row.errors[headline] for row in rows]
        mean = 100 * np.array([own.mean for own in estimates])
        half = 100 * np.array([np.nan if own.deviation is None else own.deviation for own in estimates])
        x = 100 * np.array([_rate(row) for row in rows])
        lines.append(Series(label, style[label], x, mean, np.maximum(mean - half, 0), mean + half, bars=True))
    if not lines:
        return None
    rates = sorted({float(x) for line in lines for x in line.x})
    spread = max(rates[-1] - rates[0], 1.0)
    return Chart(
        title=f"{HEADLINE_TITLES[headline]}: {panel.title}",
        x_label="noise rate in %",
        y_label="test error in %",
        series=tuple(lines),
        x_ticks=tuple(rates),
        x_range=(rates[0] - 0.06 * spread, rates[-1] + 0.06 * spread),
        y_range=_y_range([part for line in lines for part in (line.y, line.low, line.high)]),
    )


def learning_curves(
    rows: Sequence[Row], column: str, style: dict[str, int], y_range: tuple[float, float, float] | None = None
) -> Chart | None:
    """A column of metrics.csv by epoch, counted through restarts; None where no run has it.

    Args:
        y_range: of the y axis, so that charts side by side agree (`curve_range`); None to take it from the lines.
    """
    lines, restarts = [], []
    for row in rows:
        curves = _curves(row, column)
        if not curves:
            continue
        lines.append(_band(row.label, style[row.label], curves))
        restarts += [
            (start + 0.5, style[row.label]) for start in range(row.group.epochs, len(curves[0]), row.group.epochs)
        ]
    if not lines:
        return None
    last = max(float(line.x[-1]) for line in lines)
    return Chart(
        title=CURVES[column],
        x_label="epoch",
        y_label="%",
        series=tuple(lines),
        x_ticks=tuple(_epoch_ticks(last)),
        x_range=(min(1.0, last - 1), last),
        y_range=y_range or _y_range([part for line in lines for part in (line.y, line.low, line.high)]),
        restarts=tuple(dict.fromkeys(restarts)),
    )


def curve_range(rows: Sequence[Row], column: str) -> tuple[float, float, float] | None:
    """Ends and step of a y axis that holds a column's curves of all rows; None where no run has it."""
    curves = [curve for row in rows for curve in _curves(row, column)]
    return _y_range(curves) if curves else None


def _curves(row: Row, column: str) -> list[np.ndarray]:
    """The curves of a row's runs that have a value anywhere, (epochs,) float64 each, in percent."""
    found = [curve for run in row.members if (curve := percent(run, column)) is not None]
    return [curve for curve in found if np.isfinite(curve).any()]


def percent(run: FinishedRun, column: str) -> np.ndarray | None:
    """A column of metrics.csv in percent, (epochs,) float64, or None where the run has none."""
    if column == REFURBISHED_SHARE:
        counts = run.metrics.get("refurbished")
        return None if counts is None else 100 * counts / run.train_records
    values = run.metrics.get(column)
    return None if values is None else 100 * values


def _rate(row: Row) -> float:
    return row.noise.rate or 0.0


def _band(label: str, style: int, curves: list[np.ndarray]) -> Series:
    """Mean and range over runs; runs of other length are cut, epochs without a value have none."""
    length = min(map(len, curves))
    values = np.array([curve[:length] for curve in curves])
    known = ~np.isnan(values)
    count = known.sum(axis=0)
    total = np.where(known, values, 0).sum(axis=0)
    mean = np.where(count > 0, total / np.maximum(count, 1), np.nan)
    several = count > 1
    low = np.where(several, np.where(known, values, np.inf).min(axis=0), np.nan)
    high = np.where(several, np.where(known, values, -np.inf).max(axis=0), np.nan)
    return Series(label, style, np.arange(1, length + 1, dtype=np.float64), mean, low, high, bars=False)


def _y_range(values: Sequence[np.ndarray]) -> tuple[float, float, float]:
    """Ends and step of an axis that holds all values; it starts at 0 unless that would leave most of it empty."""
    top, bottom = (float(end(np.concatenate(values))) for end in (np.nanmax, np.nanmin))
    bottom = 0.0 if bottom < max(top / 2, 30.0) else min(bottom, top - 4)
    spread = max(top - bottom, 4.0)
    step = next(step for step in (1, 2, 5, 10, 20, 25, 50) if spread / step <= 5 or step == 50)
    first = step * np.floor(bottom / step + 1e-9)
    return float(first), float(min(max(step * np.ceil(top / step - 1e-9), first + step), 100.0)), float(step)


def _epoch_ticks(last: float) -> list[float]:
    if last <= 1:
        return [1.0]
    step = next(step for step in (1, 2, 5, 10, 20, 25, 50, 100, 200, 500, 1000, 10**6) if last / step <= 6)
    ticks = [float(tick) for tick in np.arange(step, last + 1, step)]
    return ticks if step == 1 else [1.0, *ticks]
