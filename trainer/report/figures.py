"""The figures for papers: PNG and SVG by matplotlib, the same bytes for the same runs."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from trainer.report.collect import HEADLINES, FinishedRun, Group
from trainer.report.heat_map import NAMED
from trainer.report.matrices import Transitions, shares
from trainer.report.series import CURVES, Chart, Series, curve_range, error_against_rate, learning_curves, styles
from trainer.report.style import line_style
from trainer.report.summary import Panel, panels, table_rows

DPI = 200
MAX_INCHES = 300
"""A picture of 65,536 pixels or more cannot be written."""
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
    "grid.alpha": 0.25,
    "legend.frameon": False,
    # a name from a file is never taken for a formula
    "text.parse_math": False,
}


def draw(runs: Sequence[FinishedRun], path: Path) -> None:
    """learning-curves.png: a row of pictures for each dataset, noise and network.

    Left, test error by epoch, counted through restarts: the mean over runs, and their range as a band. Right, for
    methods that refurbish, the share of training samples with a refurbished label, and how many of those are right.
    """
    rows = table_rows(runs)
    look = styles(panels(rows))
    parts: dict[tuple[str, str, str, int], list[Any]] = {}
    for row in rows:
        group = row.group
        parts.setdefault((group.dataset, group.noise, group.network, group.epochs), []).append(row)
    with _matplotlib() as plt:
        figure, axes = plt.subplots(
            len(parts), 2, figsize=(11, min(4 * len(parts), MAX_INCHES)), squeeze=False, layout="constrained"
        )
        for (left, right), (title, own) in zip(axes, parts.items(), strict=True):
            errors = learning_curves(own, "test_error", look)
            assert errors is not None  # every run has test errors
            _lines(left, errors, legend=True)
            left.set(title=_short("{}, noise {}, {}, {} epochs".format(*title), 80), xlabel="epoch (dotted: restart)")
            left.set(ylabel="test error in %")
            _refurbishment(right, own, look)
        figure.savefig(path, dpi=120, metadata={"Software": None})


def _refurbishment(axes: Any, rows: Sequence[Any], look: dict[str, int]) -> None:
    share, right = (learning_curves(rows, name, look) for name in ("refurbished_share", "refurbishment_accuracy"))
    if share is None:
        axes.set_axis_off()
        return
    _lines(axes, share, suffix=": samples refurbished", dashes="--")
    if right is not None:
        _lines(axes, right, suffix=": of those, right", dashes="-")
    axes.set(title="refurbished labels", xlabel="epoch", ylabel="%", ylim=(0, 102), yticks=range(0, 101, 20))
    axes.legend(loc="lower right")


def draw_paper_figures(
    found: Sequence[Panel],
    matrices: Sequence[tuple[Group, Transitions]],
    names: Mapping[Group, Sequence[str]],
    out: Path,
) -> list[str]:
    """Draw every figure as PNG and SVG into the folder `out`.

    Args:
        names: class names of groups, where they are known.

    Returns:
        the names of the files, in order.
    """
    look = styles(found)
    files: list[str] = []
    with _matplotlib() as plt:
        for panel in found:
            for headline in HEADLINES:
                if (chart := error_against_rate(panel, headline, look)) is not None:
                    figure, axes = plt.subplots(figsize=(4.6, 3.4), layout="constrained")
                    _lines(axes, chart, legend=True)
                    axes.set_title(_short(chart.title.replace(": ", "\n", 1), 90), fontsize=8)
                    files += _save(figure, out, f"{headline.replace('_', '-')}-{_place(panel)}", files)
                    plt.close(figure)
            figure = _curves(plt, panel, look)
            files += _save(figure, out, f"curves-{_place(panel)}", files)
            plt.close(figure)
        for group, own in matrices:
            figure = _heat_maps(plt, group, own, names.get(group))
            files += _save(figure, out, f"transitions-{group.dataset}-{group.noise}-{group.method}", files)
            plt.close(figure)
    return files


@contextmanager
def _matplotlib() -> Iterator[Any]:
    """pyplot without a screen, with the settings of all figures; its figures are closed at the end."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    with matplotlib.rc_context(SETTINGS):
        try:
            yield plt
        finally:
            plt.close("all")


def _save(figure: Any, out: Path, title: str, taken: Iterable[str]) -> list[str]:
    """Save as PNG and SVG under a plain file name that is not taken."""
    stem = base = re.sub(r"[^a-z0-9.]+", "-", title.lower()).strip("-.")[:100] or "figure"
    number = 2
    while f"{stem}.png" in set(taken):
        stem, number = f"{base}-{number}", number + 1
    figure.savefig(out / f"{stem}.png", dpi=DPI, metadata={"Software": None})
    figure.savefig(out / f"{stem}.svg", metadata={"Date": None, "Creator": None})
    return [f"{stem}.png", f"{stem}.svg"]


def _place(panel: Panel) -> str:
    return f"{panel.dataset}-{panel.kind}-{panel.network}-{panel.epochs}-epochs"


def _short(text: str, limit: int = 40) -> str:
    # (a label that begins with _ is hidden by matplotlib)
    text = f" {text}" if text.startswith("_") else text
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


def _lines(axes: Any, chart: Chart, legend: bool = False, suffix: str = "", dashes: str | None = None) -> None:
    for place, line in enumerate(chart.series):
        look = line_style(line.style)
        dash = dashes or ((0, tuple(part / look.width for part in look.dash)) if look.dash else "-")
        style = {
            "color": look.light,
            "linewidth": look.width * 0.75,
            "linestyle": dash,
            "label": _short(line.label) + suffix,
        }
        if line.bars:
            _error_bars(axes, chart, line, place, {**style, "marker": look.marker, "markersize": 4.5})
        else:
            axes.plot(line.x, line.y, **style)
            axes.fill_between(line.x, line.low, line.high, color=look.light, alpha=0.15, linewidth=0)
    for value, number in chart.restarts:
        axes.axvline(value, color=line_style(number).light, linestyle=":", linewidth=1)
    low, high, step = chart.y_range
    axes.set(xlabel=chart.x_label, ylabel=chart.y_label, xlim=chart.x_range, ylim=(low, high * 1.02))
    axes.set(xticks=chart.x_ticks, yticks=np.arange(low, high + step / 2, step))
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:.3g}")
    axes.grid(visible=True, axis="y")
    if legend:
        axes.legend()


def _error_bars(axes: Any, chart: Chart, line: Series, place: int, style: dict[str, Any]) -> None:
    """Mean and deviation; the bars of one rate stand side by side."""
    shift = (place - (len(chart.series) - 1) / 2) * (chart.x_range[1] - chart.x_range[0]) / 150
    # an SVG shows a bar without length as a cap: none where there is no deviation
    half = np.array([np.nan_to_num(line.y - line.low), np.nan_to_num(line.high - line.y)])
    capsize = 2 if half.any() else 0
    axes.errorbar(line.x + shift, line.y, yerr=half, capsize=capsize, elinewidth=0.9, **style)


def _curves(plt: Any, panel: Panel, look: dict[str, int]) -> Any:
    """A row for each noise rate, a column for each quantity that any run has."""
    rates = panel.by_noise()
    ranges = {column: curve_range(panel.rows, column) for column in CURVES}
    charts = {name: {c: learning_curves(rows, c, look, ranges[c]) for c in CURVES} for name, rows in rates.items()}
    columns = [column for column in CURVES if any(own[column] is not None for own in charts.values())]
    size = (3.2 * len(columns), min(2.5 * len(rates), MAX_INCHES))
    figure, axes = plt.subplots(len(rates), len(columns), figsize=size, squeeze=False, layout="constrained")
    for row, (name, own) in zip(axes, charts.items(), strict=True):
        for cell, column in zip(row, columns, strict=True):
            if (chart := own[column]) is None:
                cell.set_axis_off()
                continue
            _lines(cell, chart)
            cell.set_title(_short(f"{chart.title}, {panel.kind} {name}", 50), fontsize=8)
    handles = {
        label: handle for cell in axes.flat for handle, label in zip(*cell.get_legend_handles_labels(), strict=True)
    }
    figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=4)
    return figure


def _heat_maps(plt: Any, group: Group, own: Transitions, names: Sequence[str] | None) -> Any:
    parts = [("given labels", own.before)]
    if own.after is not None:
        parts.append(("labels after refurbishment", own.after))
    figure, axes = plt.subplots(1, len(parts), figsize=(4.4 * len(parts), 4.2), squeeze=False, layout="constrained")
    for cell, (title, counts) in zip(axes[0], parts, strict=True):
        values = shares(counts)
        picture = cell.imshow(np.sqrt(values), cmap="Blues", vmin=0, vmax=1, interpolation="nearest")
        cell.set(title=title, xlabel="label", ylabel="clean label")
        if len(values) <= NAMED:
            ticks = [str(n) for n in range(len(values))] if names is None else [name[:12] for name in names]
            cell.set_xticks(range(len(values)), ticks, rotation=90 if max(map(len, ticks)) > 2 else 0)
            cell.set_yticks(range(len(values)), ticks)
            for y, x in np.argwhere(values >= 0.005):
                colour = "white" if values[y, x] > 0.4 else "black"
                cell.text(x, y, f"{100 * values[y, x]:.0f}", ha="center", va="center", fontsize=7, color=colour)
    bar = figure.colorbar(picture, ax=list(axes[0]), shrink=0.8, label="share of the clean class in %")
    bar.set_ticks(np.sqrt([0, 0.01, 0.05, 0.2, 0.5, 1]), labels=["0", "1", "5", "20", "50", "100"])
    figure.suptitle(_short(f"{group.dataset}, {group.noise}, {group.method}", 80), fontsize=9)
    return figure
