"""Matrices as heat maps in SVG: a colour of the page in shades, numbers in the cells where there is room.

The shade goes with the square root of the share: at 100 classes a label noise of 40 % leaves 0.4 % in a cell, which
would be invisible on an even scale.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from xml.etree.ElementTree import Element

import numpy as np

from trainer.report.markup import Attributes, add, number, tag

SHADES = 24
SIDE = 300.0
NAMED = 20
"""Up to so many classes the cells have numbers and the classes their names."""
STRAIGHT = 3
"""Up to so many letters a name above a column stands upright."""
LETTER = 6.6
"""Width of a letter of a name, in pixels: an estimate on the large side, as the font is the reader's."""


def heat_map(shares: np.ndarray, names: Sequence[str] | None, axes: tuple[str, str], description: str) -> Element:
    """A (K, K) matrix of shares in [0, 1] as an <svg>.

    Args:
        names: K names, or None where they are not known. axes: what rows and columns are.
        description: what a reader hears who does not see it.
    """
    count = len(shares)
    texts = _tick_texts(names, count)
    longest = max(map(len, texts.values()))
    left, top = 12 + LETTER * longest, 24 if longest <= STRAIGHT else 14 + 0.71 * LETTER * longest
    width, height = left + SIDE + 18, top + SIDE + 22
    svg = tag("svg", {"viewBox": f"0 0 {number(width)} {number(height)}", "role": "img", "aria-label": description})
    svg.set("style", f"max-width:{number(width)}px")
    cell = SIDE / count
    field = tag("g", {"transform": f"translate({number(left)} {number(top)}) scale({cell:.6g})"})
    add(field, _cells(shares))
    svg.append(field)
    svg.append(tag("rect", {"class": "frame", "x": left, "y": top, "width": SIDE, "height": SIDE}))
    add(svg, _ticks(texts, left, top, cell))
    if count <= NAMED:
        add(svg, _numbers(shares, left, top, cell))
    rows, columns = axes
    # below: what is what, on one line
    caption = f"rows: {rows} · columns: {columns}"
    svg.append(tag("text", {"class": "name", "x": left + SIDE / 2, "y": height - 5, "text-anchor": "middle"}, caption))
    return svg


def shade(share: float) -> float:
    """Opacity in [0, 1] of a share, in SHADES steps."""
    return round(SHADES * float(np.sqrt(min(max(share, 0.0), 1.0)))) / SHADES


def _cells(shares: np.ndarray) -> Iterator[Element]:
    """One path for all cells of a shade, so that 100 classes stay a small picture."""
    shades = np.round(SHADES * np.sqrt(np.clip(shares, 0, 1))).astype(int)
    for level in range(1, SHADES + 1):
        rows, columns = np.nonzero(shades == level)
        if len(rows):
            path = "".join(f"M{x} {y}h1v1h-1z" for y, x in zip(rows, columns, strict=True))
            yield tag("path", {"class": "heat", "fill-opacity": f"{level / SHADES:.3f}", "d": path})


def _numbers(shares: np.ndarray, left: float, top: float, cell: float) -> Iterator[Element]:
    for y, row in enumerate(shares):
        for x, share in enumerate(row):
            if share >= 0.005:
                depth = shade(float(share))
                kind = "deep" if depth > 0.8 else "half" if depth > 0.55 else "pale"
                place: Attributes = {
                    "x": left + (x + 0.5) * cell,
                    "y": top + (y + 0.5) * cell + 3.5,
                    "text-anchor": "middle",
                }
                yield tag("text", {"class": f"cell {kind}", **place}, f"{100 * share:.0f}")


def _tick_texts(names: Sequence[str] | None, count: int) -> dict[int, str]:
    """What is written at which class: its name, or every tenth number or so where there are many."""
    if count <= NAMED:
        return {place: _short(names[place]) if names else str(place) for place in range(count)}
    step = next(step for step in (5, 10, 20, 50, 100, 200, 500) if count / step <= 11)
    return {place: str(place) for place in range(0, count, step)}


def _ticks(texts: dict[int, str], left: float, top: float, cell: float) -> Iterator[Element]:
    straight = max(map(len, texts.values())) <= STRAIGHT
    for place, text in texts.items():
        middle = (place + 0.5) * cell
        row: Attributes = {"class": "tick", "x": left - 6, "y": top + middle + 4, "text-anchor": "end"}
        yield tag("text", row, text)
        turn, anchor = ("", "middle") if straight else (" rotate(-45)", "start")
        at = f"translate({number(left + middle)} {number(top - 6)}){turn}"
        yield tag("text", {"class": "tick", "transform": at, "text-anchor": anchor}, text)


def _short(name: str, limit: int = 12) -> str:
    return name if len(name) <= limit else f"{name[: limit - 1]}…"
