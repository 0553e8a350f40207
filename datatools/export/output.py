"""Where an export is written: a file or folder that appears whole or not at all, and that replaces only its like."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from datatools.building import appearing, new_file, new_folder
from datatools.dataset import DATASET_FILE, Dataset, package_version
from datatools.errors import DataToolsError

EXPORT_FILE = "export.json"
"""Lies in every folder that an export made: what it is and of which dataset. Only such a folder is overwritten."""
FORMAT_VERSION = 1
MAX_EXPORT_BYTES = 64 << 20


def check_file(out: Path, suffixes: Sequence[str], overwrite: bool) -> None:
    """Raise DataToolsError unless a file of a kind named by `suffixes` (".png", …) may be written to `out`."""
    if out.suffix.lower() not in suffixes:
        raise DataToolsError(f"--out {out}: a file name that ends in {' or '.join(suffixes)} is expected")
    if not os.path.lexists(out):
        return
    if out.is_symlink() or not out.is_file():
        raise DataToolsError(f"{out}: exists and is not a plain file; choose another --out")
    if not overwrite:
        raise DataToolsError(f"{out}: exists already; pass --overwrite to replace it, or choose another --out")


def check_folder(out: Path, overwrite: bool) -> None:
    """Raise DataToolsError unless an exported folder may be written to `out`."""
    if not os.path.lexists(out):
        return
    if out.is_symlink() or not out.is_dir():
        raise DataToolsError(f"{out}: exists and is not a folder; choose another --out")
    if not any(out.iterdir()):
        return
    if not _is_export(out):
        raise DataToolsError(f"{out}: a folder that no export made, never overwritten; choose another --out")
    if not overwrite:
        raise DataToolsError(f"{out}: exists already; pass --overwrite to replace it, or choose another --out")


def check_apart(out: Path, dataset: Dataset) -> None:
    """Raise DataToolsError where `out` is, holds or lies in the dataset, or lies in another dataset."""
    place, own = out.resolve(), dataset.path.resolve()
    if place == own or place in own.parents:
        raise DataToolsError(f"{out}: is or holds the dataset itself, never overwritten; choose another --out")
    for folder in place.parents:
        if (folder / DATASET_FILE).is_file():
            raise DataToolsError(f"{out}: lies inside a dataset directory, {folder.name}; choose another --out")


def describe_export(folder: Path, to: str, dataset: Dataset, **facts: Any) -> None:
    """Write EXPORT_FILE: the format, the dataset's name and the SHA-256 of its dataset.json, and `facts`."""
    text = json.dumps(
        {
            "format_version": FORMAT_VERSION,
            "export": to,
            "dataset": {"name": dataset.metadata.name, "sha256": dataset.sha256},
            **facts,
            "created_by": package_version(),
        },
        indent=2,
        ensure_ascii=False,
    )
    (folder / EXPORT_FILE).write_text(text, encoding="utf-8")


def _is_export(folder: Path) -> bool:
    file = folder / EXPORT_FILE
    try:
        if not file.is_file() or file.stat().st_size > MAX_EXPORT_BYTES:
            return False
        value = json.loads(file.read_text(encoding="utf-8"))
    except (ValueError, RecursionError):
        return False
    return isinstance(value, dict) and {"export", "dataset", "created_by"} <= value.keys()


@contextmanager
def whole_file(out: Path, suffixes: Sequence[str], overwrite: bool) -> Iterator[Path]:
    """Yield an empty file that becomes `out` when the block ends without an error; see `check_file`."""
    out = out.absolute()
    check_file(out, suffixes, overwrite)
    with appearing(out, new_file) as partial:
        yield partial


@contextmanager
def whole_folder(out: Path, overwrite: bool) -> Iterator[Path]:
    """Yield an empty folder that becomes `out` when the block ends without an error; see `check_folder`."""
    out = out.absolute()  # "." has neither a name nor a parent
    check_folder(out, overwrite)
    with appearing(out, new_folder) as partial:
        yield partial
