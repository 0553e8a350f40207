"""report.html: one file that loads nothing, from a template and the parts of the page.

There is no script in it: the switch is made of radio buttons and CSS, and a content security policy forbids scripts and
requests altogether. So whatever a name in a run directory says, it stays text.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from string import Template
from xml.etree.ElementTree import Element

from trainer.report import style as looks
from trainer.report.collect import CLEAN, FinishedRun
from trainer.report.curves import curves_section
from trainer.report.data_files import device, versions
from trainer.report.figures import Figures
from trainer.report.label_matrices import confusion_section, transition_section
from trainer.report.markup import add, breakable, html, relative_link, tag
from trainer.report.matrix_figures import Names
from trainer.report.results import SHORT_TITLES, duration, error_section, scrolling, table_section
from trainer.report.summary import Panel, Row, error_of, rate_text, shown_errors

TEMPLATE, STYLE_SHEET = (Path(__file__).with_name(name) for name in ("page.html", "page.css"))


def page(
    rows: Sequence[Row],
    figures: Figures,
    names: Names,
    notes: Sequence[str],
    left_out: Sequence[str],
    files: Sequence[str],
    out: Path,
) -> str:
    """The page.

    Args:
        notes: which runs have no matrices, and why. left_out: which runs are not in the report, and why.
        files: names of the files beside the page. out: where it will be; run directories are named from there.
    """
    panels = [part.panel for part in figures.panels]
    parts = [
        error_section(figures),
        table_section(figures),
        curves_section(figures),
        transition_section(figures.transitions, notes),
        confusion_section(figures.confusions, names),
        _runs_section(rows, out),
        _files_section(files),
    ]
    sections = [part for part in parts if part is not None]
    main = tag("main", {"id": "content"})
    add(main, [_left_out(left_out) if left_out else None, *sections])
    body = tag("div", "page", tag("a", {"class": "skip", "href": "#content"}, "Skip to the figures"))
    add(body, [_header(rows, panels, sections), main])
    template = Template(TEMPLATE.read_text(encoding="utf-8"))
    title = html(tag("title", None, f"{_names(rows)}: test error under label noise"))
    return template.substitute(
        title=title.removeprefix("<title>").removesuffix("</title>"),
        style=STYLE_SHEET.read_text(encoding="utf-8") + looks.css(),
        body=html(body),
    )


def _header(rows: Sequence[Row], panels: Sequence[Panel], sections: Sequence[Element]) -> Element:
    links = tag("ul")
    for section in sections:
        title = section.find("h2")
        assert title is not None  # each section has its own
        links.append(tag("li", None, tag("a", {"href": f"#{section.get('id')}"}, title.text)))
    return tag(
        "header",
        None,
        tag("p", "eyebrow", "trainer report"),
        tag("h1", None, "Test error under label noise"),
        tag("p", "lead", _lead(rows, panels)),
        tag("nav", {"aria-label": "Parts of this page"}, links),
    )


def _lead(rows: Sequence[Row], panels: Sequence[Panel]) -> str:
    runs = sum(len(row.members) for row in rows)
    methods = list(dict.fromkeys(row.group.method for row in rows))
    networks = list(dict.fromkeys(row.group.network for row in rows))
    seeds = sorted({run.seed for row in rows for run in row.members})
    noise = []
    for panel in panels:
        rates = dict.fromkeys(rate_text(row).removesuffix(" %") for row in panel.rows)
        with_noise = "clean labels" if panel.kind == CLEAN else f"{panel.kind} noise at {', '.join(rates)} %"
        noise.append(f"{panel.dataset} with {with_noise}")
    return (
        f"{runs} finished run{'s' * (runs > 1)} of {_listed(methods)} on {'; '.join(dict.fromkeys(noise))}. "
        f"Network {_listed(networks)}; seed{'s' * (len(seeds) > 1)} {_listed([str(seed) for seed in seeds])}."
    )


def _names(rows: Sequence[Row]) -> str:
    return _listed(list(dict.fromkeys(row.group.dataset for row in rows)))


def _listed(words: Sequence[str], limit: int = 6) -> str:
    if len(words) > limit:
        return f"{', '.join(words[:limit])} and {len(words) - limit} more"
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def _left_out(lines: Sequence[str]) -> Element:
    listing = tag("ul")
    for line in lines:
        listing.append(tag("li", None, *breakable(line)))
    block = {"class": "notices", "aria-labelledby": "left-out"}
    return tag("aside", block, tag("h2", {"id": "left-out"}, f"Left out: {len(lines)}"), listing)


def _runs_section(rows: Sequence[Row], out: Path) -> Element:
    section = tag("section", {"id": "runs", "aria-labelledby": "runs-title"})
    section.append(tag("h2", {"id": "runs-title"}, "Runs"))
    errors = [key for key in shown_errors(rows) if key != "mean_last10_test_error"]
    numbers = ("Seed", "Epochs", *(f"{SHORT_TITLES[key]}, %" for key in errors), "Time")
    head = tag("tr")
    for name in ("Method", "Dataset, noise", *numbers, "Device", "Run directory"):
        head.append(tag("th", {"scope": "col", "class": "n"} if name in numbers else {"scope": "col"}, name))
    body = tag("tbody")
    for row in rows:
        for run in row.members:
            body.append(_run_line(row, run, errors, out))
    table = tag("table", None, tag("thead", None, head), body)
    add(section, [scrolling(table, "Runs"), tag("h3", None, "Versions"), *_versions(rows)])
    return section


def _run_line(row: Row, run: FinishedRun, errors: Sequence[str], out: Path) -> Element:
    seconds = run.result.wall_seconds
    path = _relative(run.directory, out)
    link = tag("a", {"class": "path", "href": relative_link(path)}, *breakable(path))
    group = row.group
    noise = "clean" if group.noise == CLEAN else group.noise
    return tag(
        "tr",
        None,
        tag("th", {"scope": "row"}, row.label),
        tag("td", None, f"{group.dataset}, {noise}"),
        tag("td", "n", str(run.seed)),
        tag("td", "n", str(len(run.metrics["epoch"]))),
        *(tag("td", "n", "–" if (error := error_of(run, key)) is None else f"{100 * error:.2f}") for key in errors),
        tag("td", "n", "–" if seconds is None else duration(seconds)),
        tag("td", None, device(run) or "–"),
        tag("td", "wide", link),
    )


def _versions(rows: Sequence[Row]) -> Iterator[Element]:
    """What the runs stood on: one line where all are the same."""
    counts = Counter(tuple(versions(run).items()) for row in rows for run in row.members)
    listing = tag("dl")
    for installed, count in sorted(counts.items(), key=lambda item: (-item[1], item[0])):
        text = ", ".join(f"{name} {version}" for name, version in installed) or "not stated"
        add(listing, [tag("dt", None, "all runs" if len(counts) == 1 else f"{count} runs"), tag("dd", None, text)])
    yield listing


def _files_section(files: Sequence[str]) -> Element:
    section = tag("section", {"id": "files", "aria-labelledby": "files-title"})
    section.append(tag("h2", {"id": "files-title"}, "Files"))
    section.append(
        tag("p", "quiet", "The data behind this page, and its figures for papers, beside it in the same folder.")
    )
    listing = tag("dl")
    about = {
        "results.csv": "a line a run",
        "groups.csv": "a line a group: mean and deviation, and the paper's value",
        "curves.csv": "a line an epoch",
        "matrices.csv": "samples by clean label and label, before and after replacement",
        "report.json": "the figures' points and the runs",
        "learning-curves.png": "test error and what else sums a run up, by epoch",
    }
    for name in files:
        if name in about:
            add(listing, [tag("dt", None, tag("a", {"href": name}, *breakable(name))), tag("dd", None, about[name])])
    figures = [name for name in files if name.endswith(".svg")]
    count = tag("dd", None, f"{len(figures)} figures, each as PNG and SVG")
    add(listing, [tag("dt", None, tag("a", {"href": "figures/"}, "figures/")), count])
    section.append(listing)
    return section


def _relative(directory: Path, out: Path) -> str:
    return Path(os.path.relpath(directory.resolve(), out.resolve())).as_posix()
