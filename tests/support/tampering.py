"""Ways of tampering with a dataset, and the checks that can see them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from datatools.format.dataset import open_dataset
from datatools.verification import Check, verify

RECORD = np.dtype([("id", ">u4"), ("label", ">u4"), ("pixels", "u1", (3, 8, 8))])
CLEAN_CHECKS = ["dataset.json", "record sizes", "checksums", "ids", "labels in range"]
MANIFEST_CHECKS = [
    "manifest against batches",
    "realised rate",
    "realised matrix",
    "clean labels against parent",
    "pixels against parent",
]
NOISY_CHECKS = [*CLEAN_CHECKS, "manifest.h5", *MANIFEST_CHECKS, "test split against parent"]


Tamper = Callable[[Path], None]
"""Changes the noisy dataset at the path it gets; the clean parent stands beside it, as `clean`."""


def report(path: Path) -> dict[str, Check]:
    return {check.name: check for check in verify(open_dataset(path))}


def edit_record(name: str, record: int, **values: int) -> Tamper:
    def tamper(path: Path) -> None:
        records = np.memmap(path / name, RECORD, "r+")
        for key, value in values.items():
            records[key][record] = value
        records.flush()

    return tamper


def edit_json(path: Path, change: Callable[[dict[str, Any]], None]) -> None:
    value = json.loads((path / "dataset.json").read_text())
    change(value)
    (path / "dataset.json").write_text(json.dumps(value))


def reseal(path: Path) -> None:
    """Write the batches' checksums as they are now into dataset.json, as a careful forger would."""

    def change(value: dict[str, Any]) -> None:
        for split in value["splits"].values():
            for file in split["files"]:
                file["sha256"] = hashlib.sha256((path / file["name"]).read_bytes()).hexdigest()

    edit_json(path, change)


def and_reseal(tamper: Tamper) -> Tamper:
    def both(path: Path) -> None:
        tamper(path)
        reseal(path)

    return both


def edit_manifest(change: Callable[[h5py.File], None]) -> Tamper:
    def tamper(path: Path) -> None:
        with h5py.File(path / "manifest.h5", "r+") as file:
            change(file)

    return tamper


def set_attribute(name: str, value: object) -> Tamper:
    return edit_manifest(lambda file: file.attrs.__setitem__(name, value))


def set_entry(name: str, place: object, value: object) -> Tamper:
    return edit_manifest(lambda file: file[name].__setitem__(place, value))


@dataclass(frozen=True)
class Case:
    """A way of tampering, the checks that fail and are skipped by it, and what is said."""

    tamper: Tamper
    failed: set[str]
    skipped: set[str] = field(default_factory=set)
    said: dict[str, str] = field(default_factory=dict)
