"""Labels from a list that somebody else made: one for each training image (`corrupt --type file`).

A list that is out of step with the images is the field's classic mistake, and nothing in training shows it. What the
file offers beside its labels is held to the dataset; where it offers nothing, its order is taken on trust, and said.
"""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

from datatools.errors import DataToolsError, listed
from datatools.format.dataset import Dataset
from datatools.format.metadata import SPLITS
from datatools.format.records import file_sha256
from datatools.noise import listed_labels
from datatools.noise.base import Drawn, NoiseRequest
from datatools.noise.listed_labels import ListedLabels
from datatools.printable import formula_safe

CONVENTION = "labels from a file: no rate was asked for, the realised one is over all labels"
DEVIATIONS = 4
"""Agreement within so many standard deviations of chance is said to be no more than chance."""


def draw(request: NoiseRequest) -> Drawn:
    """The labels in the file or folder `request.labels`."""
    path: Path = request.required("labels")
    records = request.parent.metadata
    content = listed_labels.read(path, len(request.ids), sum(records.num_records(split) for split in SPLITS))
    _check_range(content.labels, "label", request.num_classes, path)
    _check_names(content, request, path)
    order, ids = _ids(content, request.parent, path)
    labels = np.empty_like(request.clean)
    labels[ids] = content.labels
    if content.clean is not None:
        clean = np.empty_like(request.clean)
        clean[ids] = content.clean
        _check_clean(clean, request, path)
        order = order or "clean labels"
    facts = {"name": path.name, "sha256": content.sha256, "order": order or "taken on trust"}
    notices = (*content.notices, *_agreement(labels, request, path, order))
    return Drawn(labels[request.ids], None, {"labels_file": facts}, notices=notices)


def _check_range(values: np.ndarray, what: str, end: int, path: Path) -> None:
    wrong = np.flatnonzero((values < 0) | (values >= end))
    if len(wrong):
        raise DataToolsError(
            f"{path}: {what} {values[wrong[0]]} in entry {wrong[0]} (from 0), 0..{end - 1} is expected; it is of "
            "another set, or counts from 1"
        )


def _check_names(content: ListedLabels, request: NoiseRequest, path: Path) -> None:
    """The classes of the file bear the numbers that they have in the dataset."""
    for number, name in enumerate(content.class_names or ()):
        label = int(content.labels[number])
        expected = request.class_names[label]
        if name not in (expected, formula_safe(expected)):
            raise DataToolsError(
                f"{path}: entry {number} (from 0) is label {label}, {name!r:.60}; in {request.parent.path} that is "
                f"{expected!r:.60}: it numbers its classes otherwise"
            )


def _ids(content: ListedLabels, parent: Dataset, path: Path) -> tuple[str, np.ndarray]:
    """By what the order is known ("" where by nothing), and the (N,) ids of the entries."""
    records = len(content.labels)
    order, ids = "", np.arange(records)
    if content.ids is not None:
        order, ids = "ids", content.ids
    elif content.paths is not None and parent.metadata.files_csv is not None:
        order, ids = "paths", _ids_of_paths(content.paths, parent, path)
    _check_range(ids, "id", records, path)
    twice = np.flatnonzero(np.bincount(ids, minlength=records) > 1)
    if len(twice):
        raise DataToolsError(
            f"{path}: {order[:-1]} of image {twice[0]} is there twice; each training image needs one label"
        )
    return order, ids


def _ids_of_paths(paths: tuple[str, ...], parent: Dataset, path: Path) -> np.ndarray:
    table = parent.files_csv_path
    if not table.is_file() or file_sha256(table) != parent.metadata.files_csv:
        raise DataToolsError(f"{table}: missing, or changed since the dataset was made; see `datatools verify`")
    with table.open(encoding="utf-8", newline="") as file:
        try:
            ids = {row["path"]: int(row["id"]) for row in csv.DictReader(file) if row["split"] == "train"}
        except (KeyError, TypeError, ValueError, csv.Error):
            raise DataToolsError(f"{table}: columns id, split, path are expected; convert the dataset again") from None
    missing = [name for name in paths if name not in ids]
    if missing:
        raise DataToolsError(
            f"{path}: {len(missing):,} of its paths are no training image's of {parent.path}, first "
            f"{missing[0]!r:.80}; paths as in {table.name} are expected"
        )
    return np.array([ids[name] for name in paths], np.int64)


def _check_clean(clean: np.ndarray, request: NoiseRequest, path: Path) -> None:
    differing = np.flatnonzero(clean != request.clean_by_id)
    if len(differing):
        raise DataToolsError(
            f"{path}: its clean labels are not those of {request.parent.path}: {len(differing):,} of {len(clean):,} "
            f"differ, first at ids {listed(differing.tolist())}; it is of another set or in another order"
        )


def _agreement(labels: np.ndarray, request: NoiseRequest, path: Path, order: str) -> list[str]:
    """What there is to say of the order: that nothing shows it, and where the labels agree no more than by chance."""
    if not len(labels):
        return []
    clean = request.clean_by_id
    agreement = float(np.mean(labels == clean))
    shares = [np.bincount(column, minlength=request.num_classes) / len(labels) for column in (labels, clean)]
    chance = float(shares[0] @ shares[1])
    figures = f"{100 * agreement:.1f}% of its labels agree with the clean ones, {100 * chance:.1f}% would by chance"
    notices = []
    if not order:
        notices.append(
            f"{path}: nothing in it shows its order, which is taken on trust to be that of the ids, from 0: {figures}"
        )
    if agreement <= chance + DEVIATIONS * (chance * (1 - chance) / len(labels)) ** 0.5:
        notices.append(
            f"{path}: its labels agree with the clean ones no more than chance has it ({figures}): it is probably in "
            "another order, or of another set"
        )
    return notices
