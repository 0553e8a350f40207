"""What a dataset directory holds, for the screen and for programs."""

from __future__ import annotations

from typing import Any

import numpy as np

from datatools.errors import DataToolsError
from datatools.format.dataset import Dataset
from datatools.format.metadata import FILES_CSV, SKIPPED_CSV, SPLITS

LABELS = {"unknown": "unknown: as they were given, in the test split too; nobody knows how many are wrong"}
"""What is said where the word in dataset.json does not say it."""


def describe(dataset: Dataset) -> dict[str, Any]:
    """The facts of a dataset: dataset.json's, and the number of images of each class counted from the records."""
    metadata = dataset.metadata
    per_class = {split: _per_class(dataset, split) for split in SPLITS}
    return {
        "path": str(dataset.path),
        "name": metadata.name,
        "image_shape": metadata.image_shape._asdict(),
        "num_classes": metadata.num_classes,
        "class_names": list(metadata.class_names),
        "splits": {
            split: {
                "records": metadata.num_records(split),
                "files": [file.name for file in metadata.splits[split]],
                "records_per_class": per_class[split],
            }
            for split in SPLITS
        },
        "labels": metadata.labels,
        "label_set": metadata.label_set,
        "limit": metadata.limit,
        "resized": metadata.resized,
        "split_by": metadata.split_by,
        "decoded": metadata.decoded,
        "files_csv": metadata.files_csv,
        "skipped": metadata.skipped,
        "noise": metadata.noise,
        "source": metadata.source,
        "created_by": metadata.created_by,
        "sha256": dataset.sha256,
    }


def _per_class(dataset: Dataset, split: str) -> list[int]:
    labels, num_classes = dataset.labels(split), dataset.metadata.num_classes
    if len(labels) and labels.max() >= num_classes:
        raise DataToolsError(f"{dataset.path}: {split} label {labels.max()} with {num_classes} classes; make it anew")
    return [int(count) for count in np.bincount(labels, minlength=num_classes)]


def summary(facts: dict[str, Any]) -> list[tuple[str, str]]:
    """(term, value) pairs of `describe` for a table of two columns."""
    shape = facts["image_shape"]
    names = facts["class_names"]
    shown = ", ".join(names[:10]) + (f" and {len(names) - 10} more" if len(names) > 10 else "")
    rows = [
        ("dataset", f"{facts['name']} ({facts['path']})"),
        (
            "images",
            f"{shape['depth']} x {shape['height']} x {shape['width']} (depth x height x width), uint8",
        ),
        ("classes", f"{facts['num_classes']}: {shown}"),
    ]
    for split, content in facts["splits"].items():
        counts = content["records_per_class"]
        spread = f"{min(counts):,}" if min(counts) == max(counts) else f"{min(counts):,} to {max(counts):,}"
        files = len(content["files"])
        rows.append((split, f"{content['records']:,} in {files} file{'s' * (files > 1)}, {spread} a class"))
    labels = LABELS.get(facts["labels"], facts["labels"]) + (f", {facts['label_set']}" if facts["label_set"] else "")
    rows.append(("labels", labels + (f", first {facts['limit']:,} of each split" if facts["limit"] else "")))
    if split_by := facts["split_by"]:
        rows.append(("test split", f"{split_by.get('fraction')} of each class, seed {split_by.get('seed')}"))
    if (resized := facts["resized"]) and "fit" in resized:
        rows.append(("resized", f"{resized.get('side')} x {resized.get('side')} by {resized['fit']}"))
    if facts["decoded"]:
        rows.append(("decoded", ", ".join(f"{name} {count:,}" for name, count in facts["decoded"].items())))
    if facts["files_csv"]:
        rows.append(("file names", FILES_CSV))
    if facts["skipped"]:
        rows.append(("left out", f"{facts['skipped']['files']:,} files, {SKIPPED_CSV}"))
    if noise := facts["noise"]:
        rate = "" if noise["rate"] is None else f", rate {noise['rate']:g} requested"
        rows += [
            ("noise", f"{noise['type']}{rate}, {noise['realised_rate']:.6g} realised, {noise['sampling']}"),
            ("", str(noise["convention"])),
            *([] if noise["seed"] is None else [("noise seed", str(noise["seed"]))]),
            ("parent", noise["parent"]["name"]),
        ]
        for term, key in (("donor", "donor"), ("matrix", "matrix_file"), ("label file", "labels_file")):
            if isinstance(noise.get(key), dict):
                more = f", column {noise['column']}" if key == "labels_file" and "column" in noise else ""
                more += f", order: {noise[key]['order']}" if "order" in noise[key] else ""
                rows.append((term, f"{noise[key].get('name')}{more}"))
        if isinstance(code := noise.get("as"), dict):
            rows += [("noise as in", str(code.get("code"))), ("", str(code.get("paper")))]
            rows += [("", str(code["differs"]))] if "differs" in code else []
    rows.append(("source", f"{facts['source'].get('name')}, {facts['source'].get('location')}"))
    return rows
