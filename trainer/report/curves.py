"""The page's part on how training went: the plotted metrics by epoch."""

from __future__ import annotations

from xml.etree.ElementTree import Element

from trainer.report.charts import line_chart
from trainer.report.description import LineChart
from trainer.report.figures import Figures
from trainer.report.markers import legend
from trainer.report.markup import tag

SIZE = (340, 240)


def curves_section(figures: Figures) -> Element:
    """Small charts side by side, a row of them for each noise rate."""
    section = tag("section", {"id": "curves", "aria-labelledby": "curves-title"})
    section.append(tag("h2", {"id": "curves-title"}, "By epoch"))
    text = (
        "Mean over runs as a line, their range as a band; epochs are counted through restarts, which dotted lines "
        "mark. A method that has no such figure, or has it only where clean labels are known, has no line."
    )
    section.append(tag("p", "quiet", text))
    for part in figures.panels:
        section.append(tag("h3", None, part.panel.title))
        section.append(legend(part.panel.labels(), figures.style))
        for noise, charts in part.curves:
            section.append(tag("h4", None, f"Noise {noise}"))
            section.append(tag("div", "multiples", *map(_figure, charts.values())))
    return section


def _figure(chart: LineChart) -> Element:
    caption = tag("figcaption", None, chart.title, tag("span", None, chart.note))
    return tag("figure", None, caption, line_chart(chart, *SIZE))
