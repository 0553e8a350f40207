"""A clean dataset -> the same images with noisy labels, and the manifest of the clean ones."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from datatools.building import check_free, dataset_directory
from datatools.conversion import Progress, no_progress
from datatools.dataset import (
    MANIFEST_FILE,
    BatchFile,
    Dataset,
    open_dataset,
    package_version,
    write_metadata,
)
from datatools.errors import DataToolsError, listed
from datatools.manifest import Manifest, realised_matrix, realised_rate, write_manifest
from datatools.noise import noise_type, transition_matrix
from datatools.noise.sampling import SAMPLINGS, sample_bernoulli, sample_exact
from datatools.records import file_sha256, record_dtype

NOTABLE_GAP = 0.005
"""From this difference between realised and requested rate on, `corrupt` says so."""
SAMPLERS = {"exact": sample_exact, "bernoulli": sample_bernoulli}


@dataclass(frozen=True)
class Corrupted:
    """What `corrupt` made, and what the user should know about it, a line each."""

    dataset: Dataset
    manifest: Manifest
    notices: tuple[str, ...]


def rate_text(rate: float) -> str:
    """The rate as it stands in a directory's name: %g, or every digit where %g would drop some."""
    short = f"{rate:g}"
    return short if float(short) == rate else repr(float(rate))


def default_name(parent: str, noise: str, rate: float, seed: int) -> str:
    """<parent>-<type>-<rate>-seed<seed>."""
    return f"{parent}-{noise}-{rate_text(rate)}-seed{seed}"


def noisy_labels(labels: np.ndarray, ids: np.ndarray, matrix: np.ndarray, seed: int, sampling: str) -> np.ndarray:
    """Noisy labels for clean ones: a function of (seed, id), see `noise.sampling`.

    Args:
        labels, ids: (N,) int64. matrix: (K, K) float64, row-stochastic. sampling: "exact" or "bernoulli".

    Returns:
        (N,) int64.
    """
    if sampling not in SAMPLERS:
        raise DataToolsError(f"sampling '{sampling}': not known; known are {', '.join(SAMPLINGS)}")
    if not 0 <= seed < 1 << 63:
        raise DataToolsError(f"seed {seed}: a whole number from 0 to 2**63 - 1 is expected")
    return SAMPLERS[sampling](labels, ids, matrix, seed)


def corrupt(
    parent: Dataset,
    *,
    rate: float,
    noise: str,
    seed: int = 0,
    sampling: str = "exact",
    out: Path | None = None,
    overwrite: bool = False,
    progress: Progress = no_progress,
) -> Corrupted:
    """Give a dataset's training records noisy labels; the test batch and all pixels stay as they are.

    Args:
        noise: a name in `noise.NOISE_TYPES`. out: the directory to make, beside the parent where None.

    Raises:
        DataToolsError: a bad argument, a parent that is noisy already, or `out` is taken.
    """
    noise, spec = noise_type(noise)
    rate = float(rate)  # a NumPy float would show in the name
    matrix = transition_matrix(noise, parent.metadata.num_classes, rate)
    if parent.metadata.labels == "noisy":
        raise DataToolsError(
            f"{parent.path}: has noise already, and noise on noise has no known rate; corrupt its parent, "
            f"{(parent.metadata.noise or {})['parent']['name']}, instead"
        )
    out = out or parent.path.parent / default_name(parent.path.resolve().name, noise, rate, seed)
    if out.resolve() == parent.path.resolve():
        raise DataToolsError(f"{out}: is the clean dataset itself, never overwritten with noise; choose another --out")
    check_free(out, overwrite)
    ids, clean = parent.ids("train"), parent.labels("train")
    for _ in parent.batches("test"):  # raises where one is missing or cut short
        pass
    _check_parent(parent, ids, clean)
    noisy = noisy_labels(clean, ids, matrix, seed, sampling)
    manifest = _manifest(ids, clean, noisy, matrix, noise, rate, seed, sampling)
    with dataset_directory(out, overwrite) as folder:
        files = _patched_copy(parent, folder, noisy, progress)
        write_manifest(folder / MANIFEST_FILE, manifest)
        metadata = replace(
            parent.metadata,
            name=out.name,
            splits={"train": files, "test": parent.metadata.splits["test"]},
            labels="noisy",
            noise={
                "type": noise,
                "rate": rate,
                "realised_rate": manifest.realised_rate,
                "sampling": sampling,
                "convention": spec.convention,
                "seed": seed,
                "parent": {"name": parent.path.resolve().name, "sha256": parent.sha256},
            },
            created_by=package_version(),
        )
        write_metadata(folder, metadata)
    notices = _notices(parent, clean, noisy, matrix) if rate else ()
    return Corrupted(open_dataset(out), manifest, notices)


def _check_parent(parent: Dataset, ids: np.ndarray, clean: np.ndarray) -> None:
    if len(ids) != len(np.unique(ids)) or (len(ids) and ids.max() != len(ids) - 1):
        raise DataToolsError(f"{parent.path}: ids are not 0..{len(ids) - 1}, each once; convert it again")
    if len(clean) and clean.max() >= parent.metadata.num_classes:
        raise DataToolsError(
            f"{parent.path}: label {clean.max()} with {parent.metadata.num_classes} classes; convert it again"
        )


def _manifest(
    ids: np.ndarray,
    clean: np.ndarray,
    noisy: np.ndarray,
    matrix: np.ndarray,
    noise: str,
    rate: float,
    seed: int,
    sampling: str,
) -> Manifest:
    by_id = np.argsort(ids)
    return Manifest(
        ids=ids[by_id].astype(np.uint32),
        clean_labels=clean[by_id].astype(np.int32),
        noisy_labels=noisy[by_id].astype(np.int32),
        realised_matrix=realised_matrix(clean, noisy, len(matrix)),
        transition_matrix=matrix,
        noise_type=noise,
        rate=rate,
        realised_rate=realised_rate(clean, noisy),
        sampling=sampling,
        seed=seed,
    )


def _patched_copy(parent: Dataset, folder: Path, noisy: np.ndarray, progress: Progress) -> tuple[BatchFile, ...]:
    """Copy the batches and write the noisy labels over the clean ones; pixels are never re-encoded."""
    total = parent.metadata.num_records("train") + parent.metadata.num_records("test")
    done = 0
    files = []
    for file in (*parent.metadata.splits["train"], *parent.metadata.splits["test"]):
        shutil.copyfile(parent.path / file.name, folder / file.name)
        if file in parent.metadata.splits["train"]:
            records = np.memmap(folder / file.name, record_dtype(parent.metadata.image_shape), "r+")
            records["label"] = noisy[done : done + file.records]
            records.flush()
            del records
            files.append(replace(file, sha256=file_sha256(folder / file.name)))
        done += file.records
        progress(done, total)
    return tuple(files)


def _notices(parent: Dataset, clean: np.ndarray, noisy: np.ndarray, matrix: np.ndarray) -> tuple[str, ...]:
    """What a user would otherwise find out too late."""
    names = parent.metadata.class_names
    notices = []
    counts = np.bincount(clean, minlength=len(names))
    flips = np.bincount(clean[clean != noisy], minlength=len(names))
    untouched = [
        f"{names[c]} ({counts[c]} images at {1 - matrix[c, c]:g})"
        for c in np.flatnonzero((counts > 0) & (flips == 0) & (np.diag(matrix) < 1))
    ]
    if untouched:
        notices.append(
            f"no label changed in {len(untouched)} of {np.count_nonzero(counts)} classes, too small for this rate: "
            f"{listed(untouched, 3)}"
        )
    realised, requested = float(np.mean(clean != noisy)), float(np.mean(1 - np.diag(matrix)[clean]))
    if abs(realised - requested) >= NOTABLE_GAP:
        notices.append(
            f"the realised rate is {realised:.4g} where {requested:.4g} was asked for: whole counts of classes "
            "this small come no nearer to the transition matrix; `--sampling bernoulli` has no such bias"
        )
    if parent.metadata.labels == "unknown":
        notices.append(
            "the parent's own labels are of unknown quality: the manifest's clean labels are only its given ones"
        )
    return tuple(notices)
