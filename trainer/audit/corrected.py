"""The dataset with the suspects' labels replaced by the suggested ones, and the record of what was changed."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from datatools.files.write_errors import naming
from datatools.format.copying import Change, DatasetCopy
from datatools.format.metadata import FILES_CSV, SKIPPED_CSV, BatchFile, package_version, write_metadata
from datatools.format.records import file_sha256
from datatools.printable import formula_safe
from trainer.audit.evidence import Evidence
from trainer.audit.scoring import Verdict
from trainer.errors import TrainerError
from trainer.runs.directory import CONFIG_FILE

CHANGES_FILE = "changes.csv"
CHANGES_COLUMNS = ("id", "from", "to", "from_name", "to_name", "suspicion", "confidence")
Progress = Callable[[int, int], None]


def write_corrected(
    evidence: Evidence, verdict: Verdict, folder: Path, progress: Progress, safe_csv: bool = True
) -> np.ndarray:
    """Fill the empty `folder` with the corrected dataset.

    Its labels are of "unknown" quality: nobody vouches for them, and a manifest of the parent would tell of other ones.
    What was changed is in changes.csv, and where it comes from under "relabelled" in dataset.json.

    Returns:
        (C,) int64 ids of the changed labels, ascending.

    Raises:
        OSError: the disk is full, …. DataToolsError: a batch file is damaged.
    """
    parent = evidence.dataset
    labels = np.where(verdict.suspects, verdict.suggested_labels, evidence.given_labels)
    changed = np.flatnonzero(labels != evidence.given_labels)
    files = _copy(evidence, labels, folder, progress)
    _write_changes(evidence, verdict, changed, folder / CHANGES_FILE, safe_csv)
    relabelled = {
        "parent": {"name": parent.metadata.name, "sha256": parent.sha256},
        "run": {
            "method": evidence.method,
            "network": evidence.network,
            "seed": evidence.seed,
            "config_sha256": file_sha256(evidence.directory / CONFIG_FILE),
        },
        "suspects_from": verdict.count_from,
        "noise_rate": verdict.noise_rate,
        "changed": len(changed),
        "changes_csv": file_sha256(folder / CHANGES_FILE),
    }
    metadata = replace(
        parent.metadata,
        name=f"{parent.metadata.name}-relabelled",
        splits={"train": files, "test": parent.metadata.splits["test"]},
        labels="unknown",
        noise=None,
        relabelled=relabelled,
        created_by=package_version(),
    )
    write_metadata(folder, metadata)
    return changed


def _copy(evidence: Evidence, labels: np.ndarray, folder: Path, progress: Progress) -> tuple[BatchFile, ...]:
    """Copy every file with the new labels in it; pixels are never re-encoded."""
    parent = evidence.dataset
    test = [file.name for file in parent.metadata.splits["test"]]
    beside = {FILES_CSV: parent.metadata.files_csv, SKIPPED_CSV: parent.metadata.skipped}
    others = test + [name for name, recorded in beside.items() if recorded is not None]

    def changes_in(batch: np.ndarray) -> Callable[[slice], Iterator[Change]]:
        ids, old = batch["id"].astype(np.int64), batch["label"].astype(np.int64)

        def changes(records: slice) -> Iterator[Change]:
            new = labels[ids[records]]
            positions = np.flatnonzero(new != old[records])
            yield Change("label", positions, new[positions])

        return changes

    with DatasetCopy(parent, folder, others) as copy:
        copy.change([changes_in(batch) for batch in parent.batches("train")])
        return copy.finish(progress)


def _write_changes(evidence: Evidence, verdict: Verdict, changed: np.ndarray, path: Path, safe_csv: bool) -> None:
    names = [formula_safe(name) if safe_csv else name for name in evidence.class_names]
    with naming(path), path.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(CHANGES_COLUMNS)
        for record in changed.tolist():
            before, after = int(evidence.given_labels[record]), int(verdict.suggested_labels[record])
            numbers = (f"{verdict.suspicion[record]:.6f}", f"{verdict.confidence[record]:.6f}")
            table.writerow((record, before, after, names[before], names[after], *numbers))


def file_paths(evidence: Evidence) -> dict[int, str] | None:
    """Path of the image file behind each training id, for a dataset made from an image folder; else None.

    Raises:
        TrainerError: files.csv is not the one that the dataset was made with.
    """
    metadata = evidence.dataset.metadata
    if metadata.files_csv is None:
        return None
    path = evidence.dataset.files_csv_path
    if not path.is_file() or file_sha256(path) != metadata.files_csv:
        raise TrainerError(f"{path}: missing, or changed since the dataset was made; see `datatools verify`")
    with path.open(encoding="utf-8", newline="") as file:
        rows: list[dict[str, Any]] = list(csv.DictReader(file))
    try:
        return {int(row["id"]): row["path"] for row in rows if row["split"] == "train"}
    except (KeyError, TypeError, ValueError):
        raise TrainerError(f"{path}: columns id, split, path are expected; convert the dataset again") from None
