"""A run of examples on its way from a source to `convert`: its labels, and a call that decodes its pixels."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np


class BadFile(NamedTuple):
    """A file that cannot be used: its path in the source, printable, and why, as "kind" or "kind (detail)"."""

    path: str
    reason: str


class FileFacts(NamedTuple):
    """The file behind one example.

    Attributes:
        size: its bytes. sha256: their SHA-256.
        remarks: what was done to its pixels, keys of `pixels.REMARKS`.
    """

    size: int
    sha256: str
    remarks: tuple[str, ...]


class Kept(NamedTuple):
    """What decoding gave where files are remembered and bad ones collected.

    Attributes:
        pixels: (kept, depth, height, width) uint8.
        mask: (B,) bool, which examples of the chunk they are.
        bad: the others, in order.
        facts: of each that was kept.
    """

    pixels: np.ndarray
    mask: np.ndarray
    bad: tuple[BadFile, ...]
    facts: tuple[FileFacts, ...]


class Chunk(NamedTuple):
    """A run of consecutive examples.

    Attributes:
        labels: (B,) integers.
        decode: gives their pixels, (B, depth, height, width) uint8, or `Kept`. It is a call and not an array so that
            `convert` may run it in another process; where the source `decodes`, it must pickle.
        names: the file of each example, or nothing where the source does not keep them.
    """

    labels: np.ndarray
    decode: Callable[[], np.ndarray | Kept]
    names: tuple[str, ...] = ()
