"""Reads the label files of CIFAR-10N and CIFAR-100N (Wei et al., ICLR 2022): torch's .pt, and .npy.

Both hold a pickled dictionary of label columns, the .pt as the member data.pkl of a zip archive (the columns are NumPy
arrays and lists, no torch tensors), the .npy as the only item of an array of objects. Neither is ever unpickled but by
`sources.pickles`.
"""

from __future__ import annotations

import io
import zipfile
import zlib
from pathlib import Path

import numpy as np

from datatools.errors import DataToolsError
from datatools.files.bounded import MAX_FILE_BYTES, read_file
from datatools.files.npy import MAGIC, read_header
from datatools.files.pickles import load_pickle

EXPECTED = "a label file of CIFAR-10N or CIFAR-100N, .pt or .npy"
ZIP_MAGIC = b"PK\x03\x04"
DIRECTORY_ENTRY = b"PK\x01\x02"
MAX_MEMBERS = 10_000


def parse(data: bytes, origin: Path) -> dict[str, np.ndarray]:
    """The columns of a label file whose bytes are `data`.

    Returns:
        {column: (N,) int64 labels}, in the order of the file; what is no column of whole numbers is left out.

    Raises:
        DataToolsError: not such a file, damaged, or a pickle that does more than hold data.
    """
    if data.startswith(ZIP_MAGIC):
        values = load_pickle(_pickle_in_zip(data, origin), origin)
    elif data.startswith(MAGIC):
        header = read_header(data, origin)
        if header.dtype.kind != "O" or header.shape != ():
            raise DataToolsError(
                f"{origin}: an array {header.dtype}{header.shape} without names; a dictionary of label columns with "
                "clean_label among them is expected, so that the order can be checked"
            )
        values = load_pickle(data[header.offset :], origin, in_array=True)
    else:
        raise DataToolsError(f"{origin}: neither a .pt (zip) nor a .npy file; name {EXPECTED}")
    columns = {key: column for key, value in values.items() if (column := _column(value)) is not None}
    if not columns:
        raise DataToolsError(f"{origin}: no column of labels in it; name {EXPECTED}")
    return columns


def read(path: Path) -> tuple[dict[str, np.ndarray], bytes]:
    """The columns of the file `path` as of `parse`, and its bytes."""
    data = read_file(path, EXPECTED)
    return parse(data, path), data


def _pickle_in_zip(data: bytes, origin: Path) -> bytes:
    try:
        if data.count(DIRECTORY_ENTRY) > MAX_MEMBERS:
            raise zipfile.BadZipFile(f"more than {MAX_MEMBERS:,} members")
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = [member for member in archive.infolist() if member.filename.rpartition("/")[2] == "data.pkl"]
            if len(members) != 1:
                raise DataToolsError(
                    f"{origin}: a zip with {len(members)} files data.pkl, one is expected in a .pt file"
                )
            with archive.open(members[0]) as file:
                pickled = file.read(MAX_FILE_BYTES + 1)
    # whatever the zip reader meets in a damaged archive: bad magic, bad checksum, encryption, an unknown method
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError, ValueError, NotImplementedError) as error:
        reason = " ".join(str(error).split())[:100]
        raise DataToolsError(f"{origin}: damaged or cut short ({reason}); fetch it again") from None
    if len(pickled) > MAX_FILE_BYTES:
        raise DataToolsError(f"{origin}: unpacks to more than {MAX_FILE_BYTES >> 20} MiB; name {EXPECTED}")
    return pickled


def _column(value: object) -> np.ndarray | None:
    """(N,) int64, or None for what is no column of labels."""
    if isinstance(value, np.ndarray) and value.ndim == 1 and value.dtype.kind in "iu":
        return value.astype(np.int64)  # what is beyond int64 comes out negative, and is found out of range later
    if isinstance(value, list) and value and all(type(item) is int for item in value):
        return np.clip(np.array(value, object), -1, np.iinfo(np.int64).max).astype(np.int64)
    return None
