"""Matrices in the page: heat maps in SVG, with a number in each cell that shows, and rankings as tables."""

from __future__ import annotations

from collections.abc import Iterator
from xml.etree.ElementTree import Element

import numpy as np

from trainer.report.description import HeatMap, Ranking
from trainer.report.markup import Attributes, add, breakable, number, shorten, tag
from trainer.report.style import HEAT_TICKS, heat

SIDE = 300.0
LETTER = 6.6
"""Width of a letter of a name, in pixels: an estimate on the large side, as the font is the reader's."""
STRAIGHT = 3
"""Up to so many letters a name above a column stands upright."""
NAME = 12
"""Letters of a name beside the map; the numbers of all cells are in the files with whole names."""


def heat_map(figure: HeatMap) -> Element:
    """The matrix as an <svg>."""
    names = [shorten(name, NAME) for name in figure.names]
    longest = max(map(len, names))
    left, top = 12 + LETTER * longest, 24 if longest <= STRAIGHT else 14 + 0.71 * LETTER * longest
    width, height = left + SIDE + 18, top + SIDE + 22
    view = f"0 0 {number(width)} {number(height)}"
    svg = tag("svg", {"viewBox": view, "role": "img", "aria-label": figure.spoken})
    svg.set("style", f"max-width:{number(width)}px")
    add(svg, _cells(figure.shares, left, top))
    svg.append(tag("rect", {"class": "frame", "x": left, "y": top, "width": SIDE, "height": SIDE}))
    add(svg, _ticks(names, left, top))
    # below: what is what, on one line
    caption = f"rows: {figure.row_label} · columns: {figure.column_label}"
    svg.append(tag("text", {"class": "name", "x": left + SIDE / 2, "y": height - 5, "text-anchor": "middle"}, caption))
    return svg


def heat_scale() -> Element:
    """The shades of some shares."""
    scale = tag("p", "scale", tag("span", None, "Share of the class"))
    for share in HEAT_TICKS:
        shade = f"{heat(share):.3f}"
        box = tag("rect", {"class": "heat", "width": 14, "height": 14, "rx": 2, "fill-opacity": shade})
        svg = tag("svg", {"viewBox": "0 0 14 14", "aria-hidden": "true"}, box)
        scale.append(tag("span", None, svg, f"{100 * share:.0f} %"))
    return scale


def ranking_table(ranking: Ranking) -> Element:
    """The confusions as lines of a table, with bars as long as their shares are of the largest."""
    head = tag("tr", None, tag("th", {"scope": "col"}, f"{ranking.row_label} → {ranking.column_label}"))
    add(head, [tag("th", {"scope": "col", "class": "n"}, name) for name in ("share, %", "count")])
    body = tag("tbody")
    for confusion in ranking.confusions:
        bar = tag("rect", {"class": "heat", "width": 100 * confusion.share / ranking.confusions[0].share, "height": 4})
        view = {"class": "share", "viewBox": "0 0 100 4", "preserveAspectRatio": "none", "aria-hidden": "true"}
        name = tag(
            "th", {"scope": "row"}, *breakable(f"{confusion.source} → {confusion.target}"), tag("svg", view, bar)
        )
        share, count = (tag("td", "n", text) for text in (f"{100 * confusion.share:.1f}", f"{confusion.count:,}"))
        body.append(tag("tr", None, name, share, count))
    return tag("table", "confusions", tag("thead", None, head), body)


def _cells(shares: np.ndarray, left: float, top: float) -> Iterator[Element]:
    side = SIDE / len(shares)
    for (row, column), share in np.ndenumerate(shares):
        x, y, shade = left + column * side, top + row * side, f"{heat(share):.3f}"
        if share > 0:
            box: Attributes = {"x": x, "y": y, "width": side, "height": side}
            yield tag("rect", {"class": "heat", "fill-opacity": shade, **box})
        if share >= 0.005:
            # the number's colour: what reads on the shade, on light paper and on dark
            kind = "deep" if share > 0.5 else "half" if share > 0.4 else "pale"
            place: Attributes = {"x": x + side / 2, "y": y + side / 2 + 3.5, "text-anchor": "middle"}
            yield tag("text", {"class": f"cell {kind}", **place}, f"{100 * share:.0f}")


def _ticks(names: list[str], left: float, top: float) -> Iterator[Element]:
    straight = max(map(len, names)) <= STRAIGHT
    for place, text in enumerate(names):
        middle = (place + 0.5) * SIDE / len(names)
        row: Attributes = {"class": "tick", "x": left - 6, "y": top + middle + 4, "text-anchor": "end"}
        yield tag("text", row, text)
        turn, anchor = ("", "middle") if straight else (" rotate(-45)", "start")
        at = f"translate({number(left + middle)} {number(top - 6)}){turn}"
        yield tag("text", {"class": "tick", "transform": at, "text-anchor": anchor}, text)
