"""All figures of a report, described once: the page and the pictures for papers draw the same descriptions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from trainer.report.collect import Group, method_rank
from trainer.report.curve_figures import CurveRow, curve_rows
from trainer.report.description import DotPlot, LineChart
from trainer.report.error_figures import error_figure
from trainer.report.matrices import Transitions
from trainer.report.matrix_figures import MatrixFigures, Names, confusion_figures, transition_figures
from trainer.report.summary import SHOWN, Panel, Row


@dataclass(frozen=True)
class PanelFigures:
    """The figures of a panel.

    Attributes:
        errors: by headline, those of SHOWN that any run has; empty where no noise rate is known.
    """

    panel: Panel
    errors: dict[str, LineChart | DotPlot]
    curves: tuple[CurveRow, ...]


@dataclass(frozen=True)
class Figures:
    """What `describe` makes.

    Attributes:
        style: the number in `style.STYLES` of each label.
    """

    style: dict[str, int]
    panels: tuple[PanelFigures, ...]
    transitions: tuple[MatrixFigures, ...]
    confusions: tuple[MatrixFigures, ...]


def describe(
    rows: Sequence[Row], panels: Sequence[Panel], matrices: Mapping[Group, Transitions], names: Names
) -> Figures:
    """The figures of a report's rows and panels.

    Args:
        matrices: of the groups whose clean labels are known. names: class names, where they are known.
    """
    style = method_styles(panels)
    parts = []
    for panel in panels:
        errors = {key: figure for key in SHOWN if (figure := error_figure(panel, key, style)) is not None}
        parts.append(PanelFigures(panel, errors, curve_rows(panel, style)))
    return Figures(style, tuple(parts), transition_figures(rows, matrices, names), confusion_figures(rows, names))


def method_styles(panels: Sequence[Panel]) -> dict[str, int]:
    """The style of each line of all panels: a method keeps its own, whatever else is in the report."""
    numbers: dict[str, int] = {}
    extra = 4
    for panel in panels:
        for row in sorted(panel.rows, key=lambda row: (method_rank(row.group.method), row.label)):
            if row.label in numbers:
                continue
            rank = method_rank(row.group.method)[0]
            if rank < 4 and rank not in numbers.values():
                numbers[row.label] = rank
            else:
                numbers[row.label], extra = extra, extra + 1
    return numbers
