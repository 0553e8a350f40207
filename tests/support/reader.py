"""A reader of batch files that shares nothing with the package: the ten lines a user would write."""

from __future__ import annotations

import struct
from pathlib import Path


def read_batch(path: Path, pixel_bytes: int) -> list[tuple[int, int, bytes]]:
    """(id, label, pixels) of every record."""
    records = []
    with path.open("rb") as file:
        while header := file.read(8):
            number, label = struct.unpack(">II", header)
            pixels = file.read(pixel_bytes)
            assert len(pixels) == pixel_bytes, "the last record is short"
            records.append((number, label, pixels))
    return records


def read_split(folder: Path, split: str, pixel_bytes: int) -> list[tuple[int, int, bytes]]:
    """The records of all batch files of a split, in the order of the files' numbers."""
    if split == "test":
        return read_batch(folder / "test_batch.bin", pixel_bytes)
    files = sorted(folder.glob("data_batch_*.bin"), key=lambda path: int(path.stem.rpartition("_")[2]))
    return [record for path in files for record in read_batch(path, pixel_bytes)]
