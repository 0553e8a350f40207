"""Re-reads everything a dataset directory claims and says, check by check, whether it is so."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from datatools.dataset import DATASET_FILE, MANIFEST_FILE, SPLITS, Dataset, open_dataset
from datatools.errors import DataToolsError, listed
from datatools.manifest import Manifest, read_manifest, realised_matrix, realised_rate
from datatools.records import CHUNK_BYTES

TOLERANCE = 1e-12


@dataclass(frozen=True)
class Check:
    """One line of the report. `passed` is None for a check that could not be made; `detail` says why."""

    name: str
    passed: bool | None
    detail: str


class _FailedError(Exception):
    """A check failed; the text says how."""


class _SkippedError(Exception):
    """A check could not be made; the text says why."""


def verify(dataset: Dataset, progress: Callable[[int, int], None] = lambda done, total: None) -> Iterator[Check]:
    """Run every check, in order.

    Args:
        progress: called with (bytes read, bytes in all) while batch files are read.
    """
    yield Check(DATASET_FILE, True, f"format understood, {dataset.metadata.labels} labels")
    checks = _Checks(dataset, progress)
    listing: list[tuple[str, Callable[[], str]]] = [
        ("record sizes", checks.record_sizes),
        ("checksums", checks.checksums),
        ("ids", checks.ids),
        ("labels in range", checks.labels),
    ]
    if dataset.metadata.labels == "noisy":
        listing += [
            (MANIFEST_FILE, checks.manifest_readable),
            ("manifest against batches", checks.manifest_against_batches),
            ("realised rate", checks.rate),
            ("realised matrix", checks.matrix),
            ("clean labels against parent", checks.clean_labels),
            ("test split against parent", checks.test_split),
        ]
    for name, check in listing:
        try:
            yield Check(name, True, check())
        except (_FailedError, DataToolsError, OSError) as error:
            yield Check(name, False, str(error))
        except _SkippedError as error:
            yield Check(name, None, str(error))


class _Checks:
    """The checks of one dataset; each returns what was found, or raises."""

    def __init__(self, dataset: Dataset, progress: Callable[[int, int], None]) -> None:
        self.dataset, self.metadata, self.progress = dataset, dataset.metadata, progress
        self._manifest: Manifest | None = None

    def record_sizes(self) -> str:
        counts = {split: sum(map(len, self.dataset.batches(split))) for split in SPLITS}
        return ", ".join(f"{count:,} {split} records" for split, count in counts.items())

    def checksums(self) -> str:
        files = [file for split in SPLITS for file in self.metadata.splits[split]]
        total = sum((self.dataset.path / file.name).stat().st_size for file in files)
        done, wrong = 0, []
        for file in files:
            digest = hashlib.sha256()
            with (self.dataset.path / file.name).open("rb") as stream:
                while data := stream.read(CHUNK_BYTES):
                    digest.update(data)
                    done += len(data)
                    self.progress(done, total)
            if digest.hexdigest() != file.sha256:
                wrong.append(file.name)
        if wrong:
            raise _FailedError(f"{listed(wrong)} changed since the dataset was made")
        return f"{len(files)} files, {total:,} bytes"

    def ids(self) -> str:
        for split in SPLITS:
            ids = self.dataset.ids(split)
            wrong = np.flatnonzero(ids != np.arange(len(ids)))
            if len(wrong):
                first = [f"record {n} has id {ids[n]}" for n in wrong[:5]]
                raise _FailedError(f"{split}: not 0..{len(ids) - 1} in order: {listed(first)} ({len(wrong):,} in all)")
        return "dense and unique in both splits"

    def labels(self) -> str:
        for split in SPLITS:
            labels = self.dataset.labels(split)
            self._none(
                labels >= self.metadata.num_classes,
                f"{split}: labels outside 0..{self.metadata.num_classes - 1}",
            )
        return f"0..{self.metadata.num_classes - 1} in both splits"

    def manifest_readable(self) -> str:
        self._manifest = read_manifest(
            self.dataset.manifest_path, self.metadata.num_records("train"), self.metadata.num_classes
        )
        noise = self.metadata.noise or {}
        for key, value in (
            ("type", self._manifest.noise_type),
            ("rate", self._manifest.rate),
            ("realised_rate", self._manifest.realised_rate),
            ("sampling", self._manifest.sampling),
            ("seed", self._manifest.seed),
        ):
            if noise.get(key) != value:
                raise _FailedError(f"its {key} is {value}, {DATASET_FILE} says {noise.get(key)}")
        return f"{len(self._manifest.ids):,} rows, agrees with {DATASET_FILE}"

    def manifest_against_batches(self) -> str:
        manifest = self._require_manifest()
        self._none(manifest.ids != np.arange(len(manifest.ids)), "manifest ids out of order")
        labels = np.full(len(manifest.ids), -1)
        ids = self.dataset.ids("train")
        labels[np.clip(ids, 0, len(labels) - 1)] = self.dataset.labels("train")
        self._none(labels != manifest.noisy_labels, "labels in the batches differ from noisy_label")
        return f"{len(labels):,} noisy labels equal"

    def rate(self) -> str:
        manifest = self._require_manifest()
        rate = realised_rate(manifest.clean_labels, manifest.noisy_labels)
        if abs(rate - manifest.realised_rate) > TOLERANCE:
            raise _FailedError(f"{rate:.6g} by count, the manifest says {manifest.realised_rate:.6g}")
        requested = "" if manifest.rate is None else f" (requested {manifest.rate:g})"
        return f"{rate:.6g}{requested}"

    def matrix(self) -> str:
        manifest = self._require_manifest()
        matrix = realised_matrix(manifest.clean_labels, manifest.noisy_labels, self.metadata.num_classes)
        if not np.abs(matrix - manifest.realised_matrix).max() <= TOLERANCE:  # NaN is no agreement
            raise _FailedError("the manifest's realised_matrix is not what its labels give")
        if manifest.transition_matrix is None:
            return "as counted"
        filled = matrix.sum(axis=1) > 0
        gap = np.abs(matrix - manifest.transition_matrix)[filled].max(initial=0.0)
        if manifest.sampling == "exact":
            counts = np.bincount(manifest.clean_labels, minlength=self.metadata.num_classes)[filled, np.newaxis]
            if not (np.abs(matrix - manifest.transition_matrix)[filled] * counts < 1 + 1e-6).all():
                raise _FailedError(f"up to {gap:.4g} off the requested one, further than whole counts explain")
        return f"as counted, at most {gap:.4g} off the requested one"

    def clean_labels(self) -> str:
        manifest, parent = self._require_manifest(), self._parent()
        labels = parent.labels("train")
        if len(labels) != len(manifest.clean_labels):
            raise _FailedError(f"{len(manifest.clean_labels):,} clean labels, the parent has {len(labels):,}")
        self._none(labels != manifest.clean_labels, "clean_label differs from the parent's label")
        return f"equal to {parent.path.name}"

    def test_split(self) -> str:
        parent = self._parent()
        own = [file.sha256 for file in self.metadata.splits["test"]]
        if own != [file.sha256 for file in parent.metadata.splits["test"]]:
            raise _FailedError(f"differs from {parent.path}")
        return f"the same bytes as {parent.path.name}"

    def _require_manifest(self) -> Manifest:
        if self._manifest is None:
            raise _SkippedError("no readable manifest")
        return self._manifest

    def _parent(self) -> Dataset:
        parent = (self.metadata.noise or {})["parent"]
        # a name from a downloaded dataset.json is looked up beside the dataset and nowhere else
        path = self.dataset.path.resolve().parent / str(parent["name"]).rpartition("/")[2]
        try:
            dataset = open_dataset(path)
        except (DataToolsError, OSError):
            raise _SkippedError(f"the parent, {parent['name']}, is not beside it") from None
        if dataset.sha256 != parent["sha256"]:
            raise _SkippedError(f"{path.name} beside it is not the parent it was made from")
        return dataset

    @staticmethod
    def _none(wrong: np.ndarray, what: str) -> None:
        """Raise with the first ids where `wrong` (N,) is set."""
        where = np.flatnonzero(wrong)
        if len(where):
            raise _FailedError(f"{what}: {len(where):,}, first at ids {listed(where.tolist())}")
