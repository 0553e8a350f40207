"""The look of lines and cells is told apart: by contrast, in greys, and by colour-blind eyes."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from trainer.report.markers import line_look, marker
from trainer.report.markup import html
from trainer.report.style import HEAT_DARK, HEAT_LIGHT, STYLES, css, heat, style_class

COLOURS = STYLES[:8]
"""One style of each colour; those after them have the same colours."""
PAPERS = {"light": "#ffffff", "dark": "#14171c"}
XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
EYES = {
    "all cones": np.eye(3),
    # what is left of linear sRGB without one kind of cone: Machado, Oliveira and Fernandes, 2009, severity 1
    "protanopia": np.array([[0.1523, 1.0526, -0.2049], [0.1145, 0.7863, 0.0992], [-0.0039, -0.0481, 1.0520]]),
    "deuteranopia": np.array([[0.3673, 0.8607, -0.2280], [0.2801, 0.6725, 0.0474], [-0.0118, 0.0429, 0.9689]]),
    "tritanopia": np.array([[1.2555, -0.0767, -0.1788], [-0.0784, 0.9308, 0.1476], [0.0047, 0.6914, 0.3039]]),
}


def linear(colour: str) -> np.ndarray:
    """(3,) linear red, green and blue in [0, 1]."""
    parts = np.array([int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)])
    return np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)


def mixed(colour: str, paper: str, opacity: float) -> str:
    """What a browser makes of a colour on a paper."""
    both = np.array([[int(c[at : at + 2], 16) for at in (1, 3, 5)] for c in (colour, paper)])
    return "#" + "".join(f"{round(part):02x}" for part in opacity * both[0] + (1 - opacity) * both[1])


def lab(light: np.ndarray) -> np.ndarray:
    """(3,) CIE L*, a*, b* of linear red, green and blue."""
    scaled = np.clip(light, 0, 1) @ XYZ.T / XYZ.sum(axis=1)
    root = np.where(scaled > 0.008856, np.cbrt(scaled), 7.787 * scaled + 16 / 116)
    return np.array([116 * root[1] - 16, 500 * (root[0] - root[1]), 200 * (root[1] - root[2])])


def contrast(one: str, other: str) -> float:
    low, high = sorted(float(XYZ[1] @ linear(colour)) for colour in (one, other))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("paper", PAPERS)
@pytest.mark.parametrize("number", range(len(STYLES)))
def test_lines_can_be_told_from_their_paper(number: int, paper: str) -> None:
    assert contrast(getattr(STYLES[number], paper), PAPERS[paper]) >= 4.5


@pytest.mark.parametrize("paper", PAPERS)
def test_lines_are_told_apart_in_grey(paper: str) -> None:
    lightness = [float(lab(linear(getattr(style, paper)))[0]) for style in COLOURS]
    assert min(abs(one - other) for one, other in combinations(lightness, 2)) >= 3.5
    assert min(abs(one - other) for one, other in combinations(lightness[:4], 2)) >= 8


@pytest.mark.parametrize("paper", PAPERS)
@pytest.mark.parametrize("eyes", EYES)
def test_lines_are_told_apart_by_all_eyes(eyes: str, paper: str) -> None:
    seen = [lab(EYES[eyes] @ linear(getattr(style, paper))) for style in COLOURS]
    assert min(float(np.linalg.norm(one - other)) for one, other in combinations(seen, 2)) >= 14


def test_no_two_of_the_first_8_lines_have_the_same_colour_marker_or_dash() -> None:
    for field in ("light", "dark", "marker", "dash"):
        assert len({getattr(style, field) for style in COLOURS}) == len(COLOURS)


def test_any_two_of_24_lines_differ_in_two_of_colour_marker_and_dash() -> None:
    assert len(STYLES) == 24
    for one, other in combinations(STYLES, 2):
        alike = [one.light == other.light, one.dash == other.dash]
        alike.append((one.marker, one.hollow) == (other.marker, other.hollow))
        assert sum(alike) <= 1, (one, other)
        assert (one.light == other.light) == (one.dark == other.dark)
        # lines of one colour differ in the outline of their markers too, which small ones show best
        assert one.light != other.light or one.marker != other.marker


def test_the_page_draws_24_lines_that_are_told_apart() -> None:
    numbers = range(len(STYLES))
    drawn = {(html(marker(number, 0, 0)), str(line_look(number)), style_class(number)) for number in numbers}
    assert len(drawn) == len(STYLES)
    # past 16 lines markers come again, in another colour and with another dash
    assert len({html(marker(number, 0, 0)) for number in numbers[:16]}) == 16
    for number, style in enumerate(STYLES):
        assert css().count(f".{style_class(number)}{{--line:{style.light}}}") == 1
        assert css().count(f".{style_class(number)}{{--line:{style.dark}}}") == 1


@pytest.mark.parametrize(("colour", "paper"), [(HEAT_LIGHT, PAPERS["light"]), (HEAT_DARK, PAPERS["dark"])])
def test_cells_of_4_and_6_tenths_are_told_apart(colour: str, paper: str) -> None:
    shades = [mixed(colour, paper, heat(share)) for share in (0, 0.02, 0.4, 0.6, 1)]
    none, little, four, six, whole = (float(lab(linear(shade))[0]) for shade in shades)
    assert abs(four - six) >= 12
    # and what little noise leaves in a cell still shows
    assert abs(none - little) >= 2.5
    assert abs(six - whole) >= 20
    assert colour in css()
