"""The look of lines and cells: for light and for dark paper, in print without colour, and to colour-blind eyes.

A line has a colour, a marker and a dash, so that none leans on colour alone. The colours differ in lightness too, at
least 3.5 steps of CIE L* between any two and 8 between the first four, the built-in methods', so that greys of a print
are told apart; to the common kinds of colour blindness no two come closer than 14 in CIE Lab. All reach a contrast of
4.5 to 1 on their paper, as text has to (WCAG 2.1, 1.4.3). There are 8 colours, each for three styles, with markers,
one filled and two hollow, and dashes that differ. Tests compute all of these.
"""

from __future__ import annotations

from typing import NamedTuple


class LineStyle(NamedTuple):
    """How a line looks.

    Attributes:
        light, dark: colour on light and on dark paper. marker: of matplotlib. dash: lengths of dash and gap, or ().
        width: of the line, in pixels. hollow: whether the marker is an outline.
    """

    light: str
    dark: str
    marker: str
    dash: tuple[float, ...]
    width: float
    hollow: bool = False


_FILLED = (
    LineStyle("#171e25", "#e5effc", "o", (1.5, 3.0), 1.8),
    LineStyle("#c55000", "#f66c18", "s", (7.0, 3.5), 1.8),
    LineStyle("#004d29", "#00f38d", "^", (7.0, 3.0, 1.5, 3.0), 1.8),
    LineStyle("#1349d0", "#aaa4ff", "D", (), 2.4),
    LineStyle("#3f0994", "#ae69f8", "v", (14.0, 3.0), 1.8),
    LineStyle("#c20041", "#ff7296", "P", (4.0, 3.0), 1.8),
    LineStyle("#007493", "#0bcae7", "X", (10.0, 3.0, 1.5, 3.0, 1.5, 3.0), 1.8),
    LineStyle("#634800", "#fce12f", "p", (3.0, 2.0, 1.5, 2.0), 1.8),
)
STYLES = (
    *_FILLED,
    *(
        style._replace(marker=_FILLED[number - markers].marker, dash=_FILLED[number - dashes].dash, hollow=True)
        for markers, dashes in ((5, 3), (2, 6))
        for number, style in enumerate(_FILLED)
    ),
)
"""Of two styles, at most one of colour, marker (with its filling) and dash is the same."""
HEAT_LIGHT, HEAT_DARK = "#08306b", "#b5d2ff"
"""The colour of a cell whose share is 1."""
HEAT_TICKS = (0.02, 0.1, 0.2, 0.4, 0.6, 1.0)
"""The shares that the scale of a heat map shows."""


def line_style(number: int) -> LineStyle:
    """The style of a number; they begin again when they are used up."""
    return STYLES[number % len(STYLES)]


def style_class(number: int) -> str:
    """The class of `css` that has the colour of a number's style."""
    return f"s{number % len(STYLES)}"


def heat(share: float) -> float:
    """How opaque a cell of a share in [0, 1] is.

    Less steep than a line at the low end, where shares of noise are, and not so much (as a square root is) that 0.4 and
    0.6 look alike.
    """
    return float(min(max(share, 0.0), 1.0) ** 0.75)


def css() -> str:
    """The styles as rules: class "s0" and on, which set --line, and --heat."""
    light = "".join(f".s{n}{{--line:{style.light}}}" for n, style in enumerate(STYLES))
    dark = "".join(f".s{n}{{--line:{style.dark}}}" for n, style in enumerate(STYLES))
    light, dark = f":root{{--heat:{HEAT_LIGHT}}}{light}", f":root{{--heat:{HEAT_DARK}}}{dark}"
    return f"{light}\n@media screen and (prefers-color-scheme: dark) {{{dark}}}\n"
