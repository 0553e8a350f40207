"""What is drawn by epoch, described: a chart for each noise and each column of metrics.csv that any run has."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from trainer.report.collect import FinishedRun
from trainer.report.description import Axis, Line, LineChart, nice_axis
from trainer.report.summary import Panel, Row, rate_text

REFURBISHED_SHARE = "refurbished_share"
CURVES = {
    "test_error": ("Test error", "mean and range over runs"),
    "label_precision": ("Label precision", "share of the clean set that is truly clean"),
    "label_recall": ("Label recall", "truly clean samples that are in the clean set"),
    REFURBISHED_SHARE: ("Labels refurbished", "share of the training samples"),
    "refurbishment_accuracy": ("Refurbished labels that are right", "share of the refurbished labels"),
}
"""Title and note of the columns that are drawn. The share is `refurbished` over the training samples."""
MARKERS = 5
"""How many markers a curve has, so that it is known without its colour."""

CurveRow = tuple[str, dict[str, LineChart]]
"""A noise as the page writes it, as "40 %", and its charts by column."""


def curve_rows(panel: Panel, style: dict[str, int]) -> tuple[CurveRow, ...]:
    """The charts of each noise of a panel; those of a column have one y axis."""
    axes = {}
    for column in CURVES:
        curves = [curve for row in panel.rows for curve in _curves(row, column)]
        if curves:
            axes[column] = nice_axis("%", curves)
    lines = []
    for rows in panel.by_noise().values():
        noise = rate_text(rows[0])
        charts = {c: _chart(rows, c, style, y, f"{panel.title}, noise {noise}") for c, y in axes.items()}
        lines.append((noise, {column: chart for column, chart in charts.items() if chart is not None}))
    return tuple(lines)


def _chart(rows: Sequence[Row], column: str, style: dict[str, int], y: Axis, where: str) -> LineChart | None:
    """A column by epoch, counted through restarts; None where no run has it."""
    drawn = [(row, curves) for row in rows if (curves := _curves(row, column))]
    if not drawn:
        return None
    lines, restarts = [], []
    for place, (row, curves) in enumerate(drawn):
        number = style[row.label]
        lines.append(_band(row.label, number, curves, place / len(drawn)))
        restarts += [(start + 0.5, number) for start in range(row.group.epochs, len(curves[0]), row.group.epochs)]
    last = max(float(line.x[-1]) for line in lines)
    title, note = CURVES[column]
    ends = ", ".join(f"{line.label} {line.end()[1]:.1f} %" for line in lines)
    return LineChart(
        title=title,
        note=f"%, {note}",
        spoken=f"{title} by epoch, {where}; at the end {ends}. Every value is in curves.csv.",
        x=Axis("epoch (dotted: restart)" if restarts else "epoch", min(1.0, last - 1), last, _epoch_ticks(last)),
        y=y,
        lines=tuple(lines),
        spread="band",
        restarts=tuple(dict.fromkeys(restarts)),
    )


def _curves(row: Row, column: str) -> list[np.ndarray]:
    """The curves of a row's runs that have a value anywhere, (epochs,) float64 each, in percent."""
    curves = [curve for run in row.members if (curve := _percent(run, column)) is not None]
    return [curve for curve in curves if np.isfinite(curve).any()]


def _percent(run: FinishedRun, column: str) -> np.ndarray | None:
    """A column of metrics.csv in percent, (epochs,) float64, or None where the run has none."""
    if column == REFURBISHED_SHARE:
        counts = run.metrics.get("refurbished")
        return None if counts is None else 100 * counts / run.train_records
    values = run.metrics.get(column)
    return None if values is None else 100 * values


def _band(label: str, style: int, curves: list[np.ndarray], offset: float) -> Line:
    """Mean and range over runs; runs of other length are cut, epochs without a value have none.

    Args:
        offset: in [0, 1), how far the markers are moved on, so that those of other lines stand elsewhere.
    """
    length = min(map(len, curves))
    values = np.array([curve[:length] for curve in curves])
    known = ~np.isnan(values)
    count = known.sum(axis=0)
    total = np.where(known, values, 0).sum(axis=0)
    mean = np.where(count > 0, total / np.maximum(count, 1), np.nan)
    several = count > 1
    low = np.where(several, np.where(known, values, np.inf).min(axis=0), np.nan)
    high = np.where(several, np.where(known, values, -np.inf).max(axis=0), np.nan)
    return Line(label, style, np.arange(1, length + 1, dtype=np.float64), mean, low, high, _marked(mean, offset))


def _marked(values: np.ndarray, offset: float) -> np.ndarray:
    """MARKERS known points at even distances; and each that is known alone, which else would not show."""
    known = np.isfinite(values)
    regular = np.unique(((np.arange(MARKERS) + offset) * len(values) / MARKERS).astype(int))
    beside = np.pad(known, 1)
    lonely = np.flatnonzero(known & ~beside[:-2] & ~beside[2:])
    return np.union1d(regular[known[regular]], lonely)


def _epoch_ticks(last: float) -> tuple[float, ...]:
    if last <= 1:
        return (1.0,)
    step = next(step for step in (1, 2, 5, 10, 20, 25, 50, 100, 200, 500, 1000, 10**6) if last / step <= 6)
    ticks = tuple(float(tick) for tick in np.arange(step, last + 1, step))
    return ticks if step == 1 else (1.0, *ticks)
