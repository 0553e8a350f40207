"""Exports of the training labels alone, in the forms that `corrupt --type file` reads back.

noise-json: a JSON list of N whole numbers, the label of id n at n; DivideMix's code takes such a file for its noise.
npy: a folder with labels.npy, ids.npy and, where they are known, clean_labels.npy, each (N,) int64 in id order.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from datatools.errors import DataToolsError
from datatools.export.output import describe_export
from datatools.export.rows import Reader
from datatools.files.write_errors import naming
from datatools.format.metadata import SPLITS


def write_noise_json(reader: Reader, out: Path) -> tuple[str, ...]:
    """Write the list into the empty file `out`."""
    columns, notices = _columns(reader)
    out.write_text(json.dumps(columns["labels"].tolist()), encoding="utf-8")
    return (
        *notices,
        "a JSON list cannot say its order: it is that of the ids, which `convert` numbers in the order of the source",
    )


def write_npy(reader: Reader, out: Path) -> tuple[str, ...]:
    """Fill the empty folder `out`."""
    columns, notices = _columns(reader)
    for name, values in columns.items():
        header = {"descr": "<i8", "fortran_order": False, "shape": values.shape}
        with naming(out / f"{name}.npy"), (out / f"{name}.npy").open("wb") as file:
            np.lib.format.write_array_header_1_0(file, header)
            file.write(values.astype("<i8").tobytes())
    describe_export(out, "npy", reader.dataset, split="train", order="row n of each file is the image of id n")
    return notices


def _columns(reader: Reader) -> tuple[dict[str, np.ndarray], tuple[str, ...]]:
    """Labels, ids and, where they are known, clean labels of the training records, in id order; and what to say."""
    names = [name for name in ("labels", "ids", "clean_labels") if name in reader.columns]
    parts: dict[str, list[np.ndarray]] = {name: [np.empty(0, np.int64)] for name in names}
    for split in SPLITS:  # the test records too: a dataset that is broken there is not handed out as whole
        for rows in reader.rows(split):
            if split == "train":
                for name in names:
                    parts[name].append(getattr(rows, name))
    columns = {name: np.concatenate(values) for name, values in parts.items()}
    order = np.argsort(columns["ids"], kind="stable")
    if not np.array_equal(columns["ids"][order], np.arange(len(order))):
        raise DataToolsError(
            f"{reader.dataset.path}: training ids are not 0..{len(order) - 1}, each once; see `datatools verify` and "
            "make it anew (--overwrite)"
        )
    notices: tuple[str, ...] = ()
    if "replaced_by" in reader.columns:
        notices = ("open-set noise replaced images and left their labels: the labels alone do not show it",)
    return {name: values[order] for name, values in columns.items()}, notices
