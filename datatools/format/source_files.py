"""files.csv: which file of the user's is behind each id, and what it was when the dataset was made.

Columns id, split, path, bytes, sha256, rows in id order, "train" before "test". Datasets of version 0.1 have no bytes
and sha256.
"""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from datatools.errors import DataToolsError
from datatools.format.metadata import FILES_CSV
from datatools.format.records import file_sha256

if TYPE_CHECKING:
    from datatools.format.dataset import Dataset

COLUMNS = ("id", "split", "path", "bytes", "sha256")


class SourceFile(NamedTuple):
    """The file that a record was made from.

    Attributes:
        path: below the folder that was converted, with "/"; it never leads out of it.
        size: its bytes then, and sha256: their SHA-256; None in a dataset of version 0.1.
    """

    path: str
    size: int | None
    sha256: str | None

    def state(self, folder: Path | str) -> str:
        """What became of it: "unchanged", "changed", "missing" or, where its SHA-256 is not known, "unknown".

        Args:
            folder: the folder that was converted, wherever it lies now.
        """
        file = Path(folder) / self.path
        if not file.is_file():
            return "missing"
        if self.sha256 is None:
            return "unknown"
        with file.open("rb") as content:
            sha256 = hashlib.file_digest(content, "sha256").hexdigest()
        return "unchanged" if sha256 == self.sha256 else "changed"


def read_source_files(dataset: Dataset, split: str) -> Sequence[SourceFile] | None:
    """The file behind id i of a split at i; None where the dataset was not made from a folder of images.

    Raises:
        DataToolsError: files.csv is not the one that the dataset was made with, or names files of other records.
    """
    metadata, path = dataset.metadata, dataset.files_csv_path
    if metadata.files_csv is None:
        return None
    if not path.is_file() or file_sha256(path) != metadata.files_csv:
        raise DataToolsError(f"{path}: missing, or changed since the dataset was made; see `datatools verify`")
    files: list[SourceFile] = []
    try:
        with path.open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file, strict=True):
                if row["split"] != split:
                    continue
                if int(row["id"]) != len(files):
                    raise ValueError(f"id {row['id']:.20} where {len(files)} is expected")
                files.append(_source_file(row))
    except (KeyError, TypeError, ValueError, csv.Error) as error:
        reason = f"no column {error}" if isinstance(error, KeyError) else error
        raise DataToolsError(f"{path}: not a {FILES_CSV} ({reason}); convert the dataset again") from None
    if len(files) != metadata.num_records(split):
        raise DataToolsError(
            f"{path}: {len(files):,} {split} files, the dataset has {metadata.num_records(split):,} records; convert "
            "it again"
        )
    return files


def _source_file(row: dict[str, str]) -> SourceFile:
    path, size, sha256 = row["path"], row.get("bytes"), row.get("sha256")
    if "\0" in path or any(part in ("", ".", "..") for part in path.split("/")):
        raise ValueError(f"path {path!r:.60} leads elsewhere")
    return SourceFile(path, None if size is None else int(size), sha256)
