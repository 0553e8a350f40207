"""audit.json and samples.csv: by these an audit is known again when its decisions come back.

An audit writes them into the folder that it makes, with more keys and columns of its own; what is read here are the
ones that deciding and applying need.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from datatools.files.json_text import MAX_JSON_BYTES, parse_object
from datatools.files.write_errors import naming
from datatools.format.metadata import package_version
from datatools.printable import formula_safe, formula_undone
from trainer.errors import TrainerError
from trainer.review.items import Audit, Sample, check_audit

FORMAT_VERSION = 1
AUDIT_FILE, SAMPLES_FILE = "audit.json", "samples.csv"
COLUMNS = ("split", "id", "path", "size", "sha256", "given")
MAX_SAMPLES_BYTES = 1 << 30
ANEW = "make the audit anew"


def write_audit_index(
    folder: Path,
    audit: Audit,
    facts: Mapping[str, Any] | None = None,
    columns: Mapping[str, Sequence[object]] | None = None,
) -> None:
    """Write audit.json and samples.csv into `folder`, which is being built and has neither.

    Args:
        facts: more keys of audit.json, what the audit found and how. columns: more columns of samples.csv, a cell for
            each of `audit.samples`; texts in them are made safe for spreadsheets.

    Raises:
        TrainerError: the samples do not belong together, or a name is no UTF-8 text.
    """
    check_audit(audit, folder)
    more = columns or {}
    values = {
        **(facts or {}),
        "format_version": FORMAT_VERSION,
        "audit_id": audit.audit_id,
        "folder": None if audit.folder is None else str(audit.folder),
        "dataset": None if audit.dataset is None else {"path": str(audit.dataset), "sha256": audit.dataset_sha256},
        "class_names": list(audit.class_names),
        "samples": len(audit.samples),
        "not_usable": audit.not_usable,
        "created_by": package_version(),
    }
    try:
        text = json.dumps(values, indent=2, ensure_ascii=False, allow_nan=False).encode()
        with naming(folder / AUDIT_FILE), (folder / AUDIT_FILE).open("xb") as json_file:
            json_file.write(text + b"\n")
        with naming(folder / SAMPLES_FILE), (folder / SAMPLES_FILE).open("x", encoding="utf-8", newline="") as file:
            table = csv.writer(file, lineterminator="\n")
            table.writerow((*COLUMNS, *more))
            for sample, *cells in zip(audit.samples, *more.values(), strict=True):
                table.writerow([_cell(value) for value in (*(getattr(sample, name) for name in COLUMNS), *cells)])
    except UnicodeEncodeError:
        raise TrainerError(
            f"{folder}: a name or path with bytes that are no UTF-8 text cannot be written; rename it"
        ) from None


def _cell(value: object) -> object:
    if isinstance(value, str):
        return formula_safe(value)
    return "" if value is None else value


def read_audit_index(folder: Path) -> Audit:
    """Read the folder that an audit made.

    Raises:
        TrainerError: no such folder, a damaged file, or a samples.csv that is not the one that audit.json tells of.
    """
    path = folder / AUDIT_FILE
    if not path.is_file():
        raise TrainerError(f"{folder}: holds no {AUDIT_FILE}; name the folder that `trainer audit` made with --audit")
    try:
        if path.stat().st_size > MAX_JSON_BYTES:
            raise ValueError(f"larger than {MAX_JSON_BYTES >> 20} MiB")
        values = parse_object(path.read_bytes().decode())
        if values.get("format_version") != FORMAT_VERSION:
            raise ValueError(f"'format_version' is not {FORMAT_VERSION}, the one that this version reads")
        source = _source(values)
        names = values.get("class_names")
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise ValueError("'class_names' should be a list of strings")
        not_usable = values.get("not_usable")
        if not isinstance(not_usable, str | None):
            raise ValueError("'not_usable' should be a string or null")
    except ValueError as error:  # JSON and UTF-8 errors are ValueErrors too
        raise TrainerError(f"{path}: {error}; {ANEW}") from None
    samples = tuple(_samples(folder / SAMPLES_FILE))
    audit = Audit(tuple(names), samples, not_usable=not_usable, **source)
    check_audit(audit, folder)
    if len(samples) != values.get("samples") or audit.audit_id != values.get("audit_id"):
        raise TrainerError(f"{folder / SAMPLES_FILE}: not the one that {AUDIT_FILE} tells of, or changed since; {ANEW}")
    return audit


def _source(values: dict[str, Any]) -> dict[str, Any]:
    """Where the samples are, as keywords of `Audit`."""
    folder, dataset = values.get("folder"), values.get("dataset")
    if isinstance(folder, str) and dataset is None:
        return {"folder": Path(folder)}
    if folder is None and isinstance(dataset, dict):
        path, sha256 = dataset.get("path"), dataset.get("sha256")
        if isinstance(path, str) and isinstance(sha256, str):
            return {"dataset": Path(path), "dataset_sha256": sha256}
    raise ValueError("'folder' should be a path, or 'dataset' have 'path' and 'sha256'")


def _samples(path: Path) -> Iterator[Sample]:
    if not path.is_file() or path.stat().st_size > MAX_SAMPLES_BYTES:
        raise TrainerError(f"{path}: missing, or larger than {MAX_SAMPLES_BYTES >> 30} GiB; {ANEW}")
    number = 1
    try:
        with path.open(encoding="utf-8", newline="") as file:
            table = csv.reader(file, strict=True)
            if tuple(next(table, ()))[: len(COLUMNS)] != COLUMNS:
                raise ValueError(f"columns {', '.join(COLUMNS)} are expected first")
            for row in table:
                number += 1
                split, sample_id, place, size, sha256, given = (formula_undone(cell) for cell in row[: len(COLUMNS)])
                yield Sample(split, int(sample_id), place or None, int(size) if size else None, sha256 or None, given)
    except (ValueError, csv.Error) as error:
        raise TrainerError(f"{path}: row {number}: {error}; {ANEW}") from None
