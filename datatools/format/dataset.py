"""A dataset directory: dataset.json, data_batch_*.bin, test_batch.bin and, after `corrupt`, manifest.h5."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from datatools.errors import DataToolsError, listed
from datatools.files.json_text import MAX_JSON_BYTES
from datatools.files.placing import undisturbed
from datatools.format.metadata import DATASET_FILE, FILES_CSV, MANIFEST_FILE, SPLITS, Metadata
from datatools.format.records import read_records
from datatools.format.split import Record, Split

if TYPE_CHECKING:
    from datatools.format.manifest import Manifest
    from datatools.format.source_files import SourceFile


@dataclass(frozen=True, repr=False)
class Dataset:
    """A dataset directory that was opened: its path, its metadata and lazy access to its records.

    `len(dataset)`, `dataset[n]` and iteration are those of the training split; `dataset.split("test")` has the other.
    """

    path: Path
    metadata: Metadata

    def __repr__(self) -> str:
        facts = self.metadata
        counts = " and ".join(f"{facts.num_records(split):,} {split}" for split in SPLITS)
        return (
            f"<Dataset {facts.name} at {self.path}: {counts} images of {facts.image_shape}, "
            f"{facts.num_classes} classes, {facts.labels} labels>"
        )

    def __len__(self) -> int:
        """The number of training records."""
        return len(self._train)

    def __getitem__(self, number: int) -> Record:
        """Training record `number`, in record order: (id, label, image)."""
        return self._train[number]

    def __iter__(self) -> Iterator[Record]:
        return iter(self._train)

    @cached_property
    def _train(self) -> Split:
        return self.split("train")

    def split(self, name: str) -> Split:
        """The records of a split, "train" or "test", by number.

        Raises:
            DataToolsError: there is no such split.
        """
        if name not in self.metadata.splits:
            raise DataToolsError(f"{self.path}: no split '{name}'; it has {' and '.join(self.metadata.splits)}")
        return Split(self, name)

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

    def labels_by_id(self, split: str) -> np.ndarray:
        """(N,) int64 labels of a split as they stand in the records, the label of id i at i.

        Raises:
            DataToolsError: ids are not 0..N-1, each once, or a label is no class.
        """
        ids, labels = self.ids(split), self.labels(split)
        order = np.argsort(ids, kind="stable")
        if not np.array_equal(ids[order], np.arange(len(ids))) or (labels >= self.metadata.num_classes).any():
            raise DataToolsError(f"{self.path}: ids or labels out of range; see `datatools verify`, make it anew")
        return np.asarray(labels[order])

    def manifest(self) -> Manifest | None:
        """What `corrupt` did to the training labels, or None where the labels are not "noisy".

        Raises:
            DataToolsError: manifest.h5 is missing, damaged or of another dataset.
        """
        if self.metadata.labels != "noisy":
            return None
        from datatools.format.manifest import read_manifest  # loads h5py, which the commands' help does without

        return read_manifest(self.manifest_path, self.metadata.num_records("train"), self.metadata.num_classes)

    def clean_labels(self, split: str = "train") -> np.ndarray | None:
        """(N,) int64 clean labels, the one of id i at i; None where nobody knows them.

        They are the records' own where these are "clean", and where noise left them alone, in the test split; the
        manifest's where they are "noisy". Of "unknown" labels they are not known.

        Raises:
            DataToolsError: ids, labels or the manifest are damaged.
        """
        if self.metadata.labels == "unknown":
            return None
        manifest = self.manifest() if split == "train" else None
        return self.labels_by_id(split) if manifest is None else manifest.clean_labels.astype(np.int64)

    def files(self, split: str = "train") -> Sequence[SourceFile] | None:
        """The file that each record was made from, that of id i at i: its path, and its size and SHA-256 then.

        None where the dataset was not made from a folder of images. Open-set noise puts other images into records, and
        changes nothing here: see `Manifest.replaced_by`.

        Raises:
            DataToolsError: files.csv is missing, damaged or of another dataset.
        """
        from datatools.format.source_files import read_source_files

        return read_source_files(self, split)

    def to_tf(self, split: str = "train") -> Any:
        """A `tf.data.Dataset` of (image, label); see `loaders.to_tf`."""
        from datatools.format.loaders import to_tf

        return to_tf(self, split)

    def to_torch(self, split: str = "train") -> Any:
        """A `torch.utils.data.Dataset` of (image, label); see `loaders.to_torch`."""
        from datatools.format.loaders import to_torch

        return to_torch(self, split)

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
    with undisturbed(path.absolute()):
        if not file.is_file():
            what = "holds no dataset.json" if path.is_dir() else "no such dataset directory"
            raise DataToolsError(f"{path}: {what}; name a directory that `datatools convert` or `corrupt` made")
        if file.stat().st_size > MAX_JSON_BYTES:
            raise DataToolsError(f"{file}: larger than {MAX_JSON_BYTES >> 20} MiB, so not a {DATASET_FILE}")
        content = file.read_bytes()
    try:
        return Dataset(path, Metadata.from_json(content.decode("utf-8")))
    except ValueError as error:  # JSON and UTF-8 errors are ValueErrors too
        raise DataToolsError(f"{file}: {error}; make the dataset anew (--overwrite)") from None


def find_dataset(root: Path, labels: str, remedy: str) -> Dataset:
    """The only dataset under `root` whose labels are `labels` ("clean" or "noisy").

    Args:
        remedy: what the user can do where there is none.

    Raises:
        DataToolsError: none, or several; the message names what is there.
    """
    datasets, broken = [], []
    for file in sorted(root.glob(f"*/{DATASET_FILE}")):
        if file.parent.name.startswith("."):  # one that is being built
            continue
        try:
            datasets.append(open_dataset(file.parent))
        except DataToolsError:
            broken.append(file.parent)
    matching = [dataset for dataset in datasets if dataset.metadata.labels == labels]
    if len(matching) == 1:
        return matching[0]
    if matching:
        raise DataToolsError(
            f"{root}: {len(matching)} {labels} datasets ({listed([d.path for d in matching])}); name one with --data"
        )
    listing = [f"{d.path} ({d.metadata.labels})" for d in datasets] + [f"{p} (unreadable)" for p in broken]
    raise DataToolsError(
        f"{root}: no {labels} dataset ({'found ' + listed(listing) if listing else 'nothing there'}); {remedy}"
    )
