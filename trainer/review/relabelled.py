"""Decisions -> a copy of a dataset that has no files, with the labels that a person decided on."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from datatools.files.write_errors import naming
from datatools.format.building import check_apart, dataset_directory, dataset_name
from datatools.format.copying import copy_with_labels
from datatools.format.dataset import Dataset, open_dataset
from datatools.format.metadata import package_version, write_metadata
from datatools.format.records import file_sha256
from datatools.printable import formula_safe
from datatools.progress import Progress, no_progress
from trainer.errors import TrainerError
from trainer.review.checking import check_new
from trainer.review.decisions import CHANGE, REMOVE, Decision
from trainer.review.items import Audit, Key

CHANGES_FILE = "changes.csv"
COLUMNS = ("id", "from", "to", "from_name", "to_name")


@dataclass(frozen=True)
class Reviewed:
    """How many training labels were decided on, how many of them changed, and on how many nobody decided."""

    decided: int
    changed: int
    not_reviewed: int


def apply_to_dataset(
    audit: Audit,
    decisions: Mapping[Key, Decision],
    out: Path,
    *,
    data: Path | None = None,
    dry_run: bool = False,
    progress: Progress = no_progress,
) -> Reviewed:
    """Copy the audited dataset to the new directory `out`, with the decided labels.

    Its labels are of "unknown" quality. What was changed is in changes.csv, and `reviewed` in dataset.json says from
    which audit, and how many labels were decided on.

    Args:
        data: where the dataset is now; None for the path in the audit. dry_run: only check.
        progress: called with (records copied, records in all).

    Raises:
        TrainerError: a decision that a dataset cannot follow, a dataset that changed. DataToolsError: `out` is taken.
    """
    dataset_name(out, "--to")
    check_new(out)
    home = data or audit.dataset
    assert home is not None  # an audit of a dataset; the command tells the two apart
    parent = open_dataset(home)
    if parent.sha256 != audit.dataset_sha256:
        raise TrainerError(f"{home}: not the audited dataset, or changed since; tell where that is with --folder")
    check_apart(out, parent, "--to")
    before = parent.labels_by_id("train")
    labels = _labels(audit, decisions, parent, before)
    changed = np.flatnonzero(labels != before)
    counts = Reviewed(len(decisions), len(changed), len(before) - len(decisions))
    if dry_run:
        return counts
    with dataset_directory(out, overwrite=False) as folder:
        files = copy_with_labels(parent, labels, folder, progress)
        _write_changes(parent, before, labels, changed, folder / CHANGES_FILE)
        reviewed = {
            "parent": {"name": parent.metadata.name, "sha256": parent.sha256},
            "audit": audit.audit_id,
            "decided": counts.decided,
            "changed": counts.changed,
            "not_reviewed": counts.not_reviewed,
            "changes_csv": file_sha256(folder / CHANGES_FILE),
        }
        metadata = replace(
            parent.metadata,
            name=dataset_name(out),
            splits={"train": files, "test": parent.metadata.splits["test"]},
            labels="unknown",
            noise=None,
            reviewed=reviewed,
            created_by=package_version(),
        )
        write_metadata(folder, metadata)
    return counts


def _labels(audit: Audit, decisions: Mapping[Key, Decision], parent: Dataset, before: np.ndarray) -> np.ndarray:
    """(N,) int64 training labels by id, as decided."""
    numbers = {name: number for number, name in enumerate(parent.metadata.class_names)}
    labels = before.copy()
    for made in decisions.values():
        sample = made.sample
        where = f"{sample.split} {sample.id}"
        if made.decision == REMOVE:
            raise TrainerError(
                f"{where}: remove, but the records of a dataset keep their ids; decide keep or change, or audit the "
                "folder of images that the dataset was made of"
            )
        if sample.split != "train" or sample.id >= len(labels) or numbers.get(sample.given) != labels[sample.id]:
            raise TrainerError(f"{where}: only training labels of {parent.path} can be changed; delete this decision")
        if made.decision == CHANGE:
            if made.label not in numbers:
                raise TrainerError(
                    f"{where}: {made.label!r:.60} is no class of {parent.path}; choose one of its classes"
                )
            labels[sample.id] = numbers[made.label]
    return labels


def _write_changes(parent: Dataset, before: np.ndarray, labels: np.ndarray, changed: np.ndarray, path: Path) -> None:
    names = [formula_safe(name) for name in parent.metadata.class_names]
    with naming(path), path.open("x", encoding="utf-8", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(COLUMNS)
        for record in changed.tolist():
            old, new = int(before[record]), int(labels[record])
            table.writerow((record, old, new, names[old], names[new]))
