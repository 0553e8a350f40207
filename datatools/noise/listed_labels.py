"""Reads a list of labels that somebody else made: .npy, JSON, text or CSV, or the folder of `export --to npy`.

Beside the labels a CSV and such a folder may offer ids, clean labels, class names and paths, by which their order can
be checked. No pickle is read; the number of entries is checked before they are made.
"""

from __future__ import annotations

import codecs
import csv
import hashlib
import io
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from datatools.errors import DataToolsError, listed
from datatools.files.bounded import read_file
from datatools.files.npy import MAGIC, number_array

EXPECTED = (
    "a list of labels: .npy, a JSON list, text with one a line, a CSV with a header, or a folder of `export --to npy`"
)
LABEL_COLUMNS = ("label", "noisy_label", "given_label")
PATH_COLUMNS = ("path", "file")
FOLDER_FILES = ("labels.npy", "ids.npy", "clean_labels.npy")
"""What `export --to npy` writes; the last only where clean labels are known."""
MAX_LINE = 1 << 16
SPARE_LINES = 1_000
"""A table may have so many lines, and two for each image: empty ones, and breaks within quotes."""
ZIP_MAGIC = b"PK\x03\x04"
WHOLE = re.compile(r"-?[0-9]{1,18}")


@dataclass(frozen=True)
class ListedLabels:
    """What a file of labels holds, in the order of the file.

    Attributes:
        labels: (N,) int64. sha256: of the file; of a folder, of its labels.npy.
        ids, clean: (N,) int64, or None where the file has none.
        class_names, paths: N texts, or None.
        notices: what the user should know, a line each.
    """

    labels: np.ndarray
    sha256: str
    ids: np.ndarray | None = None
    clean: np.ndarray | None = None
    class_names: tuple[str, ...] | None = None
    paths: tuple[str, ...] | None = None
    notices: tuple[str, ...] = ()


def read(path: Path, records: int, max_rows: int) -> ListedLabels:
    """The labels in the file or folder `path`.

    Args:
        records: how many are expected. max_rows: how many rows a table may have: those of all splits.

    Raises:
        DataToolsError: not such a file, damaged, or of another number of labels.
    """
    if path.is_dir():
        return _folder(path, records)
    data = read_file(path, EXPECTED)
    content = parse(data, path, records, max_rows)
    check_count(len(content.labels), records, path)
    return content


def parse(data: bytes, origin: Path, records: int, max_rows: int) -> ListedLabels:
    """The labels in the bytes of a file; arguments and errors as for `read`, but that they may be fewer."""
    sha256 = hashlib.sha256(data).hexdigest()
    if data.startswith(MAGIC):
        return ListedLabels(_whole_array(data, origin), sha256)
    if data.startswith(ZIP_MAGIC):
        raise DataToolsError(
            f"{origin}: a zip, as .pt and .npz files are; --type human reads a .pt, else name {EXPECTED}"
        )
    try:
        if data.removeprefix(codecs.BOM_UTF8).lstrip()[:1] in (b"[", b"{"):
            return ListedLabels(_json(data.decode("utf-8-sig"), origin, records), sha256)
        return _table(data, origin, max_rows, sha256)
    except UnicodeDecodeError:
        raise DataToolsError(f"{origin}: neither text nor .npy; name {EXPECTED}") from None


def check_count(labels: int, records: int, origin: Path) -> None:
    """Raise DataToolsError unless there is a label for each training image."""
    if labels != records:
        raise DataToolsError(
            f"{origin}: {labels:,} labels, the dataset has {records:,} training images; name the labels of this set, "
            "and convert the whole set"
        )


def _whole_array(data: bytes, origin: Path) -> np.ndarray:
    array = number_array(data, origin)
    if array.dtype.kind not in "iu" or array.ndim != 1:
        raise DataToolsError(
            f"{origin}: an array {array.dtype}{array.shape}, one row of whole numbers is expected; save labels alone"
        )
    if array.dtype.kind == "u":  # what is beyond int64 stays out of any range
        array = np.minimum(array, np.uint64(np.iinfo(np.int64).max))
    return array.astype(np.int64)


def _folder(folder: Path, records: int) -> ListedLabels:
    names = [name for name in FOLDER_FILES if (folder / name).is_file()]
    if names[:2] != list(FOLDER_FILES[:2]):
        raise DataToolsError(f"{folder}: a folder without {' and '.join(FOLDER_FILES[:2])}; name {EXPECTED}")
    files = {name: read_file(folder / name, EXPECTED) for name in names}
    arrays = {name: _whole_array(data, folder / name) for name, data in files.items()}
    for name, array in arrays.items():
        check_count(len(array), records, folder / name)
    labels, ids, clean = (arrays.get(name) for name in FOLDER_FILES)
    assert labels is not None  # it is the first of `names`
    return ListedLabels(labels, hashlib.sha256(files[FOLDER_FILES[0]]).hexdigest(), ids, clean)


def _json(text: str, origin: Path, records: int) -> np.ndarray:
    if text.count("[") + text.count("{") > 1 or not text.lstrip().startswith("["):
        raise DataToolsError(f"{origin}: JSON, but not one list of whole numbers; name {EXPECTED}")
    if text.count(",") >= records + 1:  # before an object is made of each
        check_count(text.count(",") + 1, records, origin)
    try:
        values = json.loads(text)
    except ValueError as error:
        raise DataToolsError(f"{origin}: no JSON list, or cut short ({str(error)[:80]}); fetch it again") from None
    for number, value in enumerate(values):
        if type(value) is not int:
            raise DataToolsError(f"{origin}: entry {number} (from 0) is {value!r:.40}; a whole number is expected")
    return np.clip(np.array(values, object), -1, np.iinfo(np.int64).max).astype(np.int64)


def _lines(data: bytes, origin: Path, max_lines: int) -> Iterator[str]:
    """The lines of a text, of which there are not too many, and none too long."""
    text = io.TextIOWrapper(io.BytesIO(data), "utf-8-sig", newline="")
    number = 0
    while line := text.readline(MAX_LINE + 1):
        number += 1
        if number > max_lines or len(line) > MAX_LINE:
            limit = f"{max_lines:,} lines" if number > max_lines else f"{MAX_LINE:,} characters in line {number}"
            raise DataToolsError(f"{origin}: more than {limit}; name {EXPECTED}")
        yield line


def _table(data: bytes, origin: Path, max_rows: int, sha256: str) -> ListedLabels:
    """A label a line, or a CSV whose header names its columns."""
    reader = csv.reader(_lines(data, origin, SPARE_LINES + 2 * max_rows), strict=True)
    header: list[str] = []
    rows: list[list[str]] = []
    try:
        for row in reader:
            if not any(cell.strip() for cell in row):
                continue
            if not header:
                header = [cell.strip() for cell in row]
                if all(WHOLE.fullmatch(cell) for cell in header):
                    header = _no_header(len(row), origin)
                else:
                    continue
            if len(row) != len(header):
                raise DataToolsError(
                    f"{origin}: line {reader.line_num} has {len(row)} cells, {len(header)} are expected: "
                    f"{listed(header)[:80]!r}"
                )
            if len(rows) == max_rows:
                raise DataToolsError(
                    f"{origin}: more than {max_rows:,} rows, all images of the dataset; name its labels"
                )
            rows.append(row)
    except csv.Error as error:
        raise DataToolsError(
            f"{origin}: line {reader.line_num}: no CSV, or cut short ({error}); name {EXPECTED}"
        ) from None
    if not header:
        raise DataToolsError(f"{origin}: empty; name {EXPECTED}")
    return _columns(header, rows, origin, sha256, data.endswith((b"\n", b"\r")))


def _no_header(cells: int, origin: Path) -> list[str]:
    if cells > 1:
        raise DataToolsError(
            f"{origin}: {cells} columns without a header; begin with a line of their names: label, and id, clean_label"
        )
    return [LABEL_COLUMNS[0]]


def _columns(header: list[str], rows: list[list[str]], origin: Path, sha256: str, has_end: bool) -> ListedLabels:
    labels = [name for name in header if name in LABEL_COLUMNS]
    if len(labels) != 1 or len(set(header)) != len(header):
        raise DataToolsError(
            f"{origin}: columns {listed(header)[:80]!r}; one column named {' or '.join(LABEL_COLUMNS)} is expected, "
            "and no name twice; without a header, a whole number a line"
        )
    columns = {name: tuple(row[place] for row in rows) for place, name in enumerate(header)}
    if "split" in columns:
        training = [split.strip() == "train" for split in columns["split"]]
        columns = {
            name: tuple(cell for cell, is_training in zip(cells, training, strict=True) if is_training)
            for name, cells in columns.items()
        }
    paths = [name for name in header if name in PATH_COLUMNS]
    notices = (
        () if has_end else (f"{origin}: its last line has no end; if it was cut short, its last label may be wrong",)
    )
    return ListedLabels(
        _whole(columns, labels[0], origin),
        sha256,
        _whole(columns, "id", origin) if "id" in columns else None,
        _whole(columns, "clean_label", origin) if "clean_label" in columns else None,
        columns.get("class_name"),
        columns[paths[0]] if len(paths) == 1 else None,
        notices,
    )


def _whole(columns: dict[str, tuple[str, ...]], name: str, origin: Path) -> np.ndarray:
    cells = columns[name]
    for number, cell in enumerate(cells):
        if not WHOLE.fullmatch(cell.strip()):
            raise DataToolsError(f"{origin}: {name} {number} (from 0) is {cell!r:.40}; a whole number is expected")
    return np.array([int(cell) for cell in cells], np.int64)
