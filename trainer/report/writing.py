"""Everything that `trainer report` writes, built beside its place and moved there when all of it is done."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path

from datatools.files.output import FolderKind, new_folder
from trainer.report.collect import FinishedRun, Group
from trainer.report.data_files import write_csv, write_curves, write_groups, write_json, write_matrices
from trainer.report.figures import describe
from trainer.report.matrices import Datasets, Transitions, transitions
from trainer.report.page import page
from trainer.report.pictures import draw_figures, draw_learning_curves
from trainer.report.summary import panels, table_rows

PAGE_FILE = "report.html"
JSON_FILE = "report.json"
DATA_FILES = ("results.csv", "groups.csv", "curves.csv", "matrices.csv")
CURVES_PICTURE = "learning-curves.png"
FIGURES = "figures"
_LEFTOVER = re.compile(r"\.report-[a-z0-9_]{8}")
"""What a kill left in the folder of a report by an earlier version."""


def write_report(
    runs: Sequence[FinishedRun], left_out: Sequence[str], out: Path, *, safe_csv: bool = True
) -> list[str]:
    """Write page, data and figures as the folder `out`, whole or not at all; the same runs give the same bytes.

    Args:
        left_out: lines on the runs that are not in it.
        safe_csv: in tables, put an apostrophe before what a spreadsheet would take for a formula.
        out: where no folder is, an empty one, or an earlier report, which is replaced if nothing was put into it since.

    Returns:
        the names of the files, the page first.

    Raises:
        DataToolsError: something else is at `out`.
    """
    out = out.resolve() if out.is_symlink() and out.is_dir() else out  # a link to a report is fine
    with new_folder(out, True, REPORT_FOLDER) as folder:
        return _build(runs, left_out, folder, out, safe_csv)


def _build(runs: Sequence[FinishedRun], left_out: Sequence[str], folder: Path, out: Path, safe_csv: bool) -> list[str]:
    rows = table_rows(runs)
    shown = panels(rows)
    datasets = Datasets()
    matrices: dict[Group, Transitions] = {}
    names: dict[Group, tuple[str, ...]] = {}
    notes: list[str] = []
    for row in rows:
        matrix, lines = transitions(row.members, datasets)
        notes += lines
        if matrix is not None:
            matrices[row.group] = matrix
        for run in row.members:
            if (known := datasets.class_names(run)) is not None:
                names.setdefault(row.group, known)
    (folder / FIGURES).mkdir()
    figures = describe(rows, shown, matrices, names)
    pictures = draw_figures(figures, folder / FIGURES)
    files = [*DATA_FILES, JSON_FILE, CURVES_PICTURE, *(f"{FIGURES}/{name}" for name in pictures)]
    draw_learning_curves(figures, folder / CURVES_PICTURE)
    write_csv(runs, folder / DATA_FILES[0], safe_csv)
    write_groups(rows, folder / DATA_FILES[1], safe_csv)
    write_curves(runs, folder / DATA_FILES[2], safe_csv)
    write_matrices(matrices.items(), folder / DATA_FILES[3], safe_csv)
    write_json(shown, runs, left_out, files, folder / JSON_FILE)
    text = page(rows, figures, names, notes, left_out, files, out)
    (folder / PAGE_FILE).write_text(text, encoding="utf-8")
    return [PAGE_FILE, *files]


def _is_report(folder: Path) -> bool:
    """Whether a folder holds a report, or what is left of one, and nothing that its report.json does not name."""
    named = {FIGURES}
    try:
        names = json.loads((folder / JSON_FILE).read_text(encoding="utf-8"))["files"]
        named |= {PAGE_FILE, *(name for name in names if isinstance(name, str))}
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        pass  # no report.json of a report: what else is in the folder is nobody's
    entries = [path for path in folder.iterdir() if not _LEFTOVER.fullmatch(path.name)]
    inside = [path for path in entries if path.is_dir() for path in path.rglob("*")]
    return all(path.relative_to(folder).as_posix() in named for path in (*entries, *inside))


REPORT_FOLDER = FolderKind(_is_report, "holds what no report made")
