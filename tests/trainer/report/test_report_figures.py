"""Test errors and their names, as described and as drawn: no name lies over data."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations, pairwise
from pathlib import Path
from xml.etree.ElementTree import Element

import numpy as np
import pytest

from tests.support.report_runs import described, made_run
from trainer.report.charts import is_labelled, line_chart
from trainer.report.description import Axis, DotPlot, Dots, Line, LineChart, nice_axis
from trainer.report.dot_plot import dot_plot
from trainer.report.label_layout import LABEL_GAP, LETTER, spread
from trainer.report.markup import breakable, html, tag
from trainer.report.pictures import error_picture, pyplot
from trainer.report.results import NARROW, WIDE, error_section

Box = tuple[float, float, float, float]
"""Left, top, right, bottom in pixels."""


def runs_at(folder: Path, rates: Sequence[float], seeds: int = 2) -> Path:
    """Runs of two methods at each rate, whose errors depend on rate, method and seed."""
    for rate in rates:
        noise = {"type": "pair", "rate": rate, "parent": {"name": "digits"}}
        for seed in range(seeds):
            for method, error in (("default", 0.4), ("selfie", 0.2)):
                errors = [0.9, error + rate / 4 + seed / 50]
                made_run(folder / f"{method}-{rate}-{seed}", method, seed, errors, noise=noise)
    return folder


def crossing_lines(labels: Sequence[str], ends: Sequence[float]) -> LineChart:
    """Lines with error bars that cross on their way to the ends, which lie close together."""
    x, lines = np.arange(0.0, 50, 10), []
    for place, (label, end) in enumerate(zip(labels, ends, strict=True)):
        y = np.linspace(40 - 4 * place, end, len(x))
        lines.append(Line(label, place, x, y, y - 2, y + 2, np.arange(len(x)), shift=(place - len(labels) / 2) / 2))
    y_axis = nice_axis("%", [line.high for line in lines])
    return LineChart("title", "note", "spoken", Axis("rate", -3, 43, tuple(x)), y_axis, tuple(lines), "bars")


def boxes(svg: Element, kind: str = "label") -> list[Box]:
    """Of the texts of a kind, a letter being as wide as the layout takes it to be."""
    areas = []
    for text in svg.iter("text"):
        if kind in (text.get("class") or "").split():
            x, y, width = float(text.get("x", "")), float(text.get("y", "")), LETTER * len(text.text or "")
            left = x - width if text.get("text-anchor") == "end" else x
            areas.append((left, y - 10, left + width, y + 3))
    return areas


def points(svg: Element, *kinds: str) -> list[tuple[float, float]]:
    """Corners of paths and polygons and middles of circles of these classes."""
    corners = []
    for part in svg.iter():
        if not set((part.get("class") or "").split()) & set(kinds):
            continue
        if part.tag == "circle":
            corners.append((float(part.get("cx", "")), float(part.get("cy", ""))))
        numbers = [float(text) for text in re.findall(r"-?[\d.]+", part.get("points", ""))]
        corners += list(zip(numbers[::2], numbers[1::2], strict=True))
        for step in re.findall(r"[ML](-?[\d.]+) (-?[\d.]+)", part.get("d", "")):
            corners.append((float(step[0]), float(step[1])))
    return corners


def inside(box: Box, point: tuple[float, float]) -> bool:
    return box[0] < point[0] < box[2] and box[1] < point[1] < box[3]


def overlap(one: Box, other: Box) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def size(svg: Element) -> tuple[float, float]:
    _, _, width, height = map(float, svg.get("viewBox", "").split())
    return width, height


def test_one_noise_rate_alone_makes_dot_plots(tmp_path: Path) -> None:
    (part,) = described(runs_at(tmp_path, [0.4])).panels
    assert list(part.errors) == ["last_test_error", "mean_last10_test_error", "best_test_error"]
    for figure in part.errors.values():
        assert isinstance(figure, DotPlot)
    best = part.errors["best_test_error"]
    assert isinstance(best, DotPlot)
    # the lowest mean first; each run is there
    assert [line.label for line in best.dots] == ["selfie", "default"]
    assert best.dots[0].values == pytest.approx((30, 32))
    assert best.dots[0].mean == pytest.approx(31)
    assert best.dots[0].deviation == pytest.approx(2**0.5)
    assert best.x.low <= 30 - 1 < 52 + 1 <= best.x.high
    assert best.x.high - best.x.low <= 40


def test_two_noise_rates_make_lines(tmp_path: Path) -> None:
    (part,) = described(runs_at(tmp_path, [0.2, 0.4])).panels
    chart = part.errors["last_test_error"]
    assert isinstance(chart, LineChart)
    assert [line.label for line in chart.lines] == ["default", "selfie"]
    assert chart.lines[1].y == pytest.approx([26, 31])
    assert chart.x.ticks == (20, 40)


@pytest.mark.parametrize("width", [WIDE[0], NARROW[0]])
@pytest.mark.parametrize("longest", ["selfie", "a-method-with-settings (batch-size 128)"])
def test_names_of_a_dot_plot_lie_over_no_dot(width: int, longest: str) -> None:
    labels = ("default", longest, "gce", "sop")
    dots = tuple(Dots(label, place, (0.0, 3.0, 4.0), 2.3, 2.1) for place, label in enumerate(labels))
    svg = dot_plot(DotPlot("title", "note", "spoken", Axis("%", 0, 5, (0, 5)), dots), width)
    names = boxes(svg)
    assert len(names) == len(points(svg, "run")) / 3 == 4
    drawn = points(svg, "run", "mark", "deviation-bar")
    assert not [name for name in names for point in drawn if inside(name, point)]
    assert not [pair for pair in combinations(names, 2) if overlap(*pair)]
    assert all(box[0] >= 0 and box[2] <= width and box[3] <= size(svg)[1] for box in names)


@pytest.mark.parametrize("ends", [(20, 20.1, 20.2, 20.3, 25, 26, 27, 40), (3, 3, 3, 3, 3, 3, 3, 3)])
def test_names_of_lines_lie_over_no_line_and_no_name(ends: Sequence[float]) -> None:
    labels = ("default", "active-bias", "co-teaching", "selfie", "gce", "dividemix-long", "elr-plus", "sop")
    svg = line_chart(crossing_lines(labels, ends), *WIDE)
    names = boxes(svg)
    assert len(names) == 8
    drawn = points(svg, "line", "bar", "mark", "band")
    assert len(drawn) > 100
    assert not [name for name in names for point in drawn if inside(name, point)]
    assert max(x for x, _ in drawn) < min(box[0] for box in names)
    assert not [pair for pair in combinations(names, 2) if overlap(*pair)]
    assert all(box[1] >= 0 and box[2] <= WIDE[0] and box[3] <= WIDE[1] for box in names)
    # a thin line leads from each line's end to its name
    assert len([part for part in svg.iter("path") if "leader" in part.get("class", "")]) == 8


def test_lines_whose_names_do_not_fit_have_a_legend(tmp_path: Path) -> None:
    short = crossing_lines(("default", "selfie"), (20, 25))
    long = crossing_lines(("default", "selfie (batch-size 128, history 15)"), (20, 25))
    many = crossing_lines([f"method {number}" for number in range(40)], range(40))
    cut = {name: getattr(short.lines[0], name)[:3] for name in ("x", "y", "low", "high", "marked")}
    early = replace(short, lines=(replace(short.lines[0], **cut), short.lines[1]))
    for chart, named in ((short, True), (long, False), (many, False), (early, False)):
        assert is_labelled(chart, *WIDE) == named
        assert bool(boxes(line_chart(chart, *WIDE))) == named
    # on the page: under the narrow picture, which has no room for the long name
    for seed, rate in enumerate((0.2, 0.4)):
        noise = {"type": "pair", "rate": rate, "parent": {"name": "digits"}}
        made_run(tmp_path / f"{rate}", "a-method-of-a-long-name", seed, [0.3], noise=noise)
    section = error_section(described(tmp_path))
    narrow = [part for part in section.iter("div") if part.get("class") == "narrow"]
    assert len(narrow) == 3
    assert all("a-method-of-a-long-name" in html(part.findall("ul")[0]) for part in narrow)


def test_spread_names_keep_their_distance_and_stay_close() -> None:
    wanted = [50.0, 51.0, 52.0, 150.0, 290.0, 299.0]
    places = spread(wanted, 10.0, 300.0)
    assert all(later - earlier >= LABEL_GAP - 1e-9 for earlier, later in pairwise(places))
    assert 10 <= places[0] < places[-1] <= 300
    # a block is around the mean of what its members want; who is alone stays
    assert places[:4] == pytest.approx([36, 51, 66, 150])


@pytest.mark.parametrize("count", [2, 8, 30])
def test_the_legend_for_papers_lies_beside_the_chart(count: int) -> None:
    labels = [f"a method of a name {number}" for number in range(count)]
    with pyplot() as plt:
        picture = error_picture(plt, crossing_lines(labels, np.linspace(10, 40, count).tolist()), "where")
        picture.canvas.draw()
        (axes,) = picture.axes
        (legend,) = picture.legends
        assert not axes.bbox.overlaps(legend.get_window_extent())
        assert [text.get_text() for text in legend.get_texts()] == labels
        assert legend.get_window_extent().y0 >= 0
        assert legend.get_window_extent().width <= picture.bbox.width


def test_both_renderers_draw_what_is_described(tmp_path: Path) -> None:
    (part,) = described(runs_at(tmp_path, [0.2, 0.4])).panels
    chart = part.errors["best_test_error"]
    assert isinstance(chart, LineChart)
    with pyplot() as plt:
        picture = error_picture(plt, chart, part.panel.title)
        drawn = [
            line for line in picture.axes[0].get_lines() if len(line.get_xdata()) == 2 and line.get_marker() in "oD"
        ]
        for line, described_line in zip(drawn, chart.lines, strict=True):
            assert line.get_xdata() == pytest.approx(described_line.x + described_line.shift)
            assert line.get_ydata() == pytest.approx(described_line.y)
    assert len(points(line_chart(chart, *WIDE), "line")) == 2 * 2


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("learning-curves.png", "learning-|curves|[.png]"),
        ("results.csv", "results|[.csv]"),
        ("../runs/selfie-0.4-seed1", "../|runs/|selfie-|0.4-|seed1"),
        ("data.tar.gz", "data|[.tar.gz]"),
        ("runs/a: metrics.csv cannot be read", "runs/|a: metrics|[.csv] cannot be read"),
        ("samples.h5, then", "samples|[.h5], then"),
        ("no name", "no name"),
        ("class.", "class."),
        ("Beta 0.5", "Beta 0.5"),
    ],
)
def test_file_names_break_at_sensible_places(text: str, expected: str) -> None:
    parts = tag("p", None, *breakable(text))
    shown = html(parts).replace("<wbr>", "|").replace('<span class="ending">', "[").replace("</span>", "]")
    assert shown == f"<p>{expected}</p>"
    assert "".join(parts.itertext()) == text
