"""Pictures of label matrices: transition matrices as heat maps, agreement of two datasets.

The same input gives the same bytes: no dates, no versions, no global state of matplotlib.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure

from datatools.errors import DataToolsError
from datatools.files.output import new_file
from datatools.format.dataset import Dataset
from datatools.format.manifest import Manifest
from datatools.printable import printable

SUFFIXES = (".png", ".svg", ".pdf")
COLORS = "cividis_r"
"""Made for every kind of colour vision (Nunez, Anderton, Renslow 2018); zero stays white, so any flip shows."""
STYLE = {"svg.hashsalt": "datatools", "text.parse_math": False, "font.family": "DejaVu Sans"}
NO_DATES: dict[str, dict[str, None]] = {
    ".png": {"Software": None},
    ".svg": {"Date": None, "Creator": None},
    ".pdf": {"CreationDate": None, "Creator": None, "Producer": None},
}
DPI = 150
POINTS = 72
SMALLEST_SIDE, LARGEST_SIDE = 3.6, 10.5
"""Of a heat map, in inches."""
CELL = 0.46
"""Side of a cell in inches where there is room for it."""
LARGEST_FONT, SMALLEST_FONT = 9.0, 4.5
"""In points; what would need less is left out (numbers) or thinned (names)."""
LONGEST_NAME = 22
NUMBERED_FROM = 21
"""From this many classes on, names carry the class number: where some are left out, it says which."""
BAR_TICKS = (0, 0.01, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1)


@dataclass(frozen=True)
class Panel:
    """One heat map: a title, the shares that give the colours (K, K) in [0, 1], and the text of each cell.

    `cells` gives the text for (row, column), "" for none.
    """

    title: str
    shares: np.ndarray
    cells: np.ndarray


@dataclass(frozen=True)
class Layout:
    """Sizes that follow from the number of classes.

    Attributes:
        side: of a heat map, in inches. cell_points: side of a cell, in points.
        name_font, head_font: in points, of the names of classes and of what stands above them.
        name_step: every which class is named. guide_step: every which class has a line; 1: each.
    """

    side: float
    cell_points: float
    name_font: float
    head_font: float
    name_step: int
    guide_step: int

    @classmethod
    def of(cls, num_classes: int) -> Layout:
        side = min(LARGEST_SIDE, max(SMALLEST_SIDE, CELL * num_classes))
        cell = side * POINTS / num_classes
        font = min(LARGEST_FONT, max(SMALLEST_FONT + 0.7, 0.85 * cell))
        wanted = font * 1.15 / cell
        step = next(step for step in _steps() if step >= wanted)
        guide = next(step for step in (1, *_tens(num_classes)) if step * cell >= 12)
        return cls(side, cell, font, 7.5 + 0.9 * side, step, guide)

    def number_font(self, cells: np.ndarray) -> float:
        """Font size for the numbers in the cells, 0 where they do not fit."""
        longest = max((len(text) for text in cells.flat), default=0)
        font = min(LARGEST_FONT, 0.9 * self.cell_points / (0.62 * longest)) if longest else 0.0
        return font if font >= SMALLEST_FONT else 0.0


def _steps() -> Iterator[int]:
    power = 1
    while True:
        yield from (power, 2 * power, 5 * power)
        power *= 10


def _tens(num_classes: int) -> list[int]:
    return [10**power for power in range(1, len(str(num_classes)) + 3)]


def transition_panels(manifest: Manifest) -> list[Panel]:
    """The requested matrix, where there is one, and the realised one."""
    panels = []
    if manifest.transition_matrix is not None:
        panels.append(Panel("requested", manifest.transition_matrix, _share_texts(manifest.transition_matrix)))
    panels.append(Panel("realised", manifest.realised_matrix, _share_texts(manifest.realised_matrix)))
    return panels


def plot_transition(dataset: Dataset, out: Path, overwrite: bool = False) -> tuple[str, ...]:
    """Draw the transition matrix of a noisy dataset, requested beside realised (SELFIE, section 4, its figure).

    Args:
        out: a name that ends in .png, .svg or .pdf.

    Returns:
        What the user should know about it, a line each.

    Raises:
        DataToolsError: no noise in the dataset, no manifest, or `out` is taken or badly named.
    """
    metadata, manifest = dataset.metadata, dataset.manifest()
    if manifest is None:
        known = "its labels are taken as clean" if metadata.labels == "clean" else "what its labels were is not known"
        raise DataToolsError(
            f"{dataset.path}: no transition matrix to plot, {known}; name a dataset that `datatools corrupt` made"
        )
    if manifest.replaced_by is not None:
        raise DataToolsError(
            f"{dataset.path}: no transition matrix to plot, {manifest.noise_type} noise replaces images and keeps "
            "their labels; look at them with `datatools show`"
        )
    asked = "no rate requested" if manifest.rate is None else f"rate {manifest.rate:g} requested"
    title = f"{metadata.name}\n{manifest.noise_type} noise, {asked}, {manifest.realised_rate:.4g} realised"
    axes = ("label in the dataset", "clean label")
    return draw(transition_panels(manifest), metadata.class_names, title, axes, out, overwrite)


def draw(
    panels: Sequence[Panel],
    names: Sequence[str],
    title: str,
    axes: tuple[str, str],
    out: Path,
    overwrite: bool = False,
) -> tuple[str, ...]:
    """Draw heat maps side by side, all over the same classes.

    Args:
        names: (K,) names of the classes. axes: what the columns are, and what the rows are.
    """
    with new_file(out, SUFFIXES, overwrite) as partial, matplotlib.rc_context(STYLE):
        kind = out.suffix.lower()
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            figure = _figure(panels, [_short(name) for name in names], title, axes)
            figure.savefig(partial, format=kind[1:], dpi=DPI, metadata=NO_DATES[kind], bbox_inches="tight")
        missing = {text for warning in caught if "missing from" in (text := str(warning.message))}
    if not missing:
        return ()
    return (f"{len(missing)} characters of the class names are not in the font and show as boxes",)


def _figure(panels: Sequence[Panel], names: list[str], title: str, axes: tuple[str, str]) -> Figure:
    layout = Layout.of(len(names))
    figure = Figure(figsize=(len(panels) * (layout.side + 0.3) + 1.2, layout.side + 1.6), layout="constrained")
    figure.suptitle("\n".join(map(printable, title.split("\n"))), fontsize=layout.head_font + 2)
    grid = figure.subplots(1, len(panels), squeeze=False, sharey=True)[0]
    image: Any = None
    for number, (axis, panel) in enumerate(zip(grid, panels, strict=True)):
        shares = np.ma.masked_equal(panel.shares, 0)
        image = axis.imshow(shares, cmap=COLORS, norm=PowerNorm(0.5, 0, 1), interpolation="nearest")
        axis.set_title(panel.title, fontsize=layout.head_font)
        _name_axes(axis, names, layout, rows=number == 0)
        axis.set_xlabel(axes[0], fontsize=layout.head_font)
        _write_numbers(axis, panel, layout)
    grid[0].set_ylabel(axes[1], fontsize=layout.head_font)
    bar = figure.colorbar(image, ax=list(grid), fraction=0.03, aspect=35, pad=0.015, ticks=BAR_TICKS)
    bar.ax.set_yticks(BAR_TICKS, [f"{tick:g}" for tick in BAR_TICKS], fontsize=layout.head_font - 2)
    bar.set_label("share of the row (white: none)", fontsize=layout.head_font - 1)
    return figure


def _name_axes(axis: Any, names: list[str], layout: Layout, rows: bool) -> None:
    at = np.arange(0, len(names), layout.name_step)
    shown = [f"{names[number]} {number}" if len(names) >= NUMBERED_FROM else names[number] for number in at]
    axis.set_xticks(at, shown, fontsize=layout.name_font, rotation=90)
    axis.set_yticks(at, shown, fontsize=layout.name_font)
    axis.tick_params(length=2, pad=2, left=rows, labelleft=rows)
    edges = np.arange(0, len(names) + 1, layout.guide_step) - 0.5
    axis.set_xticks(edges, minor=True)
    axis.set_yticks(edges, minor=True)
    axis.grid(which="minor", color="0.5", alpha=0.35, linewidth=0.5)
    axis.tick_params(which="minor", length=0)


def _write_numbers(axis: Any, panel: Panel, layout: Layout) -> None:
    font = layout.number_font(panel.cells)
    if not font:
        return
    for row, column in np.argwhere(panel.cells != ""):
        dark = math.sqrt(max(0.0, float(panel.shares[row, column]))) > 0.6
        color = "white" if dark else "black"
        axis.text(column, row, panel.cells[row, column], ha="center", va="center", fontsize=font, color=color)


def _share_texts(matrix: np.ndarray) -> np.ndarray:
    """The text of each share, short enough for a cell: ".20", ".004", "1"; zero is blank."""
    texts = np.full(matrix.shape, "", object)
    for place, share in np.ndenumerate(matrix):
        if share >= 0.995:
            texts[place] = "1" if share == 1 else f"{share:.3f}".removeprefix("0")
        elif share >= 0.0095:
            texts[place] = f"{share:.2f}".removeprefix("0")
        elif share > 0:
            texts[place] = f"{share:.3f}".removeprefix("0") if share >= 0.0005 else "+0"
    return texts


def _short(name: str) -> str:
    line = printable(" ".join(name.split())) or "(no name)"
    return line if len(line) <= LONGEST_NAME else line[: LONGEST_NAME - 1] + "…"
