"""Line charts as SVG, in the colours of the page: light, dark and print need no second picture.

Each chart is drawn for a width, with type of one size: the page shows the wide one or the narrow one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from xml.etree.ElementTree import Element

import numpy as np

from trainer.report.description import Line, LineChart
from trainer.report.label_layout import LEADER, LETTER, label_column, spread
from trainer.report.markers import line_look, marker
from trainer.report.markup import Attributes, add, number, tag
from trainer.report.style import style_class

TOP, BOTTOM, LEFT, RIGHT = 20.0, 40.0, 38.0, 14.0


@dataclass(frozen=True)
class Frame:
    """Where the data are on the picture: value -> pixel."""

    chart: LineChart
    width: float
    height: float

    @cached_property
    def column(self) -> float | None:
        """Width of the column of names, or None where the chart has none."""
        return label_column(self.chart, self.width, self.base - TOP)

    @property
    def right(self) -> float:
        return self.width - (self.column or RIGHT)

    @property
    def base(self) -> float:
        return self.height - BOTTOM

    def x(self, value: float) -> float:
        return LEFT + self.chart.x.position(value) * (self.right - LEFT)

    def y(self, value: float) -> float:
        return self.base - self.chart.y.position(value) * (self.base - TOP)

    def point(self, x: float, y: float) -> str:
        return f"{number(self.x(x))} {number(self.y(y))}"


def line_chart(chart: LineChart, width: float, height: float) -> Element:
    """The chart as an <svg>, `width` x `height` pixels; its lines are named where there is room (`is_labelled`)."""
    frame = Frame(chart, width, height)
    view = f"0 0 {number(width)} {number(height)}"
    svg = tag("svg", {"viewBox": view, "role": "img", "aria-label": chart.spoken})
    add(svg, _axes(frame))
    add(svg, _restarts(frame))
    for line in chart.lines:
        svg.append(_line(frame, line))
    if is_labelled(chart, width, height):
        add(svg, _labels(frame))
    return svg


def is_labelled(chart: LineChart, width: float, height: float) -> bool:
    """Whether the lines have their names at their ends; else the chart needs a legend."""
    return Frame(chart, width, height).column is not None


def _axes(frame: Frame) -> Iterator[Element]:
    chart, right, base = frame.chart, frame.right, frame.base
    for value in chart.y.ticks:
        y = frame.y(value)
        kind = "grid" if value > chart.y.low else "axis"
        yield tag("path", {"class": kind, "d": f"M{number(LEFT)} {number(y)}H{number(right)}"})
        yield tag("text", {"class": "tick", "x": LEFT - 7, "y": y + 4, "text-anchor": "end"}, f"{value:g}")
    taken = -np.inf
    for value in chart.x.ticks:
        x, text = frame.x(value), f"{value:.3g}"
        if x - taken < 8 + LETTER * len(text):
            continue
        taken = x
        yield tag("path", {"class": "axis", "d": f"M{number(x)} {number(base)}v4"})
        yield tag("text", {"class": "tick", "x": x, "y": base + 17, "text-anchor": "middle"}, text)
    name: Attributes = {"class": "name", "x": (LEFT + right) / 2, "y": frame.height - 5, "text-anchor": "middle"}
    yield tag("text", name, chart.x.label)


def _restarts(frame: Frame) -> Iterator[Element]:
    for value, style in frame.chart.restarts:
        path = f"M{number(frame.x(value))} {number(TOP)}V{number(frame.base)}"
        yield tag("path", {"class": f"restart {style_class(style)}", "d": path})


def _line(frame: Frame, line: Line) -> Element:
    group = tag("g", style_class(line.style))
    x, bars = line.x + line.shift, frame.chart.spread == "bars"
    add(group, _bars(frame, line) if bars else _band(frame, line))
    for part in _stretches(line.y):
        if part.stop - part.start > 1:
            points = "L".join(frame.point(*point) for point in zip(x[part], line.y[part], strict=True))
            group.append(tag("path", {"class": "line", "d": f"M{points}", **line_look(line.style)}))
    for place in line.marked:
        group.append(marker(line.style, frame.x(x[place]), frame.y(line.y[place]), 4.2 if bars else 3.0))
    return group


def _bars(frame: Frame, line: Line) -> Iterator[Element]:
    for x, low, high in zip(line.x + line.shift, line.low, line.high, strict=True):
        if np.isfinite(low):
            at, ends = frame.x(x), (frame.y(low), frame.y(high))
            caps = "".join(f"M{number(at - 3)} {number(end)}h6" for end in ends)
            yield tag("path", {"class": "bar", "d": f"M{number(at)} {number(ends[0])}V{number(ends[1])}{caps}"})


def _band(frame: Frame, line: Line) -> Iterator[Element]:
    for part in _stretches(line.low):
        above = [frame.point(*point) for point in zip(line.x[part], line.high[part], strict=True)]
        below = [frame.point(*point) for point in zip(line.x[part], line.low[part], strict=True)]
        yield tag("path", {"class": "band", "d": f"M{'L'.join(above + below[::-1])}Z"})


def _stretches(values: np.ndarray) -> Iterator[slice]:
    """The parts without a gap."""
    known = np.flatnonzero(np.isfinite(values))
    for part in np.split(known, np.flatnonzero(np.diff(known) > 1) + 1):
        if len(part):
            yield slice(int(part[0]), int(part[-1]) + 1)


def _labels(frame: Frame) -> Iterator[Element]:
    """Each line's name in the column at the right, and a thin line that leads to it from the line's end."""
    lines = sorted(frame.chart.lines, key=lambda line: -line.end()[1])
    places = spread([frame.y(line.end()[1]) for line in lines], TOP - 10, frame.base - 4)
    for place, line in zip(places, lines, strict=True):
        x, kind = frame.right + LEADER - 4, style_class(line.style)
        path = f"M{frame.point(*line.end())}H{number(frame.right)}L{number(x - 4)} {number(place)}"
        yield tag("path", {"class": f"leader {kind}", "d": path})
        yield tag("text", {"class": f"label {kind}", "x": x, "y": place + 4}, line.label)
