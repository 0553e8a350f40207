"""What a source hands to `convert`: the facts of the image set and its examples, in order, in chunks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from datatools.records import ImageShape


class Chunk(NamedTuple):
    """A run of consecutive examples.

    Attributes:
        labels: (B,) integers.
        decode: gives their pixels, (B, depth, height, width) uint8. It is a call and not an array so that
            `convert` may run it in another process; it must then pickle.
    """

    labels: np.ndarray
    decode: Callable[[], np.ndarray]


@dataclass(frozen=True)
class SourceSplit:
    """One split of a source: its number of records, and a call that iterates over them from the start."""

    records: int
    chunks: Callable[[], Iterator[Chunk]]


@dataclass(frozen=True)
class Source:
    """An image set that was found and looked over, ready to be read.

    Attributes:
        splits: "train" and "test".
        location: where it was found, as dataset.json records it.
        sha256: of the archive, or None where the source is a folder or a package.
        notices: what the user should know about it, a line each.
    """

    image_shape: ImageShape
    class_names: tuple[str, ...]
    splits: dict[str, SourceSplit]
    location: str
    sha256: str | None = None
    notices: tuple[str, ...] = ()


@dataclass(frozen=True)
class Request:
    """What the user asked of a source.

    Attributes:
        location: an archive or a folder, or None to look under `raw`.
        raw: the folder where archives lie that were put there by hand.
        label_set: which of several label sets, or None for the source's own default.
        size: resample images to size x size pixels, or None to keep theirs.
    """

    location: Path | None
    raw: Path
    label_set: str | None = None
    size: int | None = None
