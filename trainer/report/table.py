"""The table on the screen."""

from __future__ import annotations

from collections.abc import Sequence

from trainer.report.collect import NOTHING, FinishedRun
from trainer.report.summary import headline_shares, shown_errors, table_rows

ERROR_COLUMNS = {
    "last_test_error": "last",
    "selected_test_error": "selected",
    "mean_last10_test_error": "mean last 10",
    "best_test_error": "best on test",
}


def table(runs: Sequence[FinishedRun]) -> list[str]:
    """Lines of text: a group each, mean ± standard deviation over its runs, in percent."""
    groups = table_rows(runs)
    errors = shown_errors(groups)
    rows: list[tuple[str, ...]] = [
        (
            "dataset",
            "noise",
            "network",
            "method",
            "runs",
            *(ERROR_COLUMNS[key] for key in errors),
            *(metric.name for metric in headline_shares()),
            "told",
            "paper's best",
        )
    ]
    shares = [metric.key for metric in headline_shares()]
    for row in groups:
        group = row.group
        figures = [row.errors[key].percent() if key in row.errors else "-" for key in errors]
        figures += [row.shares[key].percent() if key in row.shares else "-" for key in shares]
        paper = "-" if row.paper is None else f"{100 * row.paper:.1f}"
        names = (group.dataset, group.noise, group.network, row.label, str(len(row.members)))
        rows.append((*names, *figures, row.ledger_words.replace(NOTHING, "-"), paper))
    if all(row[-1] == "-" for row in rows[1:]):  # nobody's setting is the paper's
        rows = [row[:-1] for row in rows]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return ["test error in %, mean ± standard deviation over runs"] + [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    ]
