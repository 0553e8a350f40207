"""Dot plots as SVG: the runs of one noise rate, a method on each line."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from xml.etree.ElementTree import Element

from trainer.report.description import DotPlot, Dots
from trainer.report.label_layout import LETTER, WIDEST
from trainer.report.markers import marker
from trainer.report.markup import Attributes, add, number, shorten, tag
from trainer.report.style import style_class

TOP, BOTTOM, SIDE = 6.0, 40.0, 16.0
RUNS_BELOW = 9.0
"""How far below their mean the runs' dots stand, so that it hides none."""


@dataclass(frozen=True)
class Frame:
    """Where the data are on the picture: value -> pixel.

    Attributes:
        beside: whether names stand left of the lines; else above them, where they are too long for that.
    """

    plot: DotPlot
    width: float
    beside: bool

    @property
    def left(self) -> float:
        return 12 + LETTER * max(len(line.label) for line in self.plot.dots) if self.beside else SIDE

    @property
    def gap(self) -> float:
        return 34.0 if self.beside else 50.0

    @property
    def base(self) -> float:
        return TOP + self.gap * len(self.plot.dots)

    def x(self, value: float) -> float:
        return self.left + self.plot.x.position(value) * (self.width - SIDE - self.left)

    def y(self, place: int) -> float:
        return TOP + self.gap * (place + 0.5) + (0.0 if self.beside else 6.0)


def dot_plot(plot: DotPlot, width: float) -> Element:
    """The plot as an <svg> of a width; its height follows from the number of lines."""
    beside = 12 + LETTER * max(len(line.label) for line in plot.dots) <= WIDEST * width
    frame = Frame(plot, width, beside)
    view = f"0 0 {number(width)} {number(frame.base + BOTTOM)}"
    svg = tag("svg", {"viewBox": view, "role": "img", "aria-label": plot.spoken})
    add(svg, _axes(frame))
    for place, line in enumerate(plot.dots):
        add(svg, _dots(frame, line, frame.y(place)))
    return svg


def _axes(frame: Frame) -> Iterator[Element]:
    left, right, base = frame.left, frame.width - SIDE, frame.base
    for value in frame.plot.x.ticks:
        x = frame.x(value)
        yield tag("path", {"class": "grid", "d": f"M{number(x)} {number(TOP)}V{number(base)}"})
        yield tag("text", {"class": "tick", "x": x, "y": base + 17, "text-anchor": "middle"}, f"{value:g}")
    yield tag("path", {"class": "axis", "d": f"M{number(left)} {number(base)}H{number(right)}"})
    name: Attributes = {"class": "name", "x": (left + right) / 2, "y": base + BOTTOM - 5, "text-anchor": "middle"}
    yield tag("text", name, frame.plot.x.label)


def _dots(frame: Frame, line: Dots, y: float) -> Iterator[Element]:
    kind = style_class(line.style)
    yield tag("path", {"class": "axis", "d": f"M{number(frame.left)} {number(y)}H{number(frame.width - SIDE)}"})
    group = tag("g", kind)
    if line.deviation is not None:
        ends = [frame.x(min(max(line.mean + side * line.deviation, 0.0), 100.0)) for side in (-1, 1)]
        caps = "".join(f"M{number(end)} {number(y - 4)}v8" for end in ends)
        path = f"M{number(ends[0])} {number(y)}H{number(ends[1])}{caps}"
        group.append(tag("path", {"class": "deviation-bar", "d": path}))
    group.append(marker(line.style, frame.x(line.mean), y, 5.0))
    for value in line.values:
        group.append(tag("circle", {"class": "run", "cx": frame.x(value), "cy": y + RUNS_BELOW, "r": 2.4}))
    yield group
    place: Attributes = {"x": frame.left - 8, "y": y + 4, "text-anchor": "end"}
    if not frame.beside:
        place = {"x": frame.left, "y": y - 11}
    limit = int((frame.width - 2 * SIDE) / LETTER)
    yield tag("text", {"class": f"label {kind}", **place}, shorten(line.label, limit))
