"""Reads a file that the user names, whole, up to a size."""

from __future__ import annotations

from pathlib import Path

from datatools.errors import DataToolsError

MAX_FILE_BYTES = 64 << 20


def read_file(path: Path, what: str) -> bytes:
    """The bytes of `path`.

    Args:
        what: what is expected there, for the error.

    Raises:
        DataToolsError: there is no such file, or it is larger than MAX_FILE_BYTES.
    """
    if not path.is_file():
        raise DataToolsError(f"{path}: no such file; name {what}")
    with path.open("rb") as file:
        data = file.read(MAX_FILE_BYTES + 1)
    if len(data) > MAX_FILE_BYTES:
        raise DataToolsError(f"{path}: larger than {MAX_FILE_BYTES >> 20} MiB; name {what}")
    return data
