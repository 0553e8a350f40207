"""The look of lines: a colour for light and for dark paper, a marker and a dash; none leans on colour alone.

The first four keep apart under the common kinds of colour blindness, and all reach a contrast of 4.5 to 1 on their
paper, as text has to (WCAG 2.1, 1.4.3).
"""

from __future__ import annotations

from typing import NamedTuple


class LineStyle(NamedTuple):
    """How a line looks.

    Attributes:
        light, dark: colour on light and on dark paper. marker: of matplotlib. dash: lengths of dash and gap, or ().
        width: of the line, in pixels.
    """

    light: str
    dark: str
    marker: str
    dash: tuple[float, ...]
    width: float


STYLES = (
    LineStyle("#5c6570", "#a9b2bd", "o", (1.5, 3.0), 1.8),
    LineStyle("#b25309", "#f2a65a", "s", (7.0, 3.5), 1.8),
    LineStyle("#0b7a5c", "#4fcf9f", "^", (7.0, 3.0, 1.5, 3.0), 1.8),
    LineStyle("#1d55c4", "#82b1ff", "D", (), 2.4),
    LineStyle("#8a3aa6", "#d49bee", "v", (), 1.8),
    LineStyle("#a3243b", "#ff8f9e", "P", (4.0, 3.0), 1.8),
    LineStyle("#0a6d85", "#57c8e0", "X", (10.0, 3.0), 1.8),
    LineStyle("#6b5d00", "#d9c64a", "p", (3.0, 2.0, 1.5, 2.0), 1.8),
)


def line_style(number: int) -> LineStyle:
    """The style of a number; they begin again when they are used up."""
    return STYLES[number % len(STYLES)]


def css() -> str:
    """The styles as rules: class "s0" and on, which set --line."""
    light = "".join(f".s{n}{{--line:{style.light}}}" for n, style in enumerate(STYLES))
    dark = "".join(f".s{n}{{--line:{style.dark}}}" for n, style in enumerate(STYLES))
    return f"{light}\n@media screen and (prefers-color-scheme: dark) {{{dark}}}\n"
