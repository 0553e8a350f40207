"""Re-reads everything a dataset directory claims and says, check by check, whether it is so."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property, partial

import numpy as np

from datatools.errors import DataToolsError, listed
from datatools.format.copying import images_of
from datatools.format.dataset import Dataset, open_dataset
from datatools.format.manifest import Manifest, realised_matrix, share
from datatools.format.metadata import DATASET_FILE, FILES_CSV, MANIFEST_FILE, SKIPPED_CSV, SPLITS, BatchFile
from datatools.format.records import file_sha256, records_per_chunk
from datatools.processors import usable_processors

TOLERANCE = 1e-12
HASH_BYTES = 1 << 20
"""How much of a file is hashed at a time, by each thread."""
OPEN_SET = "open-set"


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
    beside = ((FILES_CSV, dataset.metadata.files_csv), (SKIPPED_CSV, (dataset.metadata.skipped or {}).get("sha256")))
    listing += [(name, partial(checks.unchanged, name, sha256)) for name, sha256 in beside if sha256]
    if dataset.metadata.labels == "noisy":
        listing += [
            (MANIFEST_FILE, checks.manifest_readable),
            ("manifest against batches", checks.manifest_against_batches),
            ("realised rate", checks.rate),
            ("realised matrix", checks.matrix),
            ("clean labels against parent", checks.clean_labels),
            ("pixels against parent", checks.pixels),
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
        done, lock = 0, threading.Lock()

        def is_unchanged(file: BatchFile) -> bool:
            nonlocal done
            digest = hashlib.sha256()
            buffer = memoryview(bytearray(HASH_BYTES))
            with (self.dataset.path / file.name).open("rb", buffering=0) as stream:
                while count := stream.readinto(buffer):
                    digest.update(buffer[:count])
                    with lock:  # the screen is one
                        done += count
                        self.progress(done, total)
            return digest.hexdigest() == file.sha256

        with ThreadPoolExecutor(usable_processors()) as pool:  # hashing leaves Python to itself
            wrong = [file.name for file, good in zip(files, pool.map(is_unchanged, files), strict=True) if not good]
        if wrong:
            raise _FailedError(f"{listed(wrong)} changed since the dataset was made")
        return f"{len(files)} files, {total:,} bytes"

    def ids(self) -> str:
        for split in SPLITS:
            ids = self._columns[split][0]
            wrong = np.flatnonzero(ids != np.arange(len(ids)))
            if len(wrong):
                first = [f"record {n} has id {ids[n]}" for n in wrong[:5]]
                raise _FailedError(f"{split}: not 0..{len(ids) - 1} in order: {listed(first)} ({len(wrong):,} in all)")
        return "dense and unique in both splits"

    def labels(self) -> str:
        for split in SPLITS:
            labels = self._columns[split][1]
            self._none(
                labels >= self.metadata.num_classes,
                f"{split}: labels outside 0..{self.metadata.num_classes - 1}",
            )
        return f"0..{self.metadata.num_classes - 1} in both splits"

    def unchanged(self, name: str, sha256: str) -> str:
        if file_sha256(self.dataset.path / name) != sha256:
            raise _FailedError(f"{name} changed since the dataset was made")
        return "unchanged"

    def manifest_readable(self) -> str:
        self._manifest = self.dataset.manifest()
        manifest, noise = self._require_manifest(), self.metadata.noise or {}
        for key, value in (
            ("type", manifest.noise_type),
            ("rate", manifest.rate),
            ("realised_rate", manifest.realised_rate),
            ("sampling", manifest.sampling),
            ("seed", manifest.seed),
        ):
            if noise.get(key) != value:
                raise _FailedError(f"its {key} is {value}, {DATASET_FILE} says {noise.get(key)}")
        self._check_replaced(manifest)
        return f"{len(manifest.ids):,} rows, agrees with {DATASET_FILE}"

    def _check_replaced(self, manifest: Manifest) -> None:
        """`replaced_by` is there exactly for open-set noise, and names no image of the donor twice."""
        replaced = manifest.replaced_by
        if (replaced is not None) != (manifest.noise_type == OPEN_SET):
            article = "no" if replaced is None else "a"
            raise _FailedError(f"{article} replaced_by, with noise of type {manifest.noise_type}")
        if replaced is not None:
            self._none(replaced < -1, "replaced_by below -1")
            used = np.sort(replaced[replaced >= 0])
            if (used[1:] == used[:-1]).any():
                raise _FailedError(f"image {used[1:][used[1:] == used[:-1]][0]} of the donor is put in twice")
            self._none(manifest.clean_labels != manifest.noisy_labels, "labels changed, which open-set noise leaves")

    def manifest_against_batches(self) -> str:
        manifest = self._require_manifest()
        self._none(manifest.ids != np.arange(len(manifest.ids)), "manifest ids out of order")
        labels = np.full(len(manifest.ids), -1)
        ids, record_labels = self._columns["train"]
        labels[np.clip(ids, 0, len(labels) - 1)] = record_labels
        self._none(labels != manifest.noisy_labels, "labels in the batches differ from noisy_label")
        return f"{len(labels):,} noisy labels equal"

    def rate(self) -> str:
        manifest = self._require_manifest()
        rate = share(manifest.is_changed)
        if abs(rate - manifest.realised_rate) > TOLERANCE:
            raise _FailedError(f"{rate:.6g} by count, the manifest says {manifest.realised_rate:.6g}")
        if manifest.replaced_by is not None and manifest.sampling == "exact" and manifest.rate is not None:
            counts = np.bincount(manifest.clean_labels, minlength=self.metadata.num_classes)
            replaced = np.bincount(manifest.clean_labels[manifest.is_changed], minlength=self.metadata.num_classes)
            if (np.abs(replaced - manifest.rate * counts) > 0.5 + 1e-6).any():
                raise _FailedError("a class has more or fewer images replaced than the nearest whole number")
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

    def pixels(self) -> str:
        manifest, parent = self._require_manifest(), self._parent()
        replaced = np.zeros(len(manifest.ids), bool) if manifest.replaced_by is None else manifest.is_changed
        if [f.records for f in parent.metadata.splits["train"]] != [f.records for f in self.metadata.splits["train"]]:
            raise _FailedError(f"the batches are not those of {parent.path.name}")
        pairs = zip(self.dataset.batches("train"), parent.batches("train"), strict=True)
        differs = np.concatenate([np.empty(0, bool), *(pixels_differ(batch, clean) for batch, clean in pairs)])
        self._none(differs & ~replaced, "pixels differ from the parent's")
        if manifest.replaced_by is None:
            return f"equal to {parent.path.name}"
        donor = self._dataset_beside("donor")
        if donor is None:
            self._none(replaced & ~differs, "images that should be replaced are the parent's own")
            return (
                f"{int(replaced.sum()):,} images replaced, the others equal to {parent.path.name}; no donor beside it"
            )
        self._images_of_donor(donor, manifest.replaced_by)
        return f"{int(replaced.sum()):,} images of {donor.path.name}, the others equal to {parent.path.name}"

    def _images_of_donor(self, donor: Dataset, replaced_by: np.ndarray) -> None:
        self._none(replaced_by >= donor.metadata.num_records("train"), "replaced_by beyond the donor's images")
        start = 0
        for batch in self.dataset.batches("train"):
            where = np.flatnonzero(replaced_by[start : start + len(batch)] >= 0)
            step = records_per_chunk(self.metadata.image_shape)
            for block in (where[first : first + step] for first in range(0, len(where), step)):
                wrong = (batch["pixels"][block] != images_of(donor, replaced_by[start + block])).any(axis=(1, 2, 3))
                if wrong.any():
                    ids = (start + block[wrong]).tolist()
                    raise _FailedError(f"images are not the donor's that replaced_by names, first at ids {listed(ids)}")
            start += len(batch)

    def test_split(self) -> str:
        parent = self._parent()
        digests = [file.sha256 for file in self.metadata.splits["test"]]
        if digests != [file.sha256 for file in parent.metadata.splits["test"]]:
            raise _FailedError(f"differs from {parent.path}")
        return f"the same bytes as {parent.path.name}"

    def _require_manifest(self) -> Manifest:
        if self._manifest is None:
            raise _SkippedError("no readable manifest")
        return self._manifest

    @cached_property
    def _columns(self) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """Ids and labels of both splits, (N,) int64 in record order, read once."""
        return {split: (self.dataset.ids(split), self.dataset.labels(split)) for split in SPLITS}

    def _parent(self) -> Dataset:
        name = (self.metadata.noise or {})["parent"]["name"]
        dataset = self._dataset_beside("parent")
        if dataset is None:
            raise _SkippedError(f"the parent, {name}, is not beside it, or not as it was")
        return dataset

    def _dataset_beside(self, role: str) -> Dataset | None:
        """The dataset that dataset.json names as "parent" or "donor", where it lies beside this one as it was."""
        named = (self.metadata.noise or {}).get(role)
        if not isinstance(named, dict):
            return None
        # a plain name, as dataset.json was read, so this is beside the dataset and nowhere else
        path = self.dataset.path.resolve().parent / str(named.get("name"))
        try:
            dataset = open_dataset(path)
            return dataset if dataset.sha256 == named.get("sha256") else None
        except (DataToolsError, OSError, ValueError):
            return None

    @staticmethod
    def _none(wrong: np.ndarray, what: str) -> None:
        """Raise with the first ids where `wrong` (N,) is set."""
        where = np.flatnonzero(wrong)
        if len(where):
            raise _FailedError(f"{what}: {len(where):,}, first at ids {listed(where.tolist())}")


def pixels_differ(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """(N,) bool: which records of two batches of N have other pixels."""
    header = one.dtype.itemsize - int(np.prod(one.dtype["pixels"].shape))
    # eight bytes at a time where records and header are whole numbers of them
    word = np.dtype("u8" if one.dtype.itemsize % 8 == 0 and header % 8 == 0 else "u1")
    skip, words = header // word.itemsize, one.dtype.itemsize // word.itemsize
    differs = np.zeros(len(one), bool)
    step = max(1, HASH_BYTES // one.dtype.itemsize)
    for start in range(0, len(one), step):
        mine, its = (
            np.ascontiguousarray(batch[start : start + step]).view(word).reshape(-1, words) for batch in (one, other)
        )
        differs[start : start + step] = (mine[:, skip:] != its[:, skip:]).any(axis=1)
    return differs
