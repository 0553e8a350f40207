"""A new dataset directory: where it may be made, and that it appears whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from datatools.errors import DataToolsError
from datatools.files.output import FolderKind, check_folder, new_folder
from datatools.format.dataset import Dataset
from datatools.format.metadata import DATASET_FILE
from datatools.names import plain_name


def _is_dataset(folder: Path) -> bool:
    return (folder / DATASET_FILE).is_file()


DATASET_FOLDER = FolderKind(_is_dataset, "a directory that is not a dataset")


@contextmanager
def dataset_directory(out: Path, overwrite: bool) -> Iterator[Path]:
    """Yield an empty directory that becomes `out` when the block ends without an error.

    Args:
        overwrite: replace a dataset that stands at `out`. It is replaced only once the new one is complete.

    Raises:
        DataToolsError: `out` exists and `overwrite` is not given, or `out` is something else than a dataset.
    """
    with new_folder(out, overwrite, DATASET_FOLDER) as folder:
        yield folder


def check_free(out: Path, overwrite: bool) -> None:
    """Raise DataToolsError unless a dataset may be written to `out`."""
    dataset_name(out)
    check_folder(out, overwrite, DATASET_FOLDER)


def dataset_name(out: Path, option: str = "--out") -> str:
    """What a dataset is called that is made at `out`: the directory's name.

    Raises:
        DataToolsError: nobody could read a dataset of that name.
    """
    place = os.path.abspath(out)  # noqa: PTH100 - resolve() fails for some of the names that are refused here
    return plain_name(os.path.basename(place), f"{option} {out}: the directory's name")  # noqa: PTH119


def check_apart(out: Path, dataset: Dataset, option: str = "--out") -> None:
    """Raise DataToolsError where `out` is, holds or lies in the dataset, or lies in another dataset."""
    place, home = out.resolve(), dataset.path.resolve()
    if place == home or place in home.parents:
        raise DataToolsError(f"{out}: is or holds the dataset itself, never overwritten; choose another {option}")
    for folder in place.parents:
        if _is_dataset(folder):
            raise DataToolsError(f"{out}: lies inside a dataset directory, {folder.name}; choose another {option}")
