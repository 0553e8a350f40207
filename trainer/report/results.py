"""The page's first parts: test error against noise rate, and the table."""

from __future__ import annotations

from collections.abc import Sequence
from xml.etree.ElementTree import Element

from trainer.methods.metric import Metric
from trainer.report.charts import is_labelled, line_chart
from trainer.report.collect import NOT_RECORDED, NOTHING
from trainer.report.description import DotPlot, LineChart
from trainer.report.dot_plot import dot_plot
from trainer.report.figures import Figures
from trainer.report.markers import legend, swatch
from trainer.report.markup import Attributes, Content, add, tag
from trainer.report.summary import (
    SELECTED,
    Estimate,
    Panel,
    Row,
    heading,
    headline_shares,
    rate_text,
    shown_errors,
)

SHORT_TITLES = {
    "last_test_error": "Last",
    SELECTED: "Selected",
    "mean_last10_test_error": "Mean of last 10",
    "best_test_error": "Best on test",
}
MARK = "†"
"""Stands beside a method that was told what the given labels do not tell."""
LONG = 24
"""Names of more letters are broken over lines."""
WIDE, NARROW = (640, 380), (340, 300)


def error_section(figures: Figures) -> Element:
    """A figure for each panel and headline figure, and who is lowest at the highest rate."""
    section = tag("section", {"id": "error", "aria-labelledby": "error-title"})
    section.append(tag("h2", {"id": "error-title"}, "Test error against noise rate"))
    text = (
        "Mean over runs; bars are one standard deviation to each side. The last error and the mean of the last 10 "
        "epochs are not chosen; the selected one is of the epoch of the lowest error on held-out samples with the "
        "labels they have. The best error is the lowest of all epochs: it is chosen on test labels, as papers of the "
        "field do, and flatters."
    )
    rows = [row for part in figures.panels for row in part.panel.rows]
    if any(row.beyond_given_labels for row in rows):
        text += f" {MARK} was told more of the noise than the given labels tell: see the tables."
    headlines = shown_errors(rows)
    add(section, [tag("p", "quiet", text), _switch(headlines)])
    for part in figures.panels:
        section.append(tag("h3", None, part.panel.title))
        for headline in headlines:
            block = tag("div", f"headline {headline}")
            if (figure := part.errors.get(headline)) is None:
                block.append(tag("p", "quiet", _no_figure(part.panel, headline)))
            else:
                ranking = _ranking(part.panel, headline, figures.style)
                add(block, [_error_figure(figure, figures.style), ranking])
            section.append(block)
    return section


def _no_figure(panel: Panel, headline: str) -> str:
    if any(headline in row.errors for row in panel.rows):
        return "The noise rate of these runs is not known; their figures are in the table below."
    return "None of these runs held out samples to select an epoch on."


def table_section(figures: Figures) -> Element:
    """Mean and deviation of all headline figures, a table for each panel."""
    section = tag("section", {"id": "table", "aria-labelledby": "table-title"})
    section.append(tag("h2", {"id": "table-title"}, "All results"))
    panels = [part.panel for part in figures.panels]
    marked = any(row.beyond_given_labels for panel in panels for row in panel.rows)
    text = (
        "Test error in %, mean ± standard deviation over runs. Bold: the lowest mean of a noise rate"
        f"{f', of methods with {MARK} and of those without each' if marked else ''}. Told: what the method knew of "
        "the noise beside the given labels."
    )
    section.append(tag("p", "quiet", text))
    if any(row.paper is not None for panel in panels for row in panel.rows):
        text = (
            "Paper: the best test error of the SELFIE paper (Song, Kim and Lee, ICML 2019), read off the plots of its "
            "official release, so about ±0.3. It stands only beside runs in the paper's setting: the whole dataset, "
            "the same noise and rate, DenseNet-25-12, 100 epochs, mini-batches of 128, learning rate 0.1. Its code "
            "takes the mean of batch means, in which the last 16 of 10,000 test images weigh 8 times; ours is the "
            "share of all."
        )
        section.append(tag("p", "quiet", text))
    for number, panel in enumerate(panels):
        section.append(tag("h3", {"id": f"table-{number}"}, panel.title))
        section.append(scrolling(_table(panel, figures.style), f"Figures: {panel.title}"))
        add(section, [tag("p", "quiet", note) for note in _ledger_notes(panel)])
    return section


def _ledger_notes(panel: Panel) -> list[str]:
    """What marks and words of the column "Told" mean, as far as the panel has them."""
    notes = []
    if any(row.beyond_given_labels for row in panel.rows):
        notes.append(
            f"{MARK} was told more: the true noise rate or transition matrix, which only clean labels give, or one by "
            "hand or from a file, which may be the true one; or settings that were chosen for this noise or may have "
            "been. Its errors are comparable with those of other marked rows alone."
        )
    if any(NOT_RECORDED in row.ledger_words for row in panel.rows):
        notes.append(f"{NOT_RECORDED.capitalize()}: the run is of a version that did not write down what it was told.")
    return notes


def scrolling(table: Element, name: str) -> Element:
    """A table that scrolls in its own frame where the screen is narrow, by keyboard too.

    Its first column stays, and a shadow at an edge says that the table goes on there (page.css).
    """
    return tag("div", {"class": "scroll", "role": "region", "aria-label": name, "tabindex": "0"}, table)


def figure_cell(figure: Estimate | None, least: bool = False, unit: float = 100.0) -> Element:
    """A mean and, softer, its deviation."""
    cell = tag("td", "n least" if least else "n")
    if figure is None:
        add(cell, ["–"])
        return cell
    add(cell, [f"{unit * figure.mean:.1f}"])
    if figure.deviation is not None:
        add(cell, [tag("span", "deviation", f" ± {unit * figure.deviation:.1f}")])
    return cell


def duration(seconds: float) -> str:
    """As "12 s", "3 min 20 s", "2 h 5 min"."""
    whole = round(seconds)
    if whole < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def method_name(row: Row, style: dict[str, int]) -> Element:
    """A row's method with its line, and with MARK where it was told more."""
    kind = "method long" if len(row.label) > LONG else "method"
    text = f"{row.label} {MARK}" if row.beyond_given_labels else row.label
    return tag("span", kind, swatch(style[row.label]), tag("span", None, text))


def _switch(headlines: Sequence[str]) -> Element:
    choice = tag("fieldset", "switch", tag("legend", None, "Show"))
    for headline in headlines:
        attributes = {"type": "radio", "name": "show", "id": f"show-{headline}"}
        if headline == headlines[0]:
            attributes["checked"] = ""
        choice.append(tag("label", None, tag("input", attributes), SHORT_TITLES[headline]))
    return choice


def _error_figure(figure: LineChart | DotPlot, style: dict[str, int]) -> Element:
    """Drawn twice, for a wide and a narrow screen; lines without names at their ends have a legend."""
    caption = tag("figcaption", None, figure.title, tag("span", None, figure.note))
    block = tag("figure", None, caption)
    for kind, size in (("wide-figure", WIDE), ("narrow", NARROW)):
        part = tag("div", kind)
        if isinstance(figure, DotPlot):
            part.append(dot_plot(figure, size[0]))
        else:
            labels = [line.label for line in figure.lines]
            named = is_labelled(figure, *size)
            add(part, [line_chart(figure, *size), None if named else legend(labels, style)])
        block.append(part)
    return block


def _ranking(panel: Panel, headline: str, style: dict[str, int]) -> Element:
    """The methods at the highest noise rate, the lowest error first."""
    known = [row for row in panel.rows if row.noise.rate is not None and headline in row.errors]
    highest = max(known, key=lambda row: row.noise.rate or 0.0)
    rows = sorted((row for row in known if row.noise == highest.noise), key=lambda row: row.errors[headline].mean)
    title = f"{SHORT_TITLES[headline]}, noise {rate_text(highest)}"
    head = tag("tr", None, tag("th", {"scope": "col"}, title), tag("th", {"scope": "col", "class": "n"}, "error, %"))
    body = tag("tbody")
    least = rows[0].errors[headline].mean
    for row in rows:
        name = tag("th", {"scope": "row"}, method_name(row, style))
        body.append(
            tag(
                "tr",
                None,
                name,
                figure_cell(row.errors[headline], least=row.errors[headline].mean == least and len(rows) > 1),
            )
        )
    return tag("div", "ranking", tag("table", None, tag("thead", None, head), body))


def _table(panel: Panel, style: dict[str, int]) -> Element:
    has_paper = any(row.paper is not None for row in panel.rows)
    errors = shown_errors(panel.rows)
    shares = [metric for metric in headline_shares() if any(metric.key in row.shares for row in panel.rows)]
    head = tag("tr", None, _column("Method"), _column("Told"), _column("Runs", "n"))
    add(head, [_column(SHORT_TITLES[key], "n") for key in errors])
    add(head, [_column("Paper, best", "n") if has_paper else None])
    add(head, [*(_column(heading(metric), "n") for metric in shares), _column("Time per run", "n")])
    table = tag("table", None, tag("thead", None, head))
    for rows in panel.by_noise().values():
        # a line of its own, so that the methods' names are the first column, which stays in sight
        span: Attributes = {"scope": "rowgroup", "class": "noise", "colspan": len(head)}
        noise = tag("th", span, tag("span", None, f"Noise {rate_text(rows[0])}"))
        body = tag("tbody", "part", tag("tr", None, noise))
        add(body, [_line(row, rows, style, errors, has_paper, shares) for row in rows])
        table.append(body)
    return table


def _line(
    row: Row,
    rows: Sequence[Row],
    style: dict[str, int],
    errors: Sequence[str],
    has_paper: bool,
    shares: Sequence[Metric],
) -> Element:
    def error(key: str) -> Element:
        rivals = [other for other in rows if other.beyond_given_labels == row.beyond_given_labels]
        means = [other.errors[key].mean for other in rivals if key in other.errors]
        figure = row.errors.get(key)
        return figure_cell(figure, figure is not None and len(means) > 1 and figure.mean == min(means))

    paper: Content = tag("td", "n", "–" if row.paper is None else f"{100 * row.paper:.1f}") if has_paper else None
    return tag(
        "tr",
        None,
        tag("th", {"scope": "row"}, method_name(row, style)),
        tag("td", None, row.ledger_words.replace(NOTHING, "–")),
        tag("td", "n", str(len(row.members))),
        *(error(key) for key in errors),
        paper,
        *(figure_cell(row.shares.get(metric.key)) for metric in shares),
        tag("td", "n", "–" if row.seconds is None else duration(row.seconds.mean)),
    )


def _column(name: str, kind: str = "") -> Element:
    return tag("th", {"scope": "col", "class": kind} if kind else {"scope": "col"}, name)
