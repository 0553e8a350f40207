"""What is drawn by epoch, described: a chart for each noise and each plotted metric that any run has.

Which metrics are plotted, and what they are called, the table of metrics says (`trainer.metrics`); no method is known
here by name.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from trainer.methods.metric import Metric
from trainer.metrics import plotted_metrics
from trainer.report.collect import FinishedRun
from trainer.report.description import Axis, Line, LineChart, nice_axis, number_axis
from trainer.report.summary import Panel, Row, heading, rate_text

MARKERS = 5
"""How many markers a curve has, so that it is known without its colour."""
MOST_RESTARTS = 50
"""Of more restarts none is marked: their lines would cover the chart."""
LARGEST = 1e12
"""Values beyond it are no figures of a training, and would break an axis."""
PERCENT = ("share", "count")
"""Units that are drawn in percent: shares, and counts as shares of the training samples."""

CurveRow = tuple[str, dict[str, LineChart]]
"""A noise as the page writes it, as "40 %", and its charts by the metric's key."""


def curve_rows(panel: Panel, style: dict[str, int]) -> tuple[CurveRow, ...]:
    """The charts of each noise of a panel; those of a metric have one y axis."""
    axes = {}
    for metric in plotted_metrics():
        curves = [curve for row in panel.rows for curve in _curves(row, metric)]
        if curves:
            axes[metric] = nice_axis("%", curves) if metric.unit in PERCENT else number_axis(metric.unit, curves)
    lines = []
    for rows in panel.by_noise().values():
        noise = rate_text(rows[0])
        charts = {m.key: _chart(rows, m, style, y, f"{panel.title}, noise {noise}") for m, y in axes.items()}
        lines.append((noise, {key: chart for key, chart in charts.items() if chart is not None}))
    return tuple(lines)


def _chart(rows: Sequence[Row], metric: Metric, style: dict[str, int], y: Axis, where: str) -> LineChart | None:
    """A metric by epoch, counted through restarts; None where no run has it."""
    drawn = [(row, curves) for row in rows if (curves := _curves(row, metric))]
    if not drawn:
        return None
    lines, restarts = [], []
    for place, (row, curves) in enumerate(drawn):
        number = style[row.label]
        lines.append(_band(row.label, number, curves, place / len(drawn)))
        starts = range(row.group.epochs, len(curves[0]), row.group.epochs)
        restarts += [(start + 0.5, number) for start in starts if len(starts) <= MOST_RESTARTS]
    last = max(float(line.x[-1]) for line in lines)
    title = heading(metric)
    ends = ", ".join(f"{line.label} {line.end()[1]:.1f} {y.label}".rstrip() for line in lines)
    return LineChart(
        title=title,
        note=", ".join(part for part in (y.label, _detail(metric)) if part),
        spoken=f"{title} by epoch, {where}; at the end {ends}. Every value is in curves.csv.",
        x=Axis("epoch (dotted: restart)" if restarts else "epoch", min(1.0, last - 1), last, _epoch_ticks(last)),
        y=y,
        lines=tuple(lines),
        spread="band",
        restarts=tuple(dict.fromkeys(restarts)),
    )


def _detail(metric: Metric) -> str:
    """What a metric is, in more words than its title."""
    if metric.unit == "count":
        return f"{metric.title}, of all training samples"
    return metric.title if metric.title != metric.name else "mean and range over runs"


def _curves(row: Row, metric: Metric) -> list[np.ndarray]:
    """The curves of a row's runs that have a value anywhere, (epochs,) float64 each, as they are drawn."""
    curves = [curve for run in row.members if (curve := _curve(run, metric)) is not None]
    return [curve for curve in curves if np.isfinite(curve).any()]


def _curve(run: FinishedRun, metric: Metric) -> np.ndarray | None:
    """A metric of a run, (epochs,) float64: in percent, or in its unit; not-a-number where it has no sensible value."""
    values = run.metrics.get(metric.key)
    if values is None:
        return None
    if metric.unit == "share":
        return np.where((values >= 0) & (values <= 1), 100 * values, np.nan)
    # the last mini-batch is filled up: an epoch's count can be a little more than the samples
    scale = 100 / run.train_records if metric.unit == "count" else 1.0
    return np.where(np.abs(values) < LARGEST, scale * values, np.nan)


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
