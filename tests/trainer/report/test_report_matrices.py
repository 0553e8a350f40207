"""Matrices as heat maps, and of many classes as rankings."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.support.report_runs import made_run
from trainer.report.collect import Group, collect
from trainer.report.description import Confusion, HeatMap, Ranking
from trainer.report.figures import describe
from trainer.report.heat_map import heat_map, ranking_table
from trainer.report.markup import html
from trainer.report.matrices import Transitions
from trainer.report.matrix_figures import MOST_CLASSES, RANKED, ranked
from trainer.report.summary import panels, table_rows


def transition_counts(classes: int) -> np.ndarray:
    """Of 100 samples of each class, some carry the next class's label, more of each next class."""
    counts = 100 * np.eye(classes, dtype=np.int64)
    for row in range(classes):
        counts[row, row] -= row % 50
        counts[row, (row + 1) % classes] += row % 50
    return counts


@pytest.mark.parametrize(
    ("classes", "kind"), [(3, HeatMap), (MOST_CLASSES, HeatMap), (MOST_CLASSES + 1, Ranking), (200, Ranking)]
)
def test_many_classes_make_a_ranking(tmp_path: Path, classes: int, kind: type) -> None:
    made_run(tmp_path / "a", "selfie", 0, [0.5], num_classes=classes)
    rows = table_rows(collect([tmp_path])[0])
    counts = transition_counts(classes)
    matrices: dict[Group, Transitions] = {rows[0].group: Transitions(counts, counts, 1)}
    figures = describe(rows, panels(rows), matrices, {})
    assert [type(figure) for block in figures.transitions for figure in block.figures] == [kind, kind]
    assert [type(figure) for block in figures.confusions for figure in block.figures] == [kind]


def test_a_ranking_has_the_largest_shares_first() -> None:
    names = [f"name {number}" for number in range(200)]
    confusions = ranked(transition_counts(200), names)
    assert len(confusions) == RANKED
    assert confusions[0] == Confusion("name 49", "name 50", 0.49, 49)
    assert [c.share for c in confusions] == sorted((c.share for c in confusions), reverse=True)
    # equal shares: the larger count first; no cell without samples
    counts = np.array([[1, 1, 0], [0, 10, 10], [0, 0, 5]])
    assert [(c.source, c.count) for c in ranked(counts, "abc")] == [("b", 10), ("a", 1)]


def test_a_ranking_is_a_table_of_names_shares_and_counts() -> None:
    confusions = (Confusion("tiger shark", "hammer-head", 0.4, 1200), Confusion("<b>", "cat", 0.1, 3))
    table = ranking_table(Ranking("title", "note", confusions, "clean class", "given label"))
    assert [["".join(cell.itertext()) for cell in row] for row in table.iter("tr")] == [
        ["clean class → given label", "share, %", "count"],
        ["tiger shark → hammer-head", "40.0", "1,200"],
        ["<b> → cat", "10.0", "3"],
    ]
    assert [float(bar.get("width", "")) for bar in table.iter("rect")] == [100, 25]
    assert "<b>" not in html(table)


def test_a_heat_map_names_each_class_and_each_share() -> None:
    names = tuple(f"name {number}" for number in range(MOST_CLASSES))
    shares = np.full((MOST_CLASSES, MOST_CLASSES), 0.02) + 0.6 * np.eye(MOST_CLASSES)
    texts = [
        "".join(text.itertext()) for text in heat_map(HeatMap("t", "n", "s", shares, names, "a", "b")).iter("text")
    ]
    assert [texts.count(name) for name in names] == [2] * MOST_CLASSES
    assert (texts.count("62"), texts.count("2")) == (MOST_CLASSES, MOST_CLASSES * (MOST_CLASSES - 1))
