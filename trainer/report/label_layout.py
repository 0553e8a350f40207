"""Where the names of lines stand: in a column beyond their ends, or nowhere where they do not fit."""

from __future__ import annotations

from collections.abc import Sequence

from trainer.report.description import LineChart

LETTER = 7.8
"""Width of a letter of a bold name, in pixels: an estimate on the large side, as the font is the reader's."""
LABEL_GAP = 15.0
LEADER = 26.0
"""Width of the lines that lead from the ends of lines to their names."""
WIDEST = 0.36
"""The share of a chart's width that the column may take."""


def label_column(chart: LineChart, width: float, height: float) -> float | None:
    """Width of the column of names, in pixels; None where they do not fit, so that a legend has to name the lines.

    Each line has to go on to the last x: a name beyond its end is then beyond all lines. No name is cut, as the
    settings that tell methods apart stand at their ends.

    Args:
        width: of the chart. height: of the column.
    """
    last = max(line.x[-1] for line in chart.lines)
    needed = LEADER + LETTER * max(len(line.label) for line in chart.lines)
    reached = all(line.end()[0] - line.shift == last for line in chart.lines)
    fits = needed <= WIDEST * width and LABEL_GAP * len(chart.lines) <= height
    return needed if reached and fits else None


def spread(wanted: Sequence[float], low: float, high: float) -> list[float]:
    """The ascending places closest to the ascending `wanted` that are LABEL_GAP apart and from `low` to `high`.

    Closest in the sum of squares: places that would be too close form a block around the mean of what its members want
    (isotonic regression by pooling adjacent violators).
    """
    blocks: list[tuple[float, int]] = []
    for number, place in enumerate(wanted):
        mean, size = place - number * LABEL_GAP, 1
        while blocks and blocks[-1][0] > mean:
            before, count = blocks.pop()
            mean, size = (before * count + mean * size) / (count + size), count + size
        blocks.append((mean, size))
    starts = [mean for mean, size in blocks for _ in range(size)]
    highest = high - (len(starts) - 1) * LABEL_GAP
    return [max(min(start, highest), low) + number * LABEL_GAP for number, start in enumerate(starts)]
