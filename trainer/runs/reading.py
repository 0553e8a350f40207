"""Reading somebody's files: links are not followed, nothing is larger than it says, and what fails is one line."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py

from trainer.errors import TrainerError

MAX_BYTES = 64 << 20
"""The largest JSON or CSV file that is read: a run of 2,000 classes, or of 100,000 epochs, writes less."""
MAX_CONTAINERS = 200_000
"""Lists and objects in a JSON file: each costs far more memory than the two bytes that it takes in the file."""


RESUME = "go on with the run by resume=True, or --resume"


class RunFileError(TrainerError):
    """A file of a run that is missing or damaged.

    Attributes:
        path: of the file. reason: what is wrong with it, without place and remedy.
    """

    def __init__(self, path: Path, problem: str, remedy: str, reason: str) -> None:
        super().__init__(f"{path}: {problem}; {remedy}")
        self.path, self.reason = path, reason


@contextmanager
def readable(path: Path, if_missing: str = RESUME) -> Iterator[None]:
    """Turn whatever a file of a run meets while it is read into one line.

    Args:
        if_missing: what to do where the file is not there.

    Raises:
        RunFileError: the file is not there, or the block ends with an error that a damaged file can cause.
    """
    try:
        if not path.is_file():
            raise RunFileError(path, "not there", if_missing, "not there")
        yield
    except TrainerError:
        raise
    # h5py raises whatever the HDF5 library met; RecursionError, OverflowError: JSON too deep, numbers beyond a float
    except (
        OSError,
        LookupError,
        RuntimeError,
        ValueError,
        TypeError,
        AttributeError,
        ArithmeticError,
        MemoryError,
        csv.Error,
    ) as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise RunFileError(path, f"cannot be read ({reason})", "start the run anew with --overwrite", reason) from None


def read_text(path: Path) -> str:
    """The text of a file of at most MAX_BYTES.

    Raises:
        OSError, ValueError: it cannot be read, is larger, or is no UTF-8.
    """
    if path.stat().st_size > MAX_BYTES:
        raise ValueError(f"larger than {MAX_BYTES >> 20} MiB")
    return path.read_text(encoding="utf-8")


def read_object(path: Path) -> dict[str, Any]:
    """The JSON object of a file.

    Raises:
        OSError, ValueError, RecursionError: it cannot be read, is too large or too deep, or no JSON object.
    """
    text = read_text(path)
    if text.count("[") + text.count("{") > MAX_CONTAINERS:
        raise ValueError(f"more than {MAX_CONTAINERS:,} lists and objects")
    value = json.loads(text)
    if not isinstance(value, dict):
        raise ValueError("not a JSON object")
    return value


def get(values: dict[str, Any], key: str, kind: type | tuple[type, ...], where: str = "") -> Any:
    """A value of a JSON object, of a kind; a text is not empty.

    Args:
        where: what stands before the key in the error, such as "dataset.".

    Raises:
        ValueError: it is missing, or of another kind.
    """
    value = values.get(key)
    # bool is an int to Python, not to us
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise ValueError(f"'{where}{key}' is {'missing' if key not in values else 'not of the kind expected'}")
    if value == "":
        raise ValueError(f"'{where}{key}' is empty")
    return value


def plain_group(parent: h5py.Group, name: str) -> h5py.Group:
    """A group of an HDF5 file, and no link.

    Raises:
        ValueError: there is none of that name.
    """
    # getlink first: a link that points into another file is not followed
    if not isinstance(parent.get(name, getlink=True), h5py.HardLink) or not isinstance(parent[name], h5py.Group):
        raise ValueError(f"no group '{name}'")
    return parent[name]


def plain_dataset(parent: h5py.Group, name: str) -> h5py.Dataset:
    """A dataset of an HDF5 file, whose values stand in that file, as large as its shape says.

    Raises:
        ValueError: there is none of that name, or it is a link, virtual, or takes its values from elsewhere.
    """
    if not isinstance(parent.get(name, getlink=True), h5py.HardLink):
        raise ValueError(f"no dataset '{name}'")
    values = parent[name]
    if not isinstance(values, h5py.Dataset) or values.is_virtual or values.external or values.shape is None:
        raise ValueError(f"'{name}' is not a plain dataset")
    # a few bytes can promise terabytes, by compression or by values that were never written
    if values.id.get_storage_size() < values.nbytes:
        raise ValueError(f"'{name}' has less in the file than its shape {values.shape} says")
    return values
