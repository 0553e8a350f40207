"""The page's parts on classes: transition matrices before and after refurbishment, confusion matrices, class errors."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from xml.etree.ElementTree import Element

import numpy as np

from trainer.report.collect import CLEAN, FinishedRun, Group
from trainer.report.heat_map import heat_map
from trainer.report.markup import add, tag
from trainer.report.matrices import Transitions, class_errors, confusion, shares
from trainer.report.summary import Row

Names = dict[Group, tuple[str, ...]]
SCALE = (0.01, 0.05, 0.2, 0.5, 1.0)


def transition_section(
    rows: Sequence[Row], found: dict[Group, Transitions], notes: Sequence[str], names: Names
) -> Element | None:
    """The matrices of all groups; a group that refurbishes has two, the others share those of their dataset."""
    section = tag("section", {"id": "labels", "aria-labelledby": "labels-title"})
    section.append(tag("h2", {"id": "labels-title"}, "Labels before and after refurbishment"))
    text = (
        "Each row is a clean class: the share of its training samples that carry each label, over all runs. After "
        "refurbishment, a sample counts with its refurbished label where it has one, else with the one it was given. "
        "Wrong labels lie off the diagonal."
    )
    add(section, [tag("p", "quiet", text), _scale()])
    count = len(section)
    shown: set[tuple[str, ...]] = set()
    for row in rows:
        own = found.get(row.group)
        place = row.group[:2]
        if own is None or (
            own.after is None and (row.noise.kind == CLEAN or place in shown or _refurbished(rows, found, row))
        ):
            continue
        shown.add(place)
        who = "" if own.after is None else f": {row.label}, {row.group.network}, {row.group.epochs} epochs"
        section.append(tag("h3", None, f"{_where(row.group)}{who}"))
        section.append(_pair(own, names.get(row.group), f"{_where(row.group)}, {row.label}"))
    if notes:
        section.append(_notes(notes))
    return section if len(section) > count else None


def confusion_section(rows: Sequence[Row], names: Names) -> Element | None:
    """Confusion matrix and class errors of each group, folded away."""
    section = tag("section", {"id": "classes", "aria-labelledby": "classes-title"})
    section.append(tag("h2", {"id": "classes-title"}, "Classes"))
    text = "Test images after the last epoch, over all runs: which class was taken for which, and each class's error."
    section.append(tag("p", "quiet", text))
    count = len(section)
    for row in rows:
        if (counts := confusion(row.members)) is not None:
            section.append(_group_details(row, counts, _fitting(names.get(row.group), len(counts))))
    return section if len(section) > count else None


def _fitting(names: Sequence[str] | None, count: int) -> Sequence[str] | None:
    return names if names is not None and len(names) == count else None


def _refurbished(rows: Sequence[Row], found: dict[Group, Transitions], row: Row) -> bool:
    """Whether another group of the same noise shows the matrix before refurbishment anyway."""
    return any(
        own.after is not None for other in rows if other.group[:2] == row.group[:2] and (own := found.get(other.group))
    )


def _where(group: Group) -> str:
    return f"{group.dataset}, {'clean labels' if group.noise == CLEAN else f'{group.noise} noise'}"


def _pair(own: Transitions, names: Sequence[str] | None, where: str) -> Element:
    block = tag("div", "matrices")
    parts = [("Before", "given label", own.before)]
    if own.after is not None:
        parts.append(("After refurbishment", "label after refurbishment", own.after))
    for title, columns, counts in parts:
        values = shares(counts)
        right = np.trace(counts) / max(counts.sum(), 1)
        caption = tag("figcaption", None, title, tag("span", None, f"{100 * right:.1f} % of the labels are right"))
        spoken = f"{title}, {where}: {100 * right:.1f} % of the labels are right; {_largest(values, names)}"
        picture = heat_map(values, names, ("clean class", columns), spoken)
        block.append(tag("figure", None, caption, picture))
    return block


def _largest(values: np.ndarray, names: Sequence[str] | None) -> str:
    """The three largest shares off the diagonal, in words."""
    off = values.copy()
    np.fill_diagonal(off, 0)
    cells = [divmod(int(cell), len(off)) for cell in np.argsort(-off, axis=None, kind="stable")[:3]]
    parts = [
        f"{_name(names, row)} as {_name(names, column)} {100 * off[row, column]:.1f} %"
        for row, column in cells
        if off[row, column]
    ]
    return f"largest wrong shares: {', '.join(parts)}. All cells are in matrices.csv." if parts else "no wrong labels."


def _group_details(row: Row, counts: np.ndarray, names: Sequence[str] | None) -> Element:
    group = row.group
    error = 1 - np.trace(counts) / max(counts.sum(), 1)
    title = f"{_where(group)}, {row.label}"
    about = f" · {group.network}, {group.epochs} epochs, {len(row.members)} run{'s' * (len(row.members) > 1)}"
    values = shares(counts)
    caption = tag("figcaption", None, "Confusion", tag("span", None, f"test error {100 * error:.1f} %"))
    spoken = f"Confusion matrix, {title}: {_largest(values, names)}".replace("labels", "predictions")
    picture = heat_map(values, names, ("class", "prediction"), spoken.replace(" All cells are in matrices.csv.", ""))
    inside = tag("div", "inside", tag("div", "matrices", tag("figure", None, caption, picture)))
    add(inside, [tag("h3", None, "Error of each class in %, hardest first"), _classes(row.members, names)])
    return tag("details", None, tag("summary", None, title, tag("span", None, about)), inside)


def _classes(members: Sequence[FinishedRun], names: Sequence[str] | None) -> Element:
    """Each class's error, mean ± deviation over runs."""
    errors = class_errors(members)
    listing = tag("ul", "classes")
    if errors is None:
        return listing
    means = errors.mean(axis=0)
    for place in np.argsort(-np.nan_to_num(means, nan=-1.0), kind="stable"):
        deviation = f" ± {100 * errors[:, place].std(ddof=1):.1f}" if len(errors) > 1 else ""
        figure = "no test images" if np.isnan(means[place]) else f"{100 * means[place]:.1f}{deviation}"
        listing.append(tag("li", None, tag("span", None, _name(names, int(place))), tag("span", None, figure)))
    return listing


def _name(names: Sequence[str] | None, place: int) -> str:
    return f"class {place}" if names is None else names[place]


def _scale() -> Element:
    scale = tag("p", "scale", tag("span", None, "Share of the class"))
    for share in SCALE:
        box = tag("rect", {"class": "heat", "width": 14, "height": 14, "rx": 2, "fill-opacity": f"{share**0.5:.3f}"})
        svg = tag("svg", {"viewBox": "0 0 14 14", "aria-hidden": "true"}, box)
        scale.append(tag("span", None, svg, f"{100 * share:.0f} %"))
    return scale


def _notes(notes: Sequence[str]) -> Element:
    def lines() -> Iterator[Element]:
        for note in notes:
            yield tag("li", None, note)

    listing = tag("ul", "quiet")
    add(listing, lines())
    return tag("details", None, tag("summary", None, f"Runs without matrices: {len(notes)}"), listing)
