"""Test error against the noise rate, described: lines over the rates, or dots where there is one rate alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from trainer.report.description import Axis, DotPlot, Dots, Line, LineChart, nice_axis
from trainer.report.summary import SELECTED, Panel, Row, error_of, rate_text

HEADLINE_TITLES = {
    "last_test_error": "Last test error",
    SELECTED: "Test error of the epoch selected on held-out samples",
    "mean_last10_test_error": "Mean of the last 10 epochs",
    "best_test_error": "Best test error, chosen on test labels",
}
SHIFT, WIDEST_SHIFT = 0.012, 0.08
"""How far bars of one rate stand apart, and all of them together, as shares of the span of the rates."""
ERROR = "test error in %"


def error_figure(panel: Panel, headline: str, style: dict[str, int]) -> LineChart | DotPlot | None:
    """A test error of all methods by noise rate; None where no rate is known, or no row has that error."""
    rows = [row for row in panel.rows if row.noise.rate is not None and headline in row.errors]
    rates = {row.noise.rate for row in rows}
    if not rates:
        return None
    return _dot_plot(panel, rows, headline, style) if len(rates) == 1 else _line_chart(panel, rows, headline, style)


def _line_chart(panel: Panel, rows: Sequence[Row], headline: str, style: dict[str, int]) -> LineChart:
    """The paper's figure: a line per method."""
    rates = sorted({_rate(row) for row in rows})
    span = rates[-1] - rates[0]
    labels = [label for label in panel.labels() if any(row.label == label for row in rows)]
    step = span * min(SHIFT, WIDEST_SHIFT / max(len(labels) - 1, 1))
    lines = []
    for place, label in enumerate(labels):
        members = sorted((row for row in rows if row.label == label), key=_rate)
        estimates = [row.errors[headline] for row in members]
        mean = 100 * np.array([estimate.mean for estimate in estimates])
        half = 100 * np.array([np.nan if e.deviation is None else e.deviation for e in estimates])
        low, high = np.maximum(mean - half, 0), np.minimum(mean + half, 100)
        x, shift = np.array([_rate(row) for row in members]), (place - (len(labels) - 1) / 2) * step
        lines.append(Line(label, style[label], x, mean, low, high, np.arange(len(x)), shift))
    return LineChart(
        title=HEADLINE_TITLES[headline],
        note=f"{ERROR}, by noise rate",
        spoken=_spoken(panel, headline),
        x=Axis("noise rate in %", rates[0] - 0.06 * span, rates[-1] + 0.06 * span, tuple(rates)),
        y=nice_axis(ERROR, [part for line in lines for part in (line.y, line.low, line.high)]),
        lines=tuple(lines),
        spread="bars",
    )


def _dot_plot(panel: Panel, rows: Sequence[Row], headline: str, style: dict[str, int]) -> DotPlot:
    """The lowest mean first, as in the table beside it."""
    several = len({row.noise.name for row in rows}) > 1
    dots = []
    for row in sorted(rows, key=lambda row: row.errors[headline].mean):
        mean, deviation, _ = row.errors[headline]
        dots.append(
            Dots(
                label=f"{row.label}, {row.noise.name}" if several else row.label,
                style=style[row.label],
                values=tuple(100 * value for run in row.members if (value := error_of(run, headline)) is not None),
                mean=100 * mean,
                deviation=None if deviation is None else 100 * deviation,
            )
        )
    ends = [line.mean + sign * (line.deviation or 0) for line in dots for sign in (-1, 1)]
    return DotPlot(
        title=HEADLINE_TITLES[headline],
        note=f"noise {rate_text(rows[0])}; small dots: runs, below their mean ± standard deviation",
        spoken=_spoken(panel, headline),
        x=nice_axis(ERROR, [np.array(ends), *(np.array(line.values) for line in dots)], from_zero=False),
        dots=tuple(dots),
    )


def _spoken(panel: Panel, headline: str) -> str:
    def lines() -> Iterator[str]:
        for label in panel.labels():
            rows = [row for row in panel.rows if row.label == label and headline in row.errors]
            texts = [f"{row.errors[headline].percent()} at {rate_text(row)}" for row in rows]
            yield from [f"{label}: {', '.join(texts)}"] if texts else []

    title = f"{HEADLINE_TITLES[headline]}: {panel.title}"
    return f"{title}. {'; '.join(lines())}. The same figures are in the table below."


def _rate(row: Row) -> float:
    return 100 * (row.noise.rate or 0.0)
