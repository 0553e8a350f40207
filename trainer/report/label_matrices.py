"""The page's parts on classes: transition matrices before and after replacement, confusion matrices, class errors."""

from __future__ import annotations

from collections.abc import Sequence
from xml.etree.ElementTree import Element

import numpy as np

from trainer.report.description import HeatMap, Ranking
from trainer.report.heat_map import heat_map, heat_scale, ranking_table
from trainer.report.markup import Content, add, breakable, tag
from trainer.report.matrices import class_errors
from trainer.report.matrix_figures import MOST_CLASSES, RANKED, MatrixFigures, Names, class_names


def transition_section(blocks: Sequence[MatrixFigures], notes: Sequence[str]) -> Element | None:
    """The matrices of all groups; a group that replaces labels has two, the others share theirs."""
    if not blocks and not notes:
        return None
    section = tag("section", {"id": "labels", "aria-labelledby": "labels-title"})
    section.append(tag("h2", {"id": "labels-title"}, "Labels before and after replacement"))
    text = (
        "Each row is a clean class: the share of its training samples that carry each label, over all runs. After "
        "replacement, a sample counts with the label that the method put in the place of the given one, if it did. "
        "Wrong labels lie off the diagonal."
    )
    add(section, [tag("p", "quiet", text), *_how_to_read(blocks, "The whole matrices are in matrices.csv.")])
    for block in blocks:
        section.append(tag("h3", None, block.title))
        section.append(_side_by_side(block))
    if notes:
        section.append(_notes(notes))
    return section


def confusion_section(blocks: Sequence[MatrixFigures], names: Names) -> Element | None:
    """Confusion matrix and class errors of each group, folded away."""
    if not blocks:
        return None
    section = tag("section", {"id": "classes", "aria-labelledby": "classes-title"})
    section.append(tag("h2", {"id": "classes-title"}, "Classes"))
    text = "Test images after the last epoch, over all runs: which class was taken for which, and each class's error."
    whole = "Each run's whole matrix is in its result.json, under confusion_matrix."
    add(section, [tag("p", "quiet", text), *_how_to_read(blocks, whole)])
    for block in blocks:
        section.append(_group_details(block, names.get(block.row.group)))
    return section


def _how_to_read(blocks: Sequence[MatrixFigures], whole: str) -> list[Content]:
    """What the shades are, where a matrix is a heat map; and what is left out, where it is a ranking.

    Args:
        whole: where all cells are.
    """
    kinds = {type(figure) for block in blocks for figure in block.figures}
    text = f"Of more than {MOST_CLASSES} classes, only the {RANKED} largest wrong shares are shown. {whole}"
    ranking = tag("p", "quiet", *breakable(text)) if Ranking in kinds else None
    return [ranking, heat_scale() if HeatMap in kinds else None]


def _side_by_side(block: MatrixFigures) -> Element:
    """A group's matrices."""
    matrices = tag("div", "matrices")
    for figure in block.figures:
        caption = tag("figcaption", None, figure.title, tag("span", None, figure.note))
        picture = heat_map(figure) if isinstance(figure, HeatMap) else ranking_table(figure)
        matrices.append(tag("figure", None, caption, picture))
    return matrices


def _group_details(block: MatrixFigures, names: Sequence[str] | None) -> Element:
    group, runs = block.row.group, len(block.row.members)
    about = f" · {group.network}, {group.epochs} epochs, {runs} run{'s' * (runs > 1)}"
    inside = tag("div", "inside", _side_by_side(block))
    add(inside, [tag("h3", None, "Error of each class in %, hardest first"), _classes(block, names)])
    return tag("details", None, tag("summary", None, block.title, tag("span", None, about)), inside)


def _classes(block: MatrixFigures, names: Sequence[str] | None) -> Element:
    """Each class's error, mean ± deviation over runs."""
    errors = class_errors(block.row.members)
    listing = tag("ul", "classes")
    if errors is None:
        return listing
    means = errors.mean(axis=0)
    known = class_names(names, len(means))
    for place in np.argsort(-np.nan_to_num(means, nan=-1.0), kind="stable"):
        deviation = f" ± {100 * errors[:, place].std(ddof=1):.1f}" if len(errors) > 1 else ""
        figure = "no test images" if np.isnan(means[place]) else f"{100 * means[place]:.1f}{deviation}"
        listing.append(tag("li", None, tag("span", None, *breakable(known[place])), tag("span", None, figure)))
    return listing


def _notes(notes: Sequence[str]) -> Element:
    listing = tag("ul", "quiet")
    for note in notes:
        listing.append(tag("li", None, *breakable(note)))
    return tag("details", None, tag("summary", None, f"Runs without matrices: {len(notes)}"), listing)
