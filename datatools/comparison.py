"""Two datasets of the same images: where their labels differ, and which of them is wrong where."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from datatools.errors import DataToolsError, listed
from datatools.format.dataset import Dataset
from datatools.format.metadata import SPLITS
from datatools.format.records import records_per_chunk
from datatools.plots import Panel, draw
from datatools.progress import Progress, no_progress

MATRIX_UP_TO = 12
"""Up to so many classes the screen shows the whole agreement matrix, beyond that its largest differences."""
SHOWN_IDS = 10
SHOWN_PAIRS = 10
CLASH = "compare datasets of the same images"


@dataclass(frozen=True)
class Comparison:
    """What was found about the training labels of A and B, in id order.

    Attributes:
        a, b: the datasets.
        labels_a, labels_b: (N,) int64.
        clean: (N,) int64 clean labels, or None where neither dataset knows them.
        same_images_by: how it is known that the images are the same.
    """

    a: Dataset
    b: Dataset
    labels_a: np.ndarray
    labels_b: np.ndarray
    clean: np.ndarray | None
    same_images_by: str

    @property
    def differing_ids(self) -> np.ndarray:
        """(M,) int64 ids whose label is not the same in both."""
        return np.flatnonzero(self.labels_a != self.labels_b)

    @property
    def agreement(self) -> np.ndarray:
        """(K, K) int64: how many records have label i in A and label j in B."""
        classes = self.a.metadata.num_classes
        counts = np.bincount(self.labels_a * classes + self.labels_b, minlength=classes**2)
        return counts.reshape(classes, classes)

    def against_clean(self) -> dict[str, int] | None:
        """How many records each dataset has wrong, or None where the clean labels are not known."""
        if self.clean is None:
            return None
        wrong_a, wrong_b = self.labels_a != self.clean, self.labels_b != self.clean
        counts = {
            "both_right": ~wrong_a & ~wrong_b,
            "only_a_wrong": wrong_a & ~wrong_b,
            "only_b_wrong": ~wrong_a & wrong_b,
            "both_wrong": wrong_a & wrong_b,
            "both_wrong_alike": wrong_a & (self.labels_a == self.labels_b),
        }
        return {name: int(mask.sum()) for name, mask in counts.items()}

    def facts(self) -> dict[str, Any]:
        """All that was found, for JSON."""
        different = self.differing_ids
        return {
            "a": {"path": str(self.a.path), "name": self.a.metadata.name, "sha256": self.a.sha256},
            "b": {"path": str(self.b.path), "name": self.b.metadata.name, "sha256": self.b.sha256},
            "same_images_by": self.same_images_by,
            "records": len(self.labels_a),
            "differing": len(different),
            "differing_share": len(different) / max(1, len(self.labels_a)),
            "differing_ids": different.tolist(),
            "class_names": list(self.a.metadata.class_names),
            "agreement": self.agreement.tolist(),
            "against_clean": self.against_clean(),
        }


def compare(a: Dataset, b: Dataset, progress: Progress = no_progress) -> Comparison:
    """Compare the training labels of two datasets of the same images.

    That the images are the same is known from one clean parent of both, or from one being the other's parent; else, and
    wherever noise replaced images, the pixels are compared, byte by byte.

    Args:
        progress: called with (images compared, images in all) where pixels are compared.

    Raises:
        DataToolsError: they do not belong together (the message says why), or one of them is broken.
    """
    _check_form(a, b)
    manifests = [dataset.manifest() for dataset in (a, b)]
    same_images_by = _same_images_by(a, b)
    if same_images_by is None or any(
        manifest is not None and manifest.replaced_by is not None for manifest in manifests
    ):
        _check_pixels(a, b, progress)
        same_images_by = "every pixel compared"
    labels = [dataset.labels_by_id("train") for dataset in (a, b)]
    clean = [dataset.clean_labels() for dataset in (a, b)]
    if clean[0] is not None and clean[1] is not None:
        where = np.flatnonzero(clean[0] != clean[1])
        if len(where):
            raise DataToolsError(
                f"{a.path} and {b.path}: their clean labels differ at {len(where):,} ids, first at "
                f"{listed(where.tolist(), 3)}; {CLASH} and label set"
            )
    return Comparison(a, b, labels[0], labels[1], clean[0] if clean[0] is not None else clean[1], same_images_by)


# --- do they belong together? ----------------------------------------------------------------------------------------


def _check_form(a: Dataset, b: Dataset) -> None:
    one, other = a.metadata, b.metadata
    facts: list[tuple[str, Any, Any]] = [("image shape", one.image_shape, other.image_shape)]
    facts += [(f"number of {split} images", one.num_records(split), other.num_records(split)) for split in SPLITS]
    facts += [("number of classes", one.num_classes, other.num_classes)]
    for what, first, second in facts:
        if first != second:
            raise DataToolsError(f"{a.path} and {b.path}: {what} {first} and {second}; {CLASH}")
    for number, (first, second) in enumerate(zip(one.class_names, other.class_names, strict=True)):
        if first != second:
            raise DataToolsError(f"{a.path} and {b.path}: class {number} is {first!r} and {second!r}; {CLASH}")


def _same_images_by(a: Dataset, b: Dataset) -> str | None:
    """How the datasets are known to have the same images, or None where their files do not say.

    Raises:
        DataToolsError: both name a parent, and not the same one.
    """
    parents = [(dataset.metadata.noise or {}).get("parent") for dataset in (a, b)]
    if a.sha256 == b.sha256:
        return "the same dataset.json"
    if parents[0] and parents[1]:
        if parents[0]["sha256"] == parents[1]["sha256"]:
            return f"one parent, {parents[0]['name']}"
        raise DataToolsError(
            f"{a.path} and {b.path}: made from other parents, {parents[0]['name']} ({parents[0]['sha256'][:12]}) and "
            f"{parents[1]['name']} ({parents[1]['sha256'][:12]}); {CLASH}"
        )
    for parent, dataset, text in ((parents[0], b, "B is A's parent"), (parents[1], a, "A is B's parent")):
        if parent and parent["sha256"] == dataset.sha256:
            return text
    return None


def _check_pixels(a: Dataset, b: Dataset, progress: Progress) -> None:
    """Raise DataToolsError with the first record whose pixels differ; both splits, in record order."""
    done, total = 0, sum(a.metadata.num_records(split) for split in SPLITS)
    for split in SPLITS:
        start = 0
        for one, other in _aligned(a, b, split):
            equal = (one["pixels"] == other["pixels"]).reshape(len(one), -1).all(axis=1) & (one["id"] == other["id"])
            if not equal.all():
                record = start + int(np.argmin(equal))
                raise DataToolsError(f"{a.path} and {b.path}: {split} image {record} is not the same one; {CLASH}")
            start += len(one)
            done += len(one)
            progress(done, total)


def _aligned(a: Dataset, b: Dataset, split: str) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """The records of both in pieces of equal length: their batch files may be cut otherwise."""
    step = records_per_chunk(a.metadata.image_shape)
    pieces = [
        (batch[start : start + step] for batch in dataset.batches(split) for start in range(0, len(batch), step))
        for dataset in (a, b)
    ]
    rest = [np.empty(0), np.empty(0)]
    while True:
        for side in (0, 1):
            if not len(rest[side]):
                rest[side] = next(pieces[side], np.empty(0))
        length = min(len(rest[0]), len(rest[1]))
        if not length:
            return
        yield rest[0][:length], rest[1][:length]
        rest = [piece[length:] for piece in rest]


# --- showing ---------------------------------------------------------------------------------------------------------


def summary(comparison: Comparison) -> list[str]:
    """Lines for the screen."""
    different, records = comparison.differing_ids, len(comparison.labels_a)
    lines = [
        f"A            {comparison.a.path}",
        f"B            {comparison.b.path}",
        f"same images  {comparison.same_images_by}",
        f"labels       {len(different):,} of {records:,} differ, a share of {len(different) / max(1, records):.6g}",
    ]
    if len(different):
        lines.append(f"ids          {listed(different.tolist(), SHOWN_IDS)}")
    if (counts := comparison.against_clean()) is not None:
        lines += [
            f"both right   {counts['both_right']:,}",
            f"only A wrong {counts['only_a_wrong']:,}",
            f"only B wrong {counts['only_b_wrong']:,}",
            f"both wrong   {counts['both_wrong']:,}, with the same label {counts['both_wrong_alike']:,}",
        ]
    names = comparison.a.metadata.class_names
    return [
        *lines,
        "",
        *(_table(comparison.agreement, names) if len(names) <= MATRIX_UP_TO else _pairs(comparison, names)),
    ]


def _table(agreement: np.ndarray, names: tuple[str, ...]) -> list[str]:
    cells = [["A \\ B", *(name[:12] for name in names)]]
    cells += [[name[:12], *map(str, row)] for name, row in zip(names, agreement.tolist(), strict=True)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return [
        "  ".join(cell.ljust(width) if not number else cell.rjust(width) for number, (cell, width) in enumerate(line))
        for line in (list(zip(row, widths, strict=True)) for row in cells)
    ]


def _pairs(comparison: Comparison, names: tuple[str, ...]) -> list[str]:
    off = comparison.agreement.copy()
    np.fill_diagonal(off, 0)
    order = np.argsort(-off, axis=None, kind="stable")[:SHOWN_PAIRS]
    pairs = [(int(place) // len(names), int(place) % len(names)) for place in order if off.flat[place]]
    lines = [f"{off[i, j]:>8,}  {names[i]} in A, {names[j]} in B" for i, j in pairs]
    return ["most frequent differences:", *lines] if lines else []


def plot_agreement(comparison: Comparison, out: Path, overwrite: bool = False) -> tuple[str, ...]:
    """Draw the agreement matrix; colours are shares of the row, numbers are counts. See `plots.draw`."""
    counts = comparison.agreement
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    cells = np.where(counts > 0, counts.astype(str), "").astype(object)
    a, b = comparison.a.metadata.name, comparison.b.metadata.name
    title = f"{a}\nand {b}"
    panel = Panel(f"{len(comparison.differing_ids):,} of {len(comparison.labels_a):,} labels differ", shares, cells)
    return draw([panel], comparison.a.metadata.class_names, title, (f"label in {b}", f"label in {a}"), out, overwrite)
