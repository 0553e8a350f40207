"""The table on the screen."""

from __future__ import annotations

from collections.abc import Sequence

from trainer.report.collect import FinishedRun
from trainer.report.summary import headline_shares, table_rows
from trainer.runs.result import HEADLINES


def table(runs: Sequence[FinishedRun]) -> list[str]:
    """Lines of text: a group each, mean ± standard deviation over its runs, in percent."""
    rows: list[tuple[str, ...]] = [
        (
            "dataset",
            "noise",
            "network",
            "method",
            "runs",
            "best",
            "last",
            "mean last 10",
            *(metric.name for metric in headline_shares()),
            "paper's best",
        )
    ]
    shares = [metric.key for metric in headline_shares()]
    for row in table_rows(runs):
        group = row.group
        figures = [row.errors[key].percent() for key in HEADLINES]
        figures += [row.shares[key].percent() if key in row.shares else "-" for key in shares]
        paper = "-" if row.paper is None else f"{100 * row.paper:.1f}"
        cells = (group.dataset, group.noise, group.network, row.label, str(len(row.members)), *figures, paper)
        rows.append(cells)
    if all(row[-1] == "-" for row in rows[1:]):  # nobody's setting is the paper's
        rows = [row[:-1] for row in rows]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return ["test error in %, mean ± standard deviation over runs"] + [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    ]
