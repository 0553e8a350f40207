"""decisions.csv: what a person decided of each sample, a row a decision. suggestions.csv has the same format.

A spreadsheet may have written the file anew: a byte order mark, CRLF, and semicolons or tabs between the cells are
taken as what they are.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from datatools.errors import listed
from datatools.files.bounded import read_file
from datatools.files.write_errors import naming
from datatools.format.metadata import SPLITS
from datatools.names import is_plain_name
from datatools.printable import formula_safe, formula_undone
from trainer.errors import TrainerError
from trainer.review.items import Audit, Key, Sample

COLUMNS = ("audit", "split", "id", "path", "sha256", "given", "decision", "label")
KEEP, CHANGE, REMOVE = DECISIONS = ("keep", "change", "remove")
DELIMITERS = ",;\t"
"""The second is what spreadsheets write where the comma is a decimal point."""


@dataclass(frozen=True)
class Decision:
    """What is to become of a sample.

    Attributes:
        decision: "keep", "change" or "remove". label: name of the class it is to have; None where it is removed.
    """

    sample: Sample
    decision: str
    label: str | None


def decisions_text(audit_id: str, decisions: Iterable[Decision]) -> str:
    """The content of decisions.csv; the same decisions in the same order give the same text."""
    file = io.StringIO()
    table = csv.writer(file, lineterminator="\n")
    table.writerow(COLUMNS)
    for made in decisions:
        sample = made.sample
        cells = (sample.path, sample.sha256, sample.given, made.decision, made.label)
        table.writerow((audit_id, sample.split, sample.id, *(formula_safe(cell or "") for cell in cells)))
    return file.getvalue()


def write_decisions(path: Path, audit_id: str, decisions: Iterable[Decision]) -> None:
    """Write the new file `path`, in a folder that is being built."""
    data = decisions_text(audit_id, decisions).encode()
    with naming(path), path.open("xb") as file:
        file.write(data)


def read_decisions(path: Path, audit: Audit, new_classes: bool = False) -> dict[Key, Decision]:
    """The decisions of a file, by split and id.

    Args:
        new_classes: whether a label may be a class that the audit has not.

    Raises:
        TrainerError: no such file, of another audit, or a row that is no decision; it names the row, the head is row 1.
    """
    try:
        text = read_file(path, "the decisions.csv that the review page gave").decode("utf-8-sig")
    except UnicodeDecodeError:
        raise TrainerError(f"{path}: not UTF-8; in a spreadsheet, save it as 'CSV UTF-8'") from None
    decisions: dict[Key, Decision] = {}
    row_of: dict[Key, int] = {}
    for number, row in _rows(path, text):
        made = _decision(f"{path}: row {number}", row, audit, new_classes)
        key = made.sample.key
        if key in decisions:
            raise TrainerError(
                f"{path}: row {number}: decides {_called(made.sample)} again, after row {row_of[key]}; delete one"
            )
        decisions[key], row_of[key] = made, number
    _check_new_names(path, decisions, audit)
    return decisions


def _rows(path: Path, text: str) -> Iterator[tuple[int, dict[str, str]]]:
    """(number, cells by column) of each row; one whose cells are all empty is none."""
    head = text.partition("\n")[0].rstrip("\r")
    delimiter = next((mark for mark in DELIMITERS if head.replace('"', "").split(mark) == list(COLUMNS)), None)
    if delimiter is None:
        raise TrainerError(f"{path}: row 1: columns {', '.join(COLUMNS)} are expected; download the decisions anew")
    if not text.endswith(("\n", "\r")):
        raise TrainerError(f"{path}: its last row has no end, so the file was cut short; download the decisions anew")
    number = 1
    try:
        table = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
        next(table)
        for number, row in enumerate(table, 2):
            if not any(row):
                continue
            if len(row) != len(COLUMNS):
                raise csv.Error(f"{len(row)} cells, {len(COLUMNS)} are expected")
            yield number, dict(zip(COLUMNS, map(formula_undone, row), strict=True))
    except csv.Error as error:
        raise TrainerError(f"{path}: row {number}: {error}; download the decisions anew") from None


def _decision(where: str, row: Mapping[str, str], audit: Audit, new_classes: bool) -> Decision:
    """The decision of a row."""
    if row["audit"] != audit.audit_id:
        raise TrainerError(
            f"{where}: of another audit ({row['audit']!r:.14}…, this one is {audit.audit_id[:12]}…), or the files "
            "changed between the two; name the folder of its audit with --audit"
        )
    number = row["id"]
    plain = number.isascii() and number.isdigit() and len(number) <= 10
    sample = audit.by_key.get((row["split"], int(number))) if plain else None
    if sample is None:
        raise TrainerError(f"{where}: no sample {row['split']!r:.20} {number!r:.20} in the audit; undo the edit")
    for column, value in (("path", sample.path), ("sha256", sample.sha256), ("given", sample.given)):
        if row[column] != (value or ""):
            raise TrainerError(
                f"{where}: {column} of {_called(sample)} is {row[column]!r:.60}, the audit has {value!r:.60}; undo the "
                "edit: only decision and label are to be changed by hand"
            )
    decision, label = row["decision"], row["label"]
    if decision not in DECISIONS:
        raise TrainerError(
            f"{where}: decision {decision!r:.20}; {', '.join(DECISIONS)} are expected: delete the row to leave "
            f"{_called(sample)} undecided"
        )
    if decision != CHANGE:
        if label not in ("", sample.given):
            raise TrainerError(f"{where}: {decision}, with label {label!r:.60}; leave it empty, or write change")
        return Decision(sample, decision, sample.given if decision == KEEP else None)
    if label == sample.given or not label:
        raise TrainerError(f"{where}: change to {label!r:.60}; another class than {sample.given!r:.60} is expected")
    if label not in audit.class_names:
        if not new_classes:
            raise TrainerError(
                f"{where}: no class {label!r:.60} ({listed(audit.class_names)}); correct the name, or pass "
                "--new-classes to make it one"
            )
        if not _may_be_class(label):
            raise TrainerError(f"{where}: {label!r:.60} cannot name a folder of images; choose another name")
    return Decision(sample, decision, label)


def _may_be_class(name: str) -> bool:
    """Whether a folder of this name is read as a class: a plain name that is neither hidden nor that of a split."""
    return is_plain_name(name) and not name.startswith(".") and name.strip() == name and name not in SPLITS


def _check_new_names(path: Path, decisions: Mapping[Key, Decision], audit: Audit) -> None:
    """Raise TrainerError where two classes would differ in case alone: one folder to some file systems, and a slip."""
    spelled = {name.casefold(): name for name in audit.class_names}
    known = set(audit.class_names)
    for made in decisions.values():
        if made.label is None or made.label in known:
            continue
        other = spelled.setdefault(made.label.casefold(), made.label)
        if other != made.label:
            raise TrainerError(f"{path}: classes {other!r:.60} and {made.label!r:.60} differ in case alone; take one")


def _called(sample: Sample) -> str:
    """How a message names a sample."""
    return f"{sample.split} {sample.id}" if sample.path is None else sample.path
