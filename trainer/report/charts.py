"""Line charts as SVG, in the colours of the page: light, dark and print need no second picture.

Each chart is drawn for a width, with type of one size: the page shows the wide one or the narrow one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from xml.etree.ElementTree import Element

import numpy as np

from trainer.report.markup import Attributes, add, number, tag
from trainer.report.series import Chart, Series
from trainer.report.style import line_style

LETTER = 6.6
"""Width of a letter of a label, in pixels: an estimate on the large side, as the font is the reader's."""
LABEL_GAP = 15.0
TOP, BOTTOM, LEFT = 20.0, 40.0, 38.0


@dataclass(frozen=True)
class Frame:
    """Where the data are on the picture: value -> pixel."""

    chart: Chart
    width: float
    height: float
    right: float

    def x(self, value: float) -> float:
        low, high = self.chart.x_range
        share = (value - low) / (high - low) if high > low else 0.5
        return LEFT + share * (self.width - LEFT - self.right)

    def y(self, value: float) -> float:
        low, high, _ = self.chart.y_range
        return self.height - BOTTOM - (value - low) / (high - low) * (self.height - TOP - BOTTOM)


def line_chart(chart: Chart, width: float, height: float, description: str) -> Element:
    """The chart as an <svg>, `width` x `height` pixels.

    Args:
        description: what a reader hears who does not see it.
    """
    # room at the right for the names of the lines that go all the way
    last = max(float(line.x[-1]) for line in chart.series)
    longest = max(len(_short(line.label)) for line in chart.series if line.x[-1] == last)
    frame = Frame(chart, width, height, right=20 + LETTER * longest)
    svg = tag("svg", {"viewBox": f"0 0 {number(width)} {number(height)}", "role": "img", "aria-label": description})
    add(svg, _axes(frame))
    add(svg, _restarts(frame))
    for place, line in enumerate(chart.series):
        # error bars at the same rate stand side by side, so that none hides another
        offset = (place - (len(chart.series) - 1) / 2) * 6 if line.bars else 0.0
        svg.append(_line(frame, line, offset))
    add(svg, _labels(frame))
    return svg


def marker(style: int, x: float, y: float, size: float = 4.2) -> Element:
    """The marker of a style, as SVG."""
    shape = line_style(style).marker
    if shape == "o":
        return tag("circle", {"class": "mark", "cx": x, "cy": y, "r": size})
    corners = {
        "s": [(-0.9, -0.9), (0.9, -0.9), (0.9, 0.9), (-0.9, 0.9)],
        "^": [(0, -1.2), (1.15, 0.9), (-1.15, 0.9)],
        "v": [(0, 1.2), (1.15, -0.9), (-1.15, -0.9)],
        "D": [(0, -1.3), (1.3, 0), (0, 1.3), (-1.3, 0)],
        "P": [(-0.5, -1.3), (0.5, -1.3), (0.5, 1.3), (-0.5, 1.3)],
        "X": [(-1.2, -1.2), (0, -0.5), (1.2, -1.2), (0.5, 0), (1.2, 1.2), (0, 0.5), (-1.2, 1.2), (-0.5, 0)],
        "p": [(0, -1.3), (1.25, -0.4), (0.75, 1.1), (-0.75, 1.1), (-1.25, -0.4)],
    }[shape]
    points = " ".join(f"{number(x + size * a)},{number(y + size * b)}" for a, b in corners)
    return tag("polygon", {"class": "mark", "points": points})


def swatch(style: int) -> Element:
    """A short piece of a line with its marker, for a legend."""
    path = tag("path", {"class": "line", "d": "M1 7H33", **_stroke(style)})
    svg = {"class": f"swatch s{style % 8}", "viewBox": "0 0 34 14", "aria-hidden": "true"}
    return tag("svg", svg, path, marker(style, 17, 7))


def _stroke(style: int) -> Attributes:
    look = line_style(style)
    dash = {"stroke-dasharray": " ".join(number(part) for part in look.dash)} if look.dash else {}
    return {"stroke-width": look.width, **dash}


def _axes(frame: Frame) -> Iterator[Element]:
    low, high, step = frame.chart.y_range
    right, base = frame.width - frame.right, frame.height - BOTTOM
    for value in np.arange(low, high + step / 2, step):
        if value > high + 1e-9:
            continue
        y = frame.y(float(value))
        yield tag(
            "path", {"class": "grid" if value > low else "axis", "d": f"M{number(LEFT)} {number(y)}H{number(right)}"}
        )
        yield tag("text", {"class": "tick", "x": LEFT - 7, "y": y + 4, "text-anchor": "end"}, f"{value:g}")
    taken = -np.inf
    for value in frame.chart.x_ticks:
        x, text = frame.x(value), f"{value:.3g}"
        if x - taken < 8 + LETTER * len(text):
            continue
        taken = x
        yield tag("path", {"class": "axis", "d": f"M{number(x)} {number(base)}v4"})
        yield tag("text", {"class": "tick", "x": x, "y": base + 17, "text-anchor": "middle"}, text)
    middle = (LEFT + right) / 2
    yield tag(
        "text", {"class": "name", "x": middle, "y": frame.height - 5, "text-anchor": "middle"}, frame.chart.x_label
    )


def _restarts(frame: Frame) -> Iterator[Element]:
    for value, style in frame.chart.restarts:
        x = frame.x(value)
        path = f"M{number(x)} {number(TOP)}V{number(frame.height - BOTTOM)}"
        yield tag("path", {"class": f"restart s{style % 8}", "d": path})


def _line(frame: Frame, line: Series, offset: float) -> Element:
    group = tag("g", f"s{line.style % 8}")
    add(group, _bars(frame, line, offset) if line.bars else _band(frame, line))
    for x, y in _stretches(line.x, line.y):
        points = [f"{number(frame.x(a) + offset)} {number(frame.y(b))}" for a, b in zip(x, y, strict=True)]
        if len(points) > 1:
            group.append(tag("path", {"class": "line", "d": "M" + "L".join(points), **_stroke(line.style)}))
        elif not line.bars:
            group.append(marker(line.style, frame.x(float(x[0])), frame.y(float(y[0])), 2.5))
    if line.bars:
        for a, b in zip(line.x, line.y, strict=True):
            group.append(marker(line.style, frame.x(float(a)) + offset, frame.y(float(b))))
    return group


def _bars(frame: Frame, line: Series, offset: float) -> Iterator[Element]:
    top = frame.chart.y_range[1]
    for x, low, high in zip(line.x, line.low, line.high, strict=True):
        if np.isfinite(low):
            ends = (frame.y(float(low)), frame.y(min(float(high), top)))
            at = frame.x(float(x)) + offset
            caps = "".join(f"M{number(at - 3)} {number(end)}h6" for end in ends)
            yield tag("path", {"class": "bar", "d": f"M{number(at)} {number(ends[0])}V{number(ends[1])}{caps}"})


def _band(frame: Frame, line: Series) -> Iterator[Element]:
    known = np.isfinite(line.low)
    for x, low in _stretches(line.x, np.where(known, line.low, np.nan)):
        first = int(np.flatnonzero(line.x == x[0])[0])
        high = line.high[first : first + len(x)]
        there = [f"{number(frame.x(a))} {number(frame.y(b))}" for a, b in zip(x, high, strict=True)]
        back = [f"{number(frame.x(a))} {number(frame.y(b))}" for a, b in zip(x[::-1], low[::-1], strict=True)]
        yield tag("path", {"class": "band", "d": "M" + "L".join(there + back) + "Z"})


def _stretches(x: np.ndarray, y: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """The parts of a line without a gap."""
    places = np.flatnonzero(np.isfinite(y))
    for part in np.split(places, np.flatnonzero(np.diff(places) > 1) + 1):
        if len(part):
            yield x[part], y[part]


def _labels(frame: Frame) -> Iterator[Element]:
    """Each line's name at its end; names that would overlap are moved apart."""
    ends: dict[int, list[tuple[float, float, Series]]] = {}
    last = frame.x(max(float(line.x[-1]) for line in frame.chart.series))
    for line in frame.chart.series:
        known = np.flatnonzero(np.isfinite(line.y))
        x, y = frame.x(float(line.x[known[-1]])), frame.y(float(line.y[known[-1]]))
        ends.setdefault(round(x), []).append((y, x, line))
    for own in ends.values():
        own.sort(key=lambda end: end[0])
        # a line that ends before others has its name above its end, where the others do not strike it through
        lift = 0.0 if own[0][1] > last - 1 else 10.0
        places = spread([y - lift for y, _, _ in own], TOP - 10, frame.height - BOTTOM - 6)
        for place, (_, x, line) in zip(places, own, strict=True):
            at: Attributes = {"class": f"label s{line.style % 8}", "x": x + (20 if line.bars else 7), "y": place + 4}
            yield tag("text", at, _short(line.label))


def spread(wanted: list[float], low: float, high: float) -> list[float]:
    """Ascending places near the ascending `wanted`, LABEL_GAP apart and from `low` to `high` where there is room."""
    places = list(wanted)
    for _ in range(200):
        moved = False
        for first in range(len(places) - 1):
            lack = LABEL_GAP - (places[first + 1] - places[first])
            if lack > 0.05:
                places[first] -= lack / 2
                places[first + 1] += lack / 2
                moved = True
        if places[0] < low:
            places[0], moved = low, moved or low - places[0] > 0.05
        if places[-1] > high:
            places[-1], moved = high, moved or places[-1] - high > 0.05
        if not moved:
            break
    return places


def _short(label: str, limit: int = 20) -> str:
    return label if len(label) <= limit else f"{label[: limit - 1]}…"
