"""Arrays of features in NumPy's files: each is as large as it says, and no pickle is read."""

from __future__ import annotations

import hashlib
import math
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO

import numpy as np

from datatools.files.npy import NpyHeader, read_header
from trainer.errors import TrainerError

HEADER_BYTES = 1 << 16
MAX_NUMBERS = 1 << 16
"""D at most."""
MAX_RATIO = 100
"""How many times its size a member of an archive may unpack to, where that is above RATIO_FREE_BYTES."""
RATIO_FREE_BYTES = 64 << 20
LARGEST = 1e30
"""Beyond this, differences of features are no float32 any more."""
BLOCK = 1 << 12


def read_npy(path: Path, counts: Mapping[str, int]) -> dict[str, np.ndarray]:
    """Each split's (count, D) of a .npy file (N + M, D), the training samples first.

    Raises:
        DataToolsError, OSError, ValueError: it cannot be read, or has another number of rows.
    """
    total = sum(counts.values())
    what = f"{' + '.join(f'{count:,} {split}' for split, count in counts.items())} samples, in this order"
    with path.open("rb") as file:
        values = _array(file, path.stat().st_size, total, path, "it", what)
    ends = np.cumsum(list(counts.values()))
    return {split: values[end - counts[split] : end] for split, end in zip(counts, ends.tolist(), strict=True)}


def read_npz(path: Path, counts: Mapping[str, int]) -> dict[str, np.ndarray]:
    """Each split's (count, D) of a .npz file with an array for each.

    Raises:
        DataToolsError, OSError, ValueError: it cannot be read, an array is missing or has another number of rows.
    """
    arrays = {}
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            for split, count in counts.items():
                if names.count(f"{split}.npy") != 1:
                    raise TrainerError(
                        f"{path}: no array '{split}'; arrays {' and '.join(counts)} are expected, as np.savez(FILE, "
                        "train=…, test=…) writes them"
                    )
                info = archive.getinfo(f"{split}.npy")
                if info.file_size > RATIO_FREE_BYTES and info.file_size > MAX_RATIO * info.compress_size:
                    raise ValueError(f"'{split}' unpacks to more than {MAX_RATIO} times its size")
                with archive.open(info) as file:
                    arrays[split] = _array(
                        file, info.file_size, count, path, f"'{split}'", f"{count:,} {split} samples"
                    )
    except (zipfile.BadZipFile, zlib.error, NotImplementedError) as error:
        raise ValueError(error) from None
    return arrays


def _array(file: BinaryIO | object, size: int, rows: int, path: Path, name: str, what: str) -> np.ndarray:
    """The array of an open .npy file of `size` bytes, which has to have so many rows."""
    read = file.read  # type: ignore[union-attr]
    start = read(HEADER_BYTES)
    header: NpyHeader = read_header(start, path)
    shape, dtype = header.shape, header.dtype
    if len(shape) != 2 or shape[0] != rows or not 1 <= shape[1] <= MAX_NUMBERS:
        raise TrainerError(f"{path}: {name} is {dtype}{shape}, ({rows:,}, D) is expected: a row each of {what}")
    if dtype.kind not in "biuf" or dtype.itemsize > 8:
        raise TrainerError(f"{path}: {name} holds {dtype}, plain numbers are expected")
    wanted = math.prod(shape) * dtype.itemsize
    if size - header.offset != wanted:
        raise ValueError(f"{name} has {size - header.offset:,} bytes of numbers, its header says {wanted:,}")
    raw = bytearray(wanted)
    done = len(start) - header.offset
    raw[:done] = start[header.offset :]
    while done < wanted:
        part = read(min(wanted - done, 1 << 24))
        if not part:
            raise EOFError(f"{name} ends early")
        raw[done : done + len(part)] = part
        done += len(part)
    return np.frombuffer(raw, dtype).reshape(shape, order="F" if header.is_fortran else "C")


def checked(values: np.ndarray, split: str, path: Path) -> np.ndarray:
    """(N, D) features as float32.

    Raises:
        TrainerError: there is no number in a row, or too many, or one that is not finite.
    """
    if not 1 <= values.shape[1] <= MAX_NUMBERS:
        raise TrainerError(f"{path}: {values.shape[1]:,} numbers a sample, 1 to {MAX_NUMBERS:,} are expected")
    features = np.empty(values.shape, np.float32)
    for start in range(0, len(values), BLOCK):
        part = values[start : start + BLOCK]
        bad = np.argwhere(~(np.abs(part.astype(np.float64)) < LARGEST))
        if len(bad):
            row, column = bad[0]
            raise TrainerError(
                f"{path}: the {split} feature {column} of id {start + row} is {part[row, column]}; finite numbers "
                f"below {LARGEST:g} are expected: make the features anew"
            )
        features[start : start + BLOCK] = part
    return features


def sha256_of(features: Mapping[str, np.ndarray]) -> str:
    """SHA-256 of the splits' float32 features: for each a line "NAME N D" and the numbers, little-endian."""
    digest = hashlib.sha256()
    for name, values in features.items():
        digest.update(f"{name} {' '.join(map(str, values.shape))}\n".encode())
        digest.update(np.ascontiguousarray(values, "<f4").data)
    return digest.hexdigest()
