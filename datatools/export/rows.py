"""A dataset's records in chunks, with the clean labels beside them: what every export reads from."""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from datatools.errors import DataToolsError
from datatools.format.dataset import Dataset
from datatools.format.metadata import SPLITS
from datatools.format.records import record_dtype, records_per_chunk
from datatools.printable import formula_safe
from datatools.progress import Progress


class Rows(NamedTuple):
    """A run of consecutive records of one batch file.

    Attributes:
        file, offset: the name of the batch file and the byte at which the first of these records begins.
        ids, labels: (B,) int64.
        clean_labels: (B,) int64, or None where they are not known.
        replaced_by: (B,) int64, for open-set noise the donor's id of the image in a record's place, -1 where its own
            image is; None for other noise.
        records: (B,) structured as in `records.record_dtype`, a view of the batch file.
    """

    file: str
    offset: int
    ids: np.ndarray
    labels: np.ndarray
    clean_labels: np.ndarray | None
    replaced_by: np.ndarray | None
    records: np.ndarray

    def images(self) -> np.ndarray:
        """(B, height, width, depth) uint8, contiguous."""
        return np.ascontiguousarray(self.records["pixels"].transpose(0, 2, 3, 1))


@dataclass
class Reader:
    """Reads the splits of a dataset one after the other and reports progress over all of them.

    With `safe_csv` names of classes come as `printable.formula_safe` makes them, for tables.

    Clean labels are known where the labels themselves are ("clean") and where a manifest holds them ("noisy": its
    test split was never touched). With "unknown" labels they are not.
    """

    dataset: Dataset
    progress: Progress
    safe_csv: bool = False
    done: int = 0

    def __post_init__(self) -> None:
        metadata = self.dataset.metadata
        self.knows_clean = metadata.labels != "unknown"
        self.total = sum(metadata.num_records(split) for split in SPLITS)
        self._manifest = self.dataset.manifest()

    @property
    def columns(self) -> tuple[str, ...]:
        """The numbers that are known of each record, by their names in `Rows`."""
        names = ["ids", "labels"]
        if self.knows_clean:
            names.append("clean_labels")
        if self._manifest is not None and self._manifest.replaced_by is not None:
            names.append("replaced_by")
        return tuple(names)

    @property
    def names_in_cells(self) -> list[str]:
        """The names of the classes as they stand in a CSV table."""
        names = self.dataset.metadata.class_names
        return [formula_safe(name) for name in names] if self.safe_csv else list(names)

    def class_names(self, to: str) -> tuple[str, ...]:
        """The names of the classes for a format, `to`, whose texts end at a NUL.

        Raises:
            DataToolsError: a name has one.
        """
        names = self.dataset.metadata.class_names
        for number, name in enumerate(names):
            if "\0" in name:
                raise DataToolsError(
                    f"{self.dataset.path}: class {number} has a NUL in its name, {name!r:.60}, which {to} cannot hold; "
                    "export to csv or image-folder"
                )
        return names

    def rows(self, split: str) -> Iterator[Rows]:
        """The records of a split in record order, about 8 MiB at a time.

        Raises:
            DataToolsError: a batch file is missing or cut short, a label or an id is out of range.
        """
        metadata = self.dataset.metadata
        step, size = records_per_chunk(metadata.image_shape), record_dtype(metadata.image_shape).itemsize
        for file, batch in zip(metadata.splits[split], self.dataset.batches(split), strict=True):
            for start in range(0, len(batch), step):
                chunk = batch[start : start + step]
                ids, labels = chunk["id"].astype(np.int64), chunk["label"].astype(np.int64)
                self._check(file.name, start, ids, labels, metadata.num_records(split))
                clean, replaced = self._clean(split, ids, labels), self._replaced(split, ids)
                yield Rows(file.name, start * size, ids, labels, clean, replaced, chunk)
                _forget(batch)
                self.done += len(chunk)
                self.progress(self.done, self.total)

    def _clean(self, split: str, ids: np.ndarray, labels: np.ndarray) -> np.ndarray | None:
        if not self.knows_clean:
            return None
        if split == "train" and self._manifest is not None:
            return self._manifest.clean_labels.astype(np.int64)[ids]
        return labels

    def _replaced(self, split: str, ids: np.ndarray) -> np.ndarray | None:
        if self._manifest is None or self._manifest.replaced_by is None:
            return None
        return self._manifest.replaced_by[ids] if split == "train" else np.full(len(ids), -1, np.int64)

    def _check(self, name: str, start: int, ids: np.ndarray, labels: np.ndarray, records: int) -> None:
        for what, values, end in (("label", labels, self.dataset.metadata.num_classes), ("id", ids, records)):
            wrong = np.flatnonzero(values >= end)
            if len(wrong):
                raise DataToolsError(
                    f"{self.dataset.path / name}: record {start + wrong[0]} has {what} {values[wrong[0]]}, "
                    f"0..{end - 1} is expected; make the dataset anew (--overwrite)"
                )


def _forget(batch: np.ndarray) -> None:
    """Hand back the pages of a memory map that were read, or memory would grow to the size of the file."""
    base: Any = batch.base
    if isinstance(base, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
        base.madvise(mmap.MADV_DONTNEED)
