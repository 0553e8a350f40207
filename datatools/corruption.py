"""A clean dataset -> a noisy copy of it, and the manifest of what was clean."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from datatools.errors import DataToolsError, listed
from datatools.format.building import check_free, dataset_directory, dataset_name
from datatools.format.copying import Change, DatasetCopy, images_of
from datatools.format.dataset import Dataset, open_dataset
from datatools.format.manifest import Manifest, realised_matrix, share, write_manifest
from datatools.format.metadata import (
    DATASET_FILE,
    MANIFEST_FILE,
    BatchFile,
    Metadata,
    package_version,
    write_metadata,
)
from datatools.noise import noise_type
from datatools.noise.base import Drawn, NoiseRequest, NoiseType, check_options, check_rate
from datatools.noise.published import as_published, published_type
from datatools.noise.sampling import check_seed
from datatools.progress import Progress, no_progress

NOTABLE_GAP = 0.005
"""From this difference between realised and requested rate on, `corrupt` says so."""


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


def default_name(
    parent: str,
    noise: str,
    rate: float | None,
    seed: int | None,
    matrix: Path | None = None,
    column: str | None = None,
    labels: Path | None = None,
    published: str | None = None,
) -> str:
    """<parent>-<type>-<rate>-seed<seed>; <parent>-matrix-<stem>-seed<seed>; <parent>-human-<column>; …

    <parent>-file-<stem>; of published noise <parent>-<type>-<rate>-<code>-seed<seed>, or without the seed where the
    code has one of its own (seed None).
    """
    if column is not None:
        # the column is one of the file's, which may call it as it likes
        return f"{parent}-{noise}-{column.replace('/', '_')}"
    if labels is not None:
        return f"{parent}-{noise}-{labels.absolute().stem}"
    what = matrix.stem if matrix is not None else rate_text(rate or 0.0)
    as_code = "" if published is None else f"-{published}"
    return f"{parent}-{noise}-{what}{as_code}" + ("" if seed is None else f"-seed{seed}")


def corrupt(
    parent: Dataset,
    *,
    noise: str,
    rate: float | None = None,
    seed: int | None = None,
    sampling: str | None = None,
    matrix: Path | None = None,
    labels: Path | None = None,
    column: str | None = None,
    donor: Path | None = None,
    published: str | None = None,
    out: Path | None = None,
    overwrite: bool = False,
    progress: Progress = no_progress,
) -> Corrupted:
    """Give a dataset's training records noise; test batch and, but for open-set noise, pixels stay as they are.

    Args:
        noise: a name in `noise.NOISE_TYPES`. seed, sampling: the type's default and its first sampling where None.
        rate, matrix, labels, column, donor: those that the type needs, and no other.
        published: a name in `noise.published.CONVENTIONS`: draw as that code does. None: as this package does.
        out: the directory to make, beside the parent where None.

    Raises:
        DataToolsError: a bad argument, a parent that is noisy already, or `out` is taken. Nothing is left behind then.
    """
    noise, spec = noise_type(noise)
    called = noise
    if published is not None:
        spec, called = published_type(published, noise), f"{noise} --as {published}"
    rate = None if rate is None else float(rate)  # a NumPy float would show in the name
    options: dict[str, Any] = {"rate": rate, "matrix": matrix, "labels": labels, "column": column, "donor": donor}
    check_options(called, spec, options, sampling, seed)
    if rate is not None:
        check_rate(rate)
    seed = spec.default_seed if seed is None else seed
    check_seed(seed)
    _check_clean(parent)
    if out is None:
        named_seed = seed if spec.is_seeded else None
        name = default_name(parent.path.resolve().name, noise, rate, named_seed, matrix, column, labels, published)
        out = parent.path.parent / name
    if out.resolve() == parent.path.resolve():
        raise DataToolsError(f"{out}: is the clean dataset itself, never overwritten with noise; choose another --out")
    check_free(out, overwrite)
    with dataset_directory(out, overwrite) as folder, DatasetCopy(parent, folder, _other_files(parent)) as copy:
        ids, clean = _parent_records(parent)
        request = NoiseRequest(parent, ids, clean, seed=seed, sampling=sampling or spec.samplings[0], **options)
        drawn = spec.draw(request)
        if published is not None:
            drawn, noise = as_published(drawn, published, noise), f"{noise} as {published}"
        copy.change(_changes_by_file(request, drawn))
        manifest = _manifest(request, drawn, noise, spec)
        write_manifest(folder / MANIFEST_FILE, manifest)
        files = copy.finish(progress)
        write_metadata(folder, _metadata(request, drawn, manifest, spec, dataset_name(out), files))
    return Corrupted(open_dataset(out), manifest, (*drawn.notices, *_notices(request, drawn, manifest.realised_rate)))


def _check_clean(parent: Dataset) -> None:
    if parent.metadata.labels == "noisy":
        raise DataToolsError(
            f"{parent.path}: has noise already, and noise on noise has no known rate; corrupt its parent, "
            f"{(parent.metadata.noise or {})['parent']['name']}, instead"
        )


def _parent_records(parent: Dataset) -> tuple[np.ndarray, np.ndarray]:
    """Ids and labels of the training records, in record order, after a look at whether they can be right."""
    none = np.empty(0, np.int64)
    columns = [(none, none)]
    columns += [(batch["id"].astype(np.int64), batch["label"].astype(np.int64)) for batch in parent.batches("train")]
    ids, clean = (np.concatenate(column) for column in zip(*columns, strict=True))
    for _ in parent.batches("test"):  # raises where one is missing or cut short
        pass
    if len(ids) and (ids.max() >= len(ids) or np.bincount(ids).max() > 1):  # so each of 0..N-1 is there
        raise DataToolsError(f"{parent.path}: ids are not 0..{len(ids) - 1}, each once; convert it again")
    if len(clean) and clean.max() >= parent.metadata.num_classes:
        raise DataToolsError(
            f"{parent.path}: label {clean.max()} with {parent.metadata.num_classes} classes; convert it again"
        )
    return ids, clean


def _manifest(request: NoiseRequest, drawn: Drawn, noise: str, spec: NoiseType) -> Manifest:
    by_id = np.argsort(request.ids)
    changed = request.clean != drawn.labels if drawn.replaced_by is None else drawn.replaced_by >= 0
    return Manifest(
        ids=request.ids[by_id].astype(np.uint32),
        clean_labels=request.clean[by_id].astype(np.int32),
        noisy_labels=drawn.labels[by_id].astype(np.int32),
        realised_matrix=realised_matrix(request.clean, drawn.labels, request.num_classes),
        transition_matrix=drawn.transition_matrix,
        noise_type=noise,
        rate=request.rate,
        realised_rate=share(changed),
        sampling=request.sampling,
        seed=request.seed if spec.is_seeded else None,
        replaced_by=None if drawn.replaced_by is None else drawn.replaced_by[by_id],
    )


def _metadata(
    request: NoiseRequest,
    drawn: Drawn,
    manifest: Manifest,
    spec: NoiseType,
    name: str,
    files: tuple[BatchFile, ...],
) -> Metadata:
    """dataset.json of the copy."""
    parent = request.parent
    return replace(
        parent.metadata,
        name=name,
        splits={"train": files, "test": parent.metadata.splits["test"]},
        labels="noisy",
        noise={
            "type": manifest.noise_type,
            "rate": manifest.rate,
            "realised_rate": manifest.realised_rate,
            "sampling": manifest.sampling,
            "convention": spec.convention,
            "seed": manifest.seed,
            "parent": {"name": parent.path.resolve().name, "sha256": parent.sha256},
            **drawn.facts,
        },
        created_by=package_version(),
    )


def _changes_by_file(request: NoiseRequest, drawn: Drawn) -> list[Callable[[slice], Iterator[Change]]]:
    """For each training batch file, what the noise changes in a run of its records; pixels are never re-encoded."""

    def changes_from(start: int) -> Callable[[slice], Iterator[Change]]:
        return lambda records: _changes(request, drawn, slice(start + records.start, start + records.stop))

    files = request.parent.metadata.splits["train"]
    starts = np.cumsum([0, *(file.records for file in files)]).tolist()
    return [changes_from(start) for start in starts[:-1]]


def _other_files(parent: Dataset) -> list[str]:
    """The plain files that are copied as they are: the test batches, and what else lies beside them (files.csv)."""
    made_anew = {DATASET_FILE, MANIFEST_FILE, *(file.name for file in parent.metadata.splits["train"])}
    test = [file.name for file in parent.metadata.splits["test"]]
    beside = (entry.name for entry in os.scandir(parent.path) if entry.is_file(follow_symlinks=False))
    return [*test, *sorted(set(beside) - made_anew - set(test))]


def _changes(request: NoiseRequest, drawn: Drawn, records: slice) -> Iterator[Change]:
    """The noisy labels, and the donor's images, that stand in the training records `records` instead of their own."""
    labels = drawn.labels[records]
    positions = np.flatnonzero(labels != request.clean[records])
    yield Change("label", positions, labels[positions])
    if drawn.donor is None or drawn.replaced_by is None:
        return
    replaced_by = drawn.replaced_by[records]
    positions = np.flatnonzero(replaced_by >= 0)
    yield Change("pixels", positions, images_of(drawn.donor, replaced_by[positions]))


def _notices(request: NoiseRequest, drawn: Drawn, realised_rate: float) -> tuple[str, ...]:
    """What a user would otherwise find out too late."""
    notices = []
    if realised_rate == 1:
        what = "label is wrong" if drawn.replaced_by is None else "image is replaced"
        remedy = "" if request.rate is None else f"; choose a rate below {request.rate:g}, or convert more images"
        notices.append(f"every {what}, a realised rate of 1: training has nothing to learn from{remedy}")
    if request.parent.metadata.labels == "unknown" and request.rate != 0:
        notices.append(
            "the parent's own labels are of unknown quality: the manifest's clean labels are only its given ones"
        )
    if drawn.transition_matrix is None or not len(request.clean):
        return tuple(notices)
    names, clean = request.class_names, request.clean
    stays = np.diag(drawn.transition_matrix)
    counts = np.bincount(clean, minlength=len(names))
    flips = np.bincount(clean[clean != drawn.labels], minlength=len(names))
    untouched = [
        f"{names[c]} ({counts[c]} images at {1 - stays[c]:g})"
        for c in np.flatnonzero((counts > 0) & (flips == 0) & (stays < 1))
    ]
    if untouched:
        notices.append(
            f"no label changed in {len(untouched)} of {np.count_nonzero(counts)} classes, too small for this rate: "
            f"{listed(untouched, 3)}"
        )
    realised, requested = float(np.mean(clean != drawn.labels)), float(np.mean(1 - stays[clean]))
    if abs(realised - requested) >= NOTABLE_GAP:
        why = (
            "whole counts of classes this small come no nearer to the transition matrix; `--sampling bernoulli` has "
            "no such bias"
            if request.sampling == "exact"
            else "each image drew for itself, and there are few of them"
        )
        notices.append(f"the realised rate is {realised:.4g} where {requested:.4g} was asked for: {why}")
    return tuple(notices)
