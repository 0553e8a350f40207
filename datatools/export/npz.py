"""Export to one compressed NumPy archive, written as it is read: np.savez_compressed would hold every image.

Arrays, for each split: SPLIT_images (N, height, width, depth) uint8, SPLIT_labels (N,) int64, SPLIT_ids (N,) int64;
where they are known, SPLIT_clean_labels (N,) int64; for open-set noise SPLIT_replaced_by (N,) int64. Beside them
`class_names` (K,) of text and `metadata`, a text of JSON. None is of Python objects, so `np.load` reads all with its
default, allow_pickle=False.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from datatools.errors import DataToolsError
from datatools.export.rows import Reader
from datatools.format.metadata import SPLITS

LEVEL = 6
MAX_TEXT_BYTES = 64 << 20


def write_npz(reader: Reader, out: Path) -> tuple[str, ...]:
    """Write the archive into the empty file `out`."""
    metadata = reader.dataset.metadata
    names = np.array(reader.class_names("npz"), f"<U{max(map(len, metadata.class_names))}")
    if names.nbytes > MAX_TEXT_BYTES:  # every name takes the room of the longest
        raise DataToolsError(
            f"{reader.dataset.path}: class names of up to {max(map(len, metadata.class_names)):,} characters are too "
            "long for an npz archive; export to hdf5, or shorten them"
        )
    facts = json.dumps({"name": metadata.name, "labels": metadata.labels, "noise": metadata.noise}, ensure_ascii=False)
    # members that are opened by name get the date 1980-01-01, so the same dataset gives the same bytes
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=LEVEL) as archive:
        for split in SPLITS:
            _split(archive, reader, split)
        _write(archive, "class_names", names.dtype, names.shape, [names])
        text = np.array(facts)
        _write(archive, "metadata", text.dtype, (), [text])
    return ()


def _split(archive: zipfile.ZipFile, reader: Reader, split: str) -> None:
    metadata = reader.dataset.metadata
    depth, height, width = metadata.image_shape
    records = metadata.num_records(split)
    columns: dict[str, list[np.ndarray]] = {name: [] for name in reader.columns}

    def images() -> Iterable[np.ndarray]:
        for rows in reader.rows(split):
            for name, parts in columns.items():
                parts.append(getattr(rows, name))
            yield rows.images()

    _write(archive, f"{split}_images", np.dtype(np.uint8), (records, height, width, depth), images())
    for name, parts in columns.items():
        _write(archive, f"{split}_{name}", np.dtype("<i8"), (records,), parts)


def _write(
    archive: zipfile.ZipFile, name: str, dtype: np.dtype, shape: tuple[int, ...], parts: Iterable[np.ndarray]
) -> None:
    """One member NAME.npy of the dtype and shape given, from the parts that make it up."""
    header = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
    with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
        np.lib.format.write_array_header_1_0(file, header)
        for part in parts:
            file.write(np.ascontiguousarray(part, dtype).data.cast("B") if part.size else b"")
