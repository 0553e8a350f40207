"""A dataset directory: dataset.json, data_batch_*.bin, test_batch.bin and, after `corrupt`, manifest.h5."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from datatools.errors import DataToolsError, listed
from datatools.format.metadata import DATASET_FILE, FILES_CSV, MANIFEST_FILE, MAX_JSON_BYTES, Metadata
from datatools.format.records import read_records


@dataclass(frozen=True)
class Dataset:
    """A dataset directory that was opened: its path, its metadata and lazy access to its records."""

    path: Path
    metadata: Metadata

    def batches(self, split: str) -> Iterator[np.ndarray]:
        """The batch files of a split as memory maps of `records.record_dtype`, in record order.

        Raises:
            DataToolsError: a batch file is missing or not as long as dataset.json says.
        """
        for file in self.metadata.splits[split]:
            records = read_records(self.path / file.name, self.metadata.image_shape)
            if len(records) != file.records:
                raise DataToolsError(
                    f"{self.path / file.name}: {len(records):,} records, {DATASET_FILE} says {file.records:,}; "
                    "make the dataset anew (--overwrite)"
                )
            yield records

    def ids(self, split: str) -> np.ndarray:
        """(N,) int64 ids of a split, in record order."""
        return self._column(split, "id")

    def labels(self, split: str) -> np.ndarray:
        """(N,) int64 labels of a split as they stand in the records, in record order."""
        return self._column(split, "label")

    def _column(self, split: str, field: str) -> np.ndarray:
        columns = [batch[field].astype(np.int64) for batch in self.batches(split)]
        return np.concatenate([*columns, np.empty(0, np.int64)])

    @property
    def manifest_path(self) -> Path:
        return self.path / MANIFEST_FILE

    @property
    def files_csv_path(self) -> Path:
        return self.path / FILES_CSV

    @property
    def sha256(self) -> str:
        """SHA-256 of dataset.json: it names every batch file's own, so it stands for the whole dataset."""
        return hashlib.sha256((self.path / DATASET_FILE).read_bytes()).hexdigest()


def open_dataset(path: Path | str) -> Dataset:
    """Open a dataset directory.

    Raises:
        DataToolsError: no dataset directory, or its dataset.json is not one.
    """
    path = Path(path)
    file = path / DATASET_FILE
    if not file.is_file():
        what = "holds no dataset.json" if path.is_dir() else "no such dataset directory"
        raise DataToolsError(f"{path}: {what}; name a directory that `datatools convert` or `corrupt` made")
    if file.stat().st_size > MAX_JSON_BYTES:
        raise DataToolsError(f"{file}: larger than {MAX_JSON_BYTES >> 20} MiB, so not a {DATASET_FILE}")
    try:
        return Dataset(path, Metadata.from_json(file.read_text(encoding="utf-8")))
    except ValueError as error:  # JSON and UTF-8 errors are ValueErrors too
        raise DataToolsError(f"{file}: {error}; make the dataset anew (--overwrite)") from None


def find_dataset(root: Path, labels: str, remedy: str) -> Dataset:
    """The only dataset under `root` whose labels are `labels` ("clean" or "noisy").

    Args:
        remedy: what the user can do where there is none.

    Raises:
        DataToolsError: none, or several; the message names what is there.
    """
    found, broken = [], []
    for file in sorted(root.glob(f"*/{DATASET_FILE}")):
        if file.parent.name.startswith("."):  # one that is being built
            continue
        try:
            found.append(open_dataset(file.parent))
        except DataToolsError:
            broken.append(file.parent)
    matching = [dataset for dataset in found if dataset.metadata.labels == labels]
    if len(matching) == 1:
        return matching[0]
    if matching:
        raise DataToolsError(
            f"{root}: {len(matching)} {labels} datasets ({listed([d.path for d in matching])}); name one with --data"
        )
    there = [f"{d.path} ({d.metadata.labels})" for d in found] + [f"{p} (unreadable)" for p in broken]
    raise DataToolsError(
        f"{root}: no {labels} dataset ({'found ' + listed(there) if there else 'nothing there'}); {remedy}"
    )
