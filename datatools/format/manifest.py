"""manifest.h5: the clean labels behind a noisy dataset, and the noise that was asked for and got.

Datasets, one row a training record, in id order: `id` uint32, `clean_label` int32, `noisy_label` int32; and
`transition_matrix` (K, K) float64 as requested (absent where no matrix is: human labels, open-set), `realised_matrix`
(K, K) float64; for open-set noise `replaced_by` int64, the donor's id of the image in a record's place, -1 for its own.
Attributes: noise_type, rate, realised_rate, sampling, seed, num_classes, format_version.
"""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np

from datatools.errors import DataToolsError
from datatools.files.output import atomic_hdf5
from datatools.format.metadata import FORMAT_VERSION


@dataclass(frozen=True)
class Manifest:
    """The content of manifest.h5.

    Attributes:
        ids, clean_labels, noisy_labels: (N,) uint32, int32, int32, in id order.
        realised_matrix: (K, K) float64, share of clean class i that now carries label j; a row of zeros for
            a class without a record.
        transition_matrix: (K, K) float64 T[i, j] = P(noisy = j | clean = i) as requested, or None.
        rate: as requested, or None where none is asked for. realised_rate: share of labels that differ; of images
            that were replaced, where `replaced_by` is there.
        replaced_by: (N,) int64, for open-set noise the donor's id of the image that stands in a record's place, -1
            where its own does; None for other noise.
    """

    ids: np.ndarray
    clean_labels: np.ndarray
    noisy_labels: np.ndarray
    realised_matrix: np.ndarray
    transition_matrix: np.ndarray | None
    noise_type: str
    rate: float | None
    realised_rate: float
    sampling: str
    seed: int | None
    replaced_by: np.ndarray | None = None

    @property
    def is_changed(self) -> np.ndarray:
        """(N,) bool: the records whose label, or for open-set noise whose image, is not the clean dataset's."""
        if self.replaced_by is not None:
            return np.asarray(self.replaced_by >= 0)
        return np.asarray(self.clean_labels != self.noisy_labels)

    @property
    def num_classes(self) -> int:
        return len(self.realised_matrix)


def realised_matrix(clean_labels: np.ndarray, noisy_labels: np.ndarray, num_classes: int) -> np.ndarray:
    """(K, K) float64: the share of each clean class (row) that carries each label (column)."""
    pairs = clean_labels.astype(np.int64) * num_classes + noisy_labels
    counts = np.bincount(pairs, minlength=num_classes**2).reshape(num_classes, num_classes)
    return counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)


def realised_rate(clean_labels: np.ndarray, noisy_labels: np.ndarray) -> float:
    """Share of labels that differ; 0 for no labels."""
    return share(clean_labels != noisy_labels)


def share(mask: np.ndarray) -> float:
    """Share of a (N,) bool array that is set; 0 for an empty one."""
    return float(np.mean(mask)) if len(mask) else 0.0


def write_manifest(path: Path, manifest: Manifest) -> None:
    """Write manifest.h5 into a folder that is being built; the same content gives the same bytes.

    Raises:
        FileExistsError: there is one already; that of another dataset is never written over.
    """
    if path.exists():
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path))
    with atomic_hdf5(path, sole_writer=True, fsync=False) as file:
        file.create_dataset("id", data=manifest.ids.astype(np.uint32))
        file.create_dataset("clean_label", data=manifest.clean_labels.astype(np.int32))
        file.create_dataset("noisy_label", data=manifest.noisy_labels.astype(np.int32))
        file.create_dataset("realised_matrix", data=manifest.realised_matrix.astype(np.float64))
        if manifest.transition_matrix is not None:
            file.create_dataset("transition_matrix", data=manifest.transition_matrix.astype(np.float64))
        if manifest.replaced_by is not None:
            file.create_dataset("replaced_by", data=manifest.replaced_by.astype(np.int64))
        file.attrs["noise_type"] = manifest.noise_type
        file.attrs["rate"] = np.nan if manifest.rate is None else manifest.rate
        file.attrs["realised_rate"] = manifest.realised_rate
        file.attrs["sampling"] = manifest.sampling
        file.attrs["seed"] = -1 if manifest.seed is None else manifest.seed
        file.attrs["num_classes"] = manifest.num_classes
        file.attrs["format_version"] = FORMAT_VERSION


def read_manifest(path: Path, records: int, num_classes: int) -> Manifest:
    """Read manifest.h5 of a dataset with `records` training records and `num_classes` classes.

    Shapes are checked before anything is read, so a forged file cannot make it allocate more than the
    dataset accounts for.

    Raises:
        DataToolsError: missing, not HDF5, or not of the form and size expected.
    """
    if not path.is_file():
        raise DataToolsError(f"{path}: no manifest; make the noisy dataset anew with `datatools corrupt`")
    try:
        with h5py.File(path, "r") as file:
            return _read(file, records, num_classes)
    # h5py raises whatever the HDF5 library met: OSError, KeyError, RuntimeError, ValueError, TypeError
    except (OSError, LookupError, RuntimeError, ValueError, TypeError, ArithmeticError) as error:
        reason = " ".join(str(error).split())[:200]
        raise DataToolsError(
            f"{path}: not the manifest of this dataset ({reason}); make it anew with `datatools corrupt`"
        ) from None


def _read(file: h5py.File, records: int, num_classes: int) -> Manifest:
    matrix = (num_classes, num_classes)
    if int(file.attrs["format_version"]) != FORMAT_VERSION:
        raise ValueError(f"format_version is not {FORMAT_VERSION}")
    if int(file.attrs["num_classes"]) != num_classes:
        raise ValueError(f"num_classes is not {num_classes}")
    rate, seed = float(file.attrs["rate"]), int(file.attrs["seed"])
    return Manifest(
        ids=_column(file, "id", np.uint32, (records,)),
        clean_labels=_labels(file, "clean_label", records, num_classes),
        noisy_labels=_labels(file, "noisy_label", records, num_classes),
        realised_matrix=_column(file, "realised_matrix", np.float64, matrix),
        transition_matrix=_column(file, "transition_matrix", np.float64, matrix)
        if "transition_matrix" in file
        else None,
        noise_type=str(file.attrs["noise_type"]),
        rate=None if np.isnan(rate) else rate,
        realised_rate=float(file.attrs["realised_rate"]),
        sampling=str(file.attrs["sampling"]),
        seed=None if seed < 0 else seed,
        replaced_by=_column(file, "replaced_by", np.int64, (records,)) if "replaced_by" in file else None,
    )


def _column(file: h5py.File, name: str, dtype: type, shape: tuple[int, ...]) -> np.ndarray:
    # getlink first: a link that points into another file is not followed
    if not isinstance(file.get(name, getlink=True), h5py.HardLink):
        raise ValueError(f"no dataset '{name}'")
    dataset = file[name]
    if not isinstance(dataset, h5py.Dataset) or dataset.is_virtual or dataset.external or dataset.chunks:
        raise ValueError(f"'{name}' is not a plain dataset")
    if dataset.shape != shape or dataset.dtype != dtype:
        raise ValueError(f"'{name}' is {dataset.dtype}{dataset.shape}, expected {np.dtype(dtype)}{shape}")
    if dataset.id.get_storage_size() != dataset.nbytes:  # else a small file would unfold to a matrix of any size
        raise ValueError(f"'{name}' is not stored whole")
    return np.asarray(dataset[()])


def _labels(file: h5py.File, name: str, records: int, num_classes: int) -> np.ndarray:
    labels = _column(file, name, np.int32, (records,))
    if len(labels) and not 0 <= labels.min() <= labels.max() < num_classes:
        raise ValueError(f"'{name}' holds labels outside 0..{num_classes - 1}")
    return labels
