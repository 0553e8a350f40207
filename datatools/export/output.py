"""export.json: what lies in every folder that an export made, and by which such a folder is known."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from datatools.files.output import FolderKind
from datatools.files.write_errors import naming
from datatools.format.dataset import Dataset
from datatools.format.metadata import package_version

EXPORT_FILE = "export.json"
"""Lies in every folder that an export made: what it is and of which dataset. Only such a folder is overwritten."""
FORMAT_VERSION = 1
MAX_EXPORT_BYTES = 64 << 20


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
    with naming(folder / EXPORT_FILE):
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


EXPORT_FOLDER = FolderKind(_is_export, "a folder that no export made")
