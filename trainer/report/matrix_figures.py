"""Matrices over classes, described: a heat map where its cells can be read, else the largest confusions, ranked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from trainer.report.collect import CLEAN, Group
from trainer.report.description import Confusion, HeatMap, Ranking
from trainer.report.matrices import Transitions, confusion, shares
from trainer.report.summary import Row

MOST_CLASSES = 20
"""Of more classes, a heat map has no room for names and numbers."""
RANKED = 20
"""How many confusions a ranking has."""

Names = Mapping[Group, tuple[str, ...]]


@dataclass(frozen=True)
class MatrixFigures:
    """The matrices of a group, side by side.

    Attributes:
        title: whose they are.
    """

    row: Row
    title: str
    figures: tuple[HeatMap | Ranking, ...]


def transition_figures(
    rows: Sequence[Row], matrices: Mapping[Group, Transitions], names: Names
) -> tuple[MatrixFigures, ...]:
    """The labels before and after replacement: of each group that replaces any, and else once for each noise."""
    replacing = {group[:2] for group, matrix in matrices.items() if matrix.after is not None}
    shown: set[tuple[str, ...]] = set()
    blocks = []
    for row in rows:
        noise = row.group[:2]
        matrix = matrices.get(row.group)
        if matrix is None:
            continue
        if matrix.after is None and (row.noise.kind == CLEAN or noise in shown | replacing):
            continue
        shown.add(noise)
        who = "" if matrix.after is None else f": {row.label}, {row.group.network}, {row.group.epochs} epochs"
        title = f"{_noise_text(row.group)}{who}"
        blocks.append(MatrixFigures(row, title, tuple(_before_and_after(matrix, names.get(row.group), title))))
    return tuple(blocks)


def confusion_figures(rows: Sequence[Row], names: Names) -> tuple[MatrixFigures, ...]:
    """Which class was taken for which: a matrix for each group whose runs have one."""
    blocks = []
    for row in rows:
        if (counts := confusion(row.members)) is None:
            continue
        title = f"{_noise_text(row.group)}, {row.label}"
        note = f"test error {100 * (1 - _right(counts)):.1f} %"
        known = names.get(row.group)
        figure = _matrix_figure(counts, known, "Confusion", note, title, ("class", "prediction"))
        blocks.append(MatrixFigures(row, title, (figure,)))
    return tuple(blocks)


def class_names(names: Sequence[str] | None, count: int) -> tuple[str, ...]:
    """The names of `count` classes, by number where they are not known."""
    return tuple(names) if names is not None and len(names) == count else tuple(f"class {n}" for n in range(count))


def ranked(counts: np.ndarray, names: Sequence[str]) -> tuple[Confusion, ...]:
    """The RANKED cells off the diagonal of (K, K) counts with the largest share of their row, then count."""
    wrong = counts * ~np.eye(len(counts), dtype=bool)
    values = shares(counts) * (wrong > 0)
    order = np.lexsort((-wrong.ravel(), -values.ravel()))[:RANKED]
    cells = [divmod(int(cell), len(counts)) for cell in order]
    return tuple(
        Confusion(names[row], names[column], float(values[row, column]), int(wrong[row, column]))
        for row, column in cells
        if wrong[row, column]
    )


def _noise_text(group: Group) -> str:
    return f"{group.dataset}, {'clean labels' if group.noise == CLEAN else f'{group.noise} noise'}"


def _right(counts: np.ndarray) -> float:
    return float(np.trace(counts) / max(counts.sum(), 1))


def _before_and_after(matrix: Transitions, names: Sequence[str] | None, where: str) -> Iterator[HeatMap | Ranking]:
    for title, label, counts in (
        ("Before", "given label", matrix.before),
        ("After replacement", "label after replacement", matrix.after),
    ):
        if counts is not None:
            note = f"{100 * _right(counts):.1f} % of the labels are right"
            yield _matrix_figure(counts, names, title, note, where, ("clean class", label))


def _matrix_figure(
    counts: np.ndarray, names: Sequence[str] | None, title: str, note: str, where: str, labels: tuple[str, str]
) -> HeatMap | Ranking:
    """The figure of (K, K) counts; `labels` are what rows and columns are."""
    known = class_names(names, len(counts))
    confusions = ranked(counts, known)
    if len(counts) > MOST_CLASSES:
        return Ranking(title, note, confusions, *labels)
    largest = ", ".join(f"{c.source} as {c.target} {100 * c.share:.1f} %" for c in confusions[:3])
    spoken = f"{title}, {where}: {note}; largest wrong shares: {largest or 'none'}."
    return HeatMap(title, note, spoken, shares(counts), known, *labels)
