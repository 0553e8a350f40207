"""Human labels: those that people gave, from the label files of CIFAR-10N and CIFAR-100N (Wei et al., ICLR 2022).

A label file that is out of step with the images is the field's classic mistake, and nothing in training shows it. So
the file's own clean labels must be the dataset's, one by one.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np

from datatools.errors import DataToolsError, listed
from datatools.noise import label_files
from datatools.noise.base import Drawn, NoiseRequest

CONVENTION = "labels that people gave, from a file: no rate was asked for, the realised one is over all labels"
CLEAN = "clean"
"""Columns whose name begins so hold clean labels: clean_label, and clean_coarse_label beside noisy_coarse_label."""


def draw(request: NoiseRequest) -> Drawn:
    """The labels in `request.column` of the file `request.labels`; row n of the file is the image of id n."""
    path, name = request.required("labels"), request.required("column")
    columns, data = label_files.read(path)
    human_labels, clean = _columns(columns, name, path)
    kept = _rows_in_use(request, path, len(clean))
    if len(human_labels) != len(clean):
        raise DataToolsError(
            f"{path}: {len(human_labels):,} labels in {name}, {len(clean):,} clean ones; fetch it again"
        )
    _check_aligned(request, clean[:kept], path)
    human_labels = human_labels[:kept]
    wrong = np.flatnonzero((human_labels < 0) | (human_labels >= request.num_classes))
    if len(wrong):
        raise DataToolsError(
            f"{path}: {name} has label {human_labels[wrong[0]]} in row {wrong[0]}, 0..{request.num_classes - 1} "
            "expected: it is a column of another label set"
        )
    facts = {"labels_file": {"name": path.name, "sha256": hashlib.sha256(data).hexdigest()}, "column": name}
    notices = () if kept == len(clean) else (f"{path}: the first {kept:,} of its {len(clean):,} labels are used",)
    return Drawn(human_labels[request.ids], None, facts, notices=notices)


def _columns(columns: dict[str, np.ndarray], name: str, path: Path) -> tuple[np.ndarray, np.ndarray]:
    """The labels of column `name` and the clean labels that go with it."""
    noisy = [column for column in columns if not column.startswith(CLEAN)]
    if name not in noisy:
        raise DataToolsError(f"{path}: no column {name!r:.60} of given labels; it has {listed(noisy, 10) or 'none'}")
    clean = "clean_coarse_label" if "coarse" in name else "clean_label"
    if clean not in columns:
        raise DataToolsError(f"{path}: no {clean} in it, without which nothing shows that its order is the dataset's")
    return columns[name], columns[clean]


def _rows_in_use(request: NoiseRequest, path: Path, rows: int) -> int:
    """How many rows of the file are for this dataset: all, or as many as `--limit` left of the set."""
    records = len(request.ids)
    if rows == records or (request.parent.metadata.limit is not None and rows > records):
        return records
    raise DataToolsError(
        f"{path}: {rows:,} labels, {request.parent.path} has {records:,} training images; name the label file of this "
        "set, and convert the whole set"
    )


def _check_aligned(request: NoiseRequest, clean: np.ndarray, path: Path) -> None:
    differing = np.flatnonzero(clean != request.clean_by_id)
    if len(differing):
        raise DataToolsError(
            f"{path}: its clean labels are not those of {request.parent.path}: {len(differing):,} of {len(clean):,} "
            f"differ, first at ids {listed(differing.tolist())}; it is of another set or in another order (files "
            "called _ordered follow TensorFlow Datasets, not the official files)"
        )
