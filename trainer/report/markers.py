"""Markers, lines of legends and legends, in SVG and HTML."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from xml.etree.ElementTree import Element

from trainer.report.markup import Attributes, number, tag
from trainer.report.style import line_style, style_class


def marker(style: int, x: float, y: float, size: float = 4.2) -> Element:
    """The marker of a style, as SVG."""
    look = line_style(style)
    shape, kind = look.marker, "mark hollow" if look.hollow else "mark"
    if shape == "o":
        return tag("circle", {"class": kind, "cx": x, "cy": y, "r": size})
    corners = {
        "s": [(-0.9, -0.9), (0.9, -0.9), (0.9, 0.9), (-0.9, 0.9)],
        "^": [(0, -1.2), (1.15, 0.9), (-1.15, 0.9)],
        "v": [(0, 1.2), (1.15, -0.9), (-1.15, -0.9)],
        "D": [(0, -1.3), (1.3, 0), (0, 1.3), (-1.3, 0)],
        "P": [
            *((-0.45, -1.3), (0.45, -1.3), (0.45, -0.45), (1.3, -0.45), (1.3, 0.45), (0.45, 0.45)),
            *((0.45, 1.3), (-0.45, 1.3), (-0.45, 0.45), (-1.3, 0.45), (-1.3, -0.45), (-0.45, -0.45)),
        ],
        "X": [(-1.2, -1.2), (0, -0.5), (1.2, -1.2), (0.5, 0), (1.2, 1.2), (0, 0.5), (-1.2, 1.2), (-0.5, 0)],
        "p": [(0, -1.3), (1.25, -0.4), (0.75, 1.1), (-0.75, 1.1), (-1.25, -0.4)],
    }[shape]
    points = " ".join(f"{number(x + size * a)},{number(y + size * b)}" for a, b in corners)
    return tag("polygon", {"class": kind, "points": points})


def line_look(style: int) -> Attributes:
    """Width and dashes of a line."""
    look = line_style(style)
    dash = {"stroke-dasharray": " ".join(number(part) for part in look.dash)} if look.dash else {}
    return {"stroke-width": look.width, **dash}


def swatch(style: int) -> Element:
    """A short piece of a line with its marker, for a legend."""
    path = tag("path", {"class": "line", "d": "M1 7H33", **line_look(style)})
    svg = {"class": f"swatch {style_class(style)}", "viewBox": "0 0 34 14", "aria-hidden": "true"}
    return tag("svg", svg, path, marker(style, 17, 7))


def legend(labels: Iterable[str], style: Mapping[str, int]) -> Element:
    """The lines' names beside pieces of them."""
    listing = tag("ul", "legend")
    for label in labels:
        listing.append(tag("li", None, swatch(style[label]), label))
    return listing
