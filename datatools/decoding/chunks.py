"""A run of examples on its way from a source to `convert`: its labels, and a call that decodes its pixels."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np


class Kept(NamedTuple):
    """What decoding gave where unreadable images are left out.

    Attributes:
        pixels: (kept, depth, height, width) uint8.
        mask: (B,) bool, which examples of the chunk they are.
        problems: a line for each of the others.
    """

    pixels: np.ndarray
    mask: np.ndarray
    problems: tuple[str, ...]


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
