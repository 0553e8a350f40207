"""suspects.csv: what the run remembers of each suspect, and what is thought of it."""

from __future__ import annotations

import csv
import math
from pathlib import Path
from typing import Any

import numpy as np

from datatools.files.write_errors import naming
from datatools.printable import formula_safe
from trainer.audit.evidence import Evidence
from trainer.audit.scoring import Verdict
from trainer.runs.samples import shared_columns

SUSPECTS_FILE = "suspects.csv"
COLUMNS = (
    "id",
    "file",
    "given_label",
    "given_name",
    "suggested_label",
    "suggested_name",
    "suspicion",
    "confidence",
    "suspect",
    "held_out",
    "given_probability",
    "suggested_probability",
    "mean_loss",
    "loss_rank",
    "last_prediction",
)
"""After them come those that the methods declare for every run."""
TRUTH_COLUMNS = ("clean_label", "clean_name", "wrong")

NAME_COLUMNS = ("file", "given_name", "suggested_name", "clean_name")
"""Those with names from the dataset."""


def write_suspects(
    evidence: Evidence,
    verdict: Verdict,
    paths: dict[int, str] | None,
    path: Path,
    every_sample: bool,
    safe_csv: bool = True,
) -> None:
    """A row a suspect, or a sample, most suspicious first; what is not known is an empty cell.

    Args:
        safe_csv: put an apostrophe before names that a spreadsheet would take for formulas.
    """
    columns = (*COLUMNS, *(column.name for column in shared_columns()))
    with naming(path), path.open("x", encoding="utf-8", newline="") as file:
        known = TRUTH_COLUMNS if evidence.clean_labels is not None else ()
        table = csv.DictWriter(file, (*columns, *known), lineterminator="\n")
        table.writeheader()
        for record in verdict.order.tolist():
            if every_sample or verdict.suspects[record]:
                row = _row(evidence, verdict, paths, record)
                if safe_csv:
                    row |= {name: formula_safe(row[name]) for name in NAME_COLUMNS if name in row}
                table.writerow(row)


def _row(evidence: Evidence, verdict: Verdict, paths: dict[int, str] | None, record: int) -> dict[str, Any]:
    names = evidence.class_names
    label = int(evidence.given_labels[record])
    row: dict[str, Any] = {
        "id": record,
        "file": "" if paths is None else paths.get(record, ""),
        "given_label": label,
        "given_name": names[label],
        "suspect": int(verdict.suspects[record]),
        "held_out": int(evidence.held_out[record]),
    }
    if evidence.clean_labels is not None and evidence.wrong is not None:
        clean = int(evidence.clean_labels[record])
        row |= {"clean_label": clean, "clean_name": names[clean], "wrong": int(evidence.wrong[record])}
    if evidence.held_out[record]:
        return row
    suggested = int(verdict.suggested_labels[record])
    return row | {
        "suggested_label": suggested,
        "suggested_name": names[suggested],
        "suspicion": _number(verdict.suspicion[record]),
        "confidence": _number(verdict.confidence[record]),
        "given_probability": _number(evidence.mean_probability[record, label]),
        "suggested_probability": _number(evidence.mean_probability[record, suggested]),
        "mean_loss": _number(evidence.mean_loss[record]),
        "loss_rank": int(verdict.loss_rank[record]),
        "last_prediction": int(evidence.last_prediction[record]),
        **{name: _cell(values[record]) for name, values in evidence.of_method.items()},
    }


def _cell(value: Any) -> str | int:
    """A value of a method's column: a label, where a negative one is none, or a number."""
    if isinstance(value, np.integer):
        return "" if value < 0 else int(value)
    return _number(value)


def _number(value: float) -> str:
    return "" if math.isnan(value) else f"{round(float(value), 6) + 0.0:.6f}"  # no -0.000000
