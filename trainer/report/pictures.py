"""The figures for papers: PNG and SVG by matplotlib, the same bytes for the same runs."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from trainer.metrics import headline_metrics, plotted_metrics
from trainer.report.description import DotPlot, HeatMap, Line, LineChart, Ranking
from trainer.report.figures import Figures, PanelFigures
from trainer.report.markup import shorten
from trainer.report.matrix_figures import MatrixFigures
from trainer.report.style import HEAT_LIGHT, HEAT_TICKS, LineStyle, heat, line_style
from trainer.report.summary import Panel

DPI = 200
MAX_INCHES = 300
"""A picture of 65,536 pixels or more cannot be written."""
LETTER = 0.075
"""Width of a letter of a name in inches, at the large side."""
SETTINGS = {
    "svg.hashsalt": "trainer-report",  # else the ids in the SVG are drawn anew each time
    "svg.fonttype": "path",
    "font.family": "DejaVu Sans",  # the one that matplotlib carries: the same on every machine
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.linewidth": 0.8,
    "axes.axisbelow": True,
    "grid.alpha": 0.25,
    "legend.frameon": False,
    "legend.handlelength": 3.5,  # so long that it shows the dashes
    # a name from a file is never taken for a formula
    "text.parse_math": False,
}


def draw_learning_curves(figures: Figures, path: Path) -> None:
    """learning-curves.png: test error and what else sums a run up by epoch, a row for each noise of each panel."""
    keys = ["test_error", *(metric.key for metric in headline_metrics())]
    with pyplot() as plt:
        _curve_grid(plt, figures.panels, keys, 4.6).savefig(path, dpi=120, metadata={"Software": None})


def draw_figures(figures: Figures, out: Path) -> list[str]:
    """Draw every figure as PNG and SVG into the folder `out`; the names of the files, in order."""
    files: list[str] = []
    curves = [metric.key for metric in plotted_metrics()]
    with pyplot() as plt:

        def save(picture: Any, title: str) -> None:
            files.extend(_save(picture, out, title, files))
            plt.close(picture)

        for part in figures.panels:
            for headline, figure in part.errors.items():
                picture = error_picture(plt, figure, part.panel.title)
                save(picture, f"{headline.replace('_', '-')}-{_place(part.panel)}")
            save(_curve_grid(plt, [part], curves, 3.2), f"curves-{_place(part.panel)}")
        for block in figures.transitions:
            group = block.row.group
            if len(block.figures) > 1:  # what became of labels, not labels alone
                save(_matrices(plt, block), f"transitions-{group.dataset}-{group.noise}-{group.method}")
    return files


def error_picture(plt: Any, figure: LineChart | DotPlot, where: str) -> Any:
    """A figure of test errors, with a legend below it or names beside its lines."""
    if isinstance(figure, DotPlot):
        size = (4.6, min(1.4 + 0.38 * len(figure.dots), MAX_INCHES))
        picture, axes = plt.subplots(figsize=size, layout="constrained")
        _dot_plot(axes, figure)
    else:
        columns, lines = _legend_size([line.label for line in figure.lines], 4.6)
        picture, axes = plt.subplots(figsize=(4.6, min(3.1 + 0.2 * lines, MAX_INCHES)), layout="constrained")
        _line_chart(axes, figure)
        _legend(picture, columns)
    head = (figure.title, where, figure.note)
    picture.suptitle("\n".join(shorten(text, 84) for text in head), fontsize=7.5, x=0.02, ha="left")
    return picture


@contextmanager
def pyplot() -> Iterator[Any]:
    """pyplot without a screen, with the settings of all figures; its figures are closed at the end."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    with matplotlib.rc_context(SETTINGS):
        try:
            yield plt
        finally:
            plt.close("all")


def _save(picture: Any, out: Path, title: str, taken: Iterable[str]) -> list[str]:
    """Save as PNG and SVG under a plain file name that is not taken."""
    stem = base = re.sub(r"[^a-z0-9.]+", "-", title.lower()).strip("-.")[:100] or "figure"
    number = 2
    while f"{stem}.png" in set(taken):
        stem, number = f"{base}-{number}", number + 1
    picture.savefig(out / f"{stem}.png", dpi=DPI, metadata={"Software": None})
    picture.savefig(out / f"{stem}.svg", metadata={"Date": None, "Creator": None})
    return [f"{stem}.png", f"{stem}.svg"]


def _place(panel: Panel) -> str:
    return f"{panel.dataset}-{panel.kind}-{panel.network}-{panel.epochs}-epochs {panel.preset}".rstrip()


def _name(label: str) -> str:
    # a label that begins with _ is hidden by matplotlib
    return shorten(f" {label}" if label.startswith("_") else label, 40)


def _line_chart(axes: Any, chart: LineChart) -> None:
    for line in chart.lines:
        style = line_style(line.style)
        look = {
            "color": style.light,
            "linewidth": style.width * 0.75,
            "linestyle": (0, tuple(part / style.width for part in style.dash)) if style.dash else "-",
            "label": _name(line.label),
            "marker": style.marker,
            **_marker_look(style),
        }
        if chart.spread == "bars":
            _error_bars(axes, line, {**look, "markersize": 5.5})
        else:
            axes.plot(line.x, line.y, markevery=line.marked.tolist(), **{**look, "markersize": 4.5})
            axes.fill_between(line.x, line.low, line.high, color=style.light, alpha=0.15, linewidth=0)
    for value, number in chart.restarts:
        axes.axvline(value, color=line_style(number).light, linestyle=":", linewidth=1)
    margin = 0.02 * (chart.y.high - chart.y.low)
    axes.set(xlabel=chart.x.label, ylabel=chart.y.label, xlim=(chart.x.low, chart.x.high))
    axes.set(ylim=(chart.y.low, chart.y.high + margin), xticks=chart.x.ticks, yticks=chart.y.ticks)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:.3g}")
    axes.grid(visible=True, axis="y")


def _marker_look(style: LineStyle) -> dict[str, Any]:
    """Fill and edge of a marker: the edge of a filled one keeps it apart from the line."""
    if style.hollow:
        return {"markerfacecolor": "white", "markeredgecolor": style.light, "markeredgewidth": 1.2}
    return {"markeredgecolor": "white", "markeredgewidth": 0.5}


def _error_bars(axes: Any, line: Line, look: dict[str, Any]) -> None:
    # an SVG shows a bar without length as a cap: none where there is no deviation
    half = np.array([np.nan_to_num(line.y - line.low), np.nan_to_num(line.high - line.y)])
    axes.errorbar(
        line.x + line.shift, line.y, yerr=half, capsize=2 if half.any() else 0, capthick=0.5, elinewidth=0.9, **look
    )


def _dot_plot(axes: Any, plot: DotPlot) -> None:
    for place, line in enumerate(plot.dots):
        style = line_style(line.style)
        below = np.full(len(line.values), place + 0.27)
        axes.plot(line.values, below, "o", ms=2.5, color=style.light, alpha=0.65, mew=0)
        if line.deviation is not None:
            axes.errorbar(line.mean, place, xerr=line.deviation, capsize=2.5, elinewidth=1.2, color=style.light)
        axes.plot(line.mean, place, marker=style.marker, ms=7, color=style.light, **_marker_look(style))
    # the first line is the uppermost
    axes.set(ylim=(len(plot.dots) - 0.4, -0.6), yticks=range(len(plot.dots)))
    axes.set_yticklabels([_name(line.label) for line in plot.dots])
    axes.set(xlabel=plot.x.label, xlim=(plot.x.low, plot.x.high), xticks=plot.x.ticks)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.tick_params(axis="y", length=0)
    axes.grid(visible=True)


def _legend_size(labels: Sequence[str], width: float) -> tuple[int, int]:
    """How many columns of names go into `width` inches, and how many lines that makes."""
    widest = 0.75 + LETTER * max(len(_name(label)) for label in labels)
    columns = max(1, min(4, int(width / widest)))
    return columns, -(-len(labels) // columns)


def _legend(picture: Any, columns: int) -> None:
    """One legend for all charts, outside of them, where it lies over no line."""
    parts = [axes.get_legend_handles_labels() for axes in picture.axes]
    handles = {label: handle for part in parts for handle, label in zip(*part, strict=True)}
    picture.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=columns)


def _curve_grid(plt: Any, parts: Sequence[PanelFigures], keys: Sequence[str], width: float) -> Any:
    """A row for each noise of each panel, a column for each metric that any run has; charts `width` inches wide."""
    several = len(parts) > 1
    lines = [(part, noise, charts) for part in parts for noise, charts in part.curves]
    shown = [key for key in keys if any(key in charts for _, _, charts in lines)]
    labels = list(dict.fromkeys(label for part in parts for label in part.panel.labels()))
    size = (max(width * len(shown), 9.0), min(2.5 * len(lines) + 0.2 * _legend_size(labels, 9.0)[1], MAX_INCHES))
    picture, axes = plt.subplots(len(lines), len(shown), figsize=size, squeeze=False, layout="constrained")
    for cells, (part, noise, charts) in zip(axes, lines, strict=True):
        for cell, key in zip(cells, shown, strict=True):
            if key not in charts:
                cell.set_axis_off()
                continue
            _line_chart(cell, charts[key])
            where = f"{part.panel.title}\n" if several and cell is cells[0] else ""
            cell.set_title(f"{shorten(where, 70)}{charts[key].title}, noise {shorten(noise, 40)}", fontsize=8)
    _legend(picture, _legend_size(labels, size[0])[0])
    return picture


def _matrices(plt: Any, block: MatrixFigures) -> Any:
    """The matrices of a group, side by side."""
    first = block.figures[0]
    tall = 4.2 if isinstance(first, HeatMap) else 5.0
    wide = 4.4 if isinstance(first, HeatMap) else 6.0
    count = len(block.figures)
    picture, axes = plt.subplots(1, count, figsize=(wide * count, tall), squeeze=False, layout="constrained")
    for cell, figure in zip(axes[0], block.figures, strict=True):
        draw: Callable[[Any, Any], None] = _heat_map if isinstance(figure, HeatMap) else _ranking
        draw(cell, figure)
        what = f"{figure.row_label} → {figure.column_label}"
        cell.set_title(f"{figure.title}: {what}\n{figure.note}", fontsize=8)
    if isinstance(first, HeatMap):
        bar = picture.colorbar(axes[0][0].images[0], ax=list(axes[0]), shrink=0.8, label="share of the class in %")
        bar.set_ticks([heat(tick) for tick in HEAT_TICKS], labels=[f"{100 * tick:.0f}" for tick in HEAT_TICKS])
    picture.suptitle(shorten(block.title, 100), fontsize=9)
    return picture


def _heat_map(axes: Any, figure: HeatMap) -> None:
    from matplotlib.colors import LinearSegmentedColormap

    shades = LinearSegmentedColormap.from_list("heat", ["#ffffff", HEAT_LIGHT])
    axes.imshow(np.vectorize(heat)(figure.shares), cmap=shades, vmin=0, vmax=1, interpolation="nearest")
    axes.set(xlabel=figure.column_label, ylabel=figure.row_label)
    names = [shorten(name, 12) for name in figure.names]
    axes.set_xticks(range(len(names)), names, rotation=90 if max(map(len, names)) > 2 else 0)
    axes.set_yticks(range(len(names)), names)
    for row, column in np.argwhere(figure.shares >= 0.005):
        share = figure.shares[row, column]
        colour = "white" if share > 0.5 else "black"
        axes.text(column, row, f"{100 * share:.0f}", ha="center", va="center", fontsize=7, color=colour)


def _ranking(axes: Any, figure: Ranking) -> None:
    names = [f"{shorten(c.source, 24)} → {shorten(c.target, 24)}" for c in figure.confusions]
    places, widths = range(len(names)), [100 * c.share for c in figure.confusions]
    bars = axes.barh(places, widths, color=HEAT_LIGHT, height=0.7)
    axes.bar_label(bars, [f"{c.count:,}" for c in figure.confusions], padding=2, fontsize=6.5)
    axes.set(ylim=(len(names) - 0.4, -0.6), xlabel="share of the class in %; beside the bar, the count")
    axes.set_yticks(places, names, fontsize=6.5)
    axes.tick_params(axis="y", length=0)
