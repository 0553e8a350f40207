"""The page's part on how training went: test error, label precision and recall, refurbishment, by epoch."""

from __future__ import annotations

from collections.abc import Sequence
from xml.etree.ElementTree import Element

import numpy as np

from trainer.report.charts import line_chart, swatch
from trainer.report.markup import tag
from trainer.report.results import rate_text
from trainer.report.series import CURVE_NOTES, CURVES, Chart, curve_range, learning_curves
from trainer.report.summary import Panel

SIZE = (340, 240)


def curves_section(panels: Sequence[Panel], style: dict[str, int]) -> Element:
    """Small charts side by side, a row of them for each noise rate."""
    section = tag("section", {"id": "curves", "aria-labelledby": "curves-title"})
    section.append(tag("h2", {"id": "curves-title"}, "By epoch"))
    text = (
        "Mean over runs as a line, their range as a band; epochs are counted through restarts, which dotted lines "
        "mark. Where a method takes no clean set or refurbishes no label, or clean labels are not known, it has no "
        "line."
    )
    section.append(tag("p", "quiet", text))
    for panel in panels:
        section.append(tag("h3", None, panel.title))
        legend = tag("ul", "legend")
        for label in panel.labels():
            legend.append(tag("li", None, swatch(style[label]), label))
        section.append(legend)
        ranges = {column: curve_range(panel.rows, column) for column in CURVES}
        for rows in panel.by_noise().values():
            section.append(tag("h4", None, f"Noise {rate_text(rows[0])}"))
            multiples = tag("div", "multiples")
            for column in CURVES:
                if (chart := learning_curves(rows, column, style, ranges[column])) is not None:
                    multiples.append(_figure(chart, column, f"{panel.title}, noise {rate_text(rows[0])}"))
            section.append(multiples)
    return section


def _figure(chart: Chart, column: str, where: str) -> Element:
    ends = ", ".join(f"{line.label} {_last(line.y):.1f} %" for line in chart.series)
    spoken = f"{chart.title} by epoch, {where}; at the end {ends}. Every value is in curves.csv."
    note = tag("span", None, f"%, {CURVE_NOTES[column]}")
    return tag("figure", None, tag("figcaption", None, chart.title, note), line_chart(chart, *SIZE, spoken))


def _last(values: np.ndarray) -> float:
    return float(values[np.isfinite(values)][-1])
