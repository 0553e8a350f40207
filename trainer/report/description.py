"""What a figure shows, as data: built once from the runs, drawn as SVG for the page and by matplotlib for papers.

A description holds no pixel and no inch. Shares are in percent (those of matrices are fractions), a look is a number
in `style.STYLES`, and `spoken` is what a reader hears who does not see the figure.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np


@dataclass(frozen=True)
class Axis:
    """An axis.

    Attributes:
        label: what it shows, with its unit. low, high: its ends. ticks: the values with a number, ascending.
    """

    label: str
    low: float
    high: float
    ticks: tuple[float, ...]

    def position(self, value: float) -> float:
        """Where a value is between the ends: 0 at the low one, 1 at the high one."""
        return (value - self.low) / (self.high - self.low) if self.high > self.low else 0.5


def nice_axis(label: str, values: Sequence[np.ndarray], from_zero: bool = True) -> Axis:
    """An axis in percent that holds all values, with a few round ticks.

    Args:
        from_zero: whether it begins at 0 unless that would leave most of it empty; else it is as short as it can be.
    """
    bottom, top = (float(end(np.concatenate(values))) for end in (np.nanmin, np.nanmax))
    if from_zero:
        bottom = 0.0 if bottom < max(top / 2, 30.0) else min(bottom, top - 4)
        span = max(top - bottom, 4.0)
    else:
        span = max(top - bottom, 1.0)
        bottom, top = max(bottom - 0.04 * span, 0.0), min(top + 0.04 * span, 100.0)
    step = next(step for step in (0.2, 0.5, 1, 2, 5, 10, 20, 25, 50) if span / step <= 5 or step == 50)
    low = step * np.floor(bottom / step + 1e-9)
    high = min(max(step * np.ceil(top / step - 1e-9), low + step), 100.0)
    low = min(low, high - step)
    ticks = np.round(np.arange(low, high + step / 2, step), 6).tolist()
    return Axis(label, ticks[0], ticks[-1], tuple(ticks))


def number_axis(label: str, values: Sequence[np.ndarray]) -> Axis:
    """An axis of numbers that holds all values, with a few round ticks."""
    bottom, top = (float(end(np.concatenate(values))) for end in (np.nanmin, np.nanmax))
    span = top - bottom or abs(top) or 1.0
    power = 10.0 ** np.floor(np.log10(span / 5))
    step = float(next(factor * power for factor in (1, 2, 5, 10) if span / (factor * power) <= 5))
    low, high = np.floor(bottom / step + 1e-9), np.ceil(top / step - 1e-9)
    ticks = np.arange(low, max(high, low + 1) + 1) * step
    return Axis(label, float(ticks[0]), float(ticks[-1]), tuple(ticks.tolist()))


@dataclass(frozen=True)
class Line:
    """A line of a chart.

    Attributes:
        label: its name. style: its number in `style.STYLES`. x, y: (n,) float64, y not-a-number at a gap.
        low, high: (n,) float64, ends of its bars or edges of its band; not-a-number where there is none.
        marked: (m,) int64, the points that carry its marker. shift: how far along x it is drawn beside its place, so
            that no bar hides another.
    """

    label: str
    style: int
    x: np.ndarray
    y: np.ndarray
    low: np.ndarray
    high: np.ndarray
    marked: np.ndarray
    shift: float = 0.0

    def end(self) -> tuple[float, float]:
        """The last point that is known, where it is drawn."""
        last = int(np.flatnonzero(np.isfinite(self.y))[-1])
        return float(self.x[last]) + self.shift, float(self.y[last])


@dataclass(frozen=True)
class LineChart:
    """Lines over a number.

    Attributes:
        title, note: what it shows, and how to read it. spread: how lines show theirs.
        restarts: (x, style) of the places where a method starts afresh.
    """

    title: str
    note: str
    spoken: str
    x: Axis
    y: Axis
    lines: tuple[Line, ...]
    spread: Literal["bars", "band"]
    restarts: tuple[tuple[float, int], ...] = ()


@dataclass(frozen=True)
class Dots:
    """A row of a dot plot: the values of its runs, their mean, and their deviation (None of a single run)."""

    label: str
    style: int
    values: tuple[float, ...]
    mean: float
    deviation: float | None


@dataclass(frozen=True)
class DotPlot:
    """Runs as dots on the lines of their methods, top to bottom, where there is one noise rate alone."""

    title: str
    note: str
    spoken: str
    x: Axis
    dots: tuple[Dots, ...]


@dataclass(frozen=True)
class HeatMap:
    """A matrix whose cells can be read one by one.

    Attributes:
        shares: (K, K) float64 in [0, 1]. names: of the K classes. row_label, column_label: what rows and columns are.
    """

    title: str
    note: str
    spoken: str
    shares: np.ndarray
    names: tuple[str, ...]
    row_label: str
    column_label: str


@dataclass(frozen=True)
class Confusion:
    """A cell off the diagonal: `count` samples of class `source` that count as `target`, a share of all of `source`."""

    source: str
    target: str
    share: float
    count: int


@dataclass(frozen=True)
class Ranking:
    """The largest confusions of a matrix of more classes than a heat map can name, the largest share first."""

    title: str
    note: str
    confusions: tuple[Confusion, ...]
    row_label: str
    column_label: str
