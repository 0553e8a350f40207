"""Everything that `trainer report` writes, built beside its place and moved there when all of it is done."""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Sequence
from pathlib import Path

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
_FIGURE = re.compile(rf"{FIGURES}/[a-z0-9][a-z0-9.-]*\.(png|svg)")


def write_report(runs: Sequence[FinishedRun], left_out: Sequence[str], out: Path) -> list[str]:
    """Write page, data and figures into the folder `out`; the same runs give the same bytes.

    Figures of an earlier report that this one does not have are removed, so that none outlives its data.

    Args:
        left_out: lines on the runs that are not in it.

    Returns:
        the names of the files, the page first.
    """
    out.mkdir(parents=True, exist_ok=True)
    earlier = _figures_of(out / JSON_FILE)
    with tempfile.TemporaryDirectory(prefix=".report-", dir=out) as folder:
        made = _build(runs, left_out, Path(folder), out)
        (out / FIGURES).mkdir(exist_ok=True)
        for name in reversed(made):  # the page last: where it is new, all it names is there
            (Path(folder) / name).replace(out / name)
    for name in earlier - set(made):
        (out / name).unlink(missing_ok=True)
    return made


def _build(runs: Sequence[FinishedRun], left_out: Sequence[str], folder: Path, out: Path) -> list[str]:
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
    write_csv(runs, folder / DATA_FILES[0])
    write_groups(rows, folder / DATA_FILES[1])
    write_curves(runs, folder / DATA_FILES[2])
    write_matrices(matrices.items(), folder / DATA_FILES[3])
    write_json(shown, runs, left_out, files, folder / JSON_FILE)
    text = page(rows, figures, names, notes, left_out, files, out)
    (folder / PAGE_FILE).write_text(text, encoding="utf-8")
    return [PAGE_FILE, *files]


def _figures_of(path: Path) -> set[str]:
    """The figures that an earlier report.json names, as far as they are names that a report gives."""
    try:
        names = json.loads(path.read_text(encoding="utf-8"))["files"]
        return {name for name in names if isinstance(name, str) and _FIGURE.fullmatch(name)}
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        return set()
