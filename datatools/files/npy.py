"""NumPy's .npy files, without its pickles: the header is read first, and nothing is made of it that does not fit."""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import numpy as np

from datatools.errors import DataToolsError

MAGIC = b"\x93NUMPY"
HEADER = re.compile(
    rb"\{'descr': '([<>|=]?[a-zA-Z][0-9]{0,3})', 'fortran_order': (True|False), "
    rb"'shape': \(((?:[0-9]{1,18}(?:, ?[0-9]{1,18}){0,31},?)?)\),? ?\}\s*"
)


class NpyHeader(NamedTuple):
    """Shape and type of the array, and where its bytes begin."""

    shape: tuple[int, ...]
    is_fortran: bool
    dtype: np.dtype
    offset: int


def read_header(data: bytes, origin: Path) -> NpyHeader:
    """The header of a .npy file (NEP 1, versions 1 to 3) whose bytes are `data`.

    Taken apart by a pattern, as numpy.save writes it: a header is a Python expression, and none is evaluated here.

    Raises:
        DataToolsError: it is not one.
    """
    length_bytes = {1: 2, 2: 4, 3: 4}.get(data[6] if len(data) > 6 else 0)
    if data.startswith(MAGIC) and length_bytes is not None:
        start = 8 + length_bytes
        offset = start + int.from_bytes(data[8:start], "little")
        match = HEADER.fullmatch(data[start:offset]) if offset <= len(data) else None
        if match:
            code, order, sides = (part.decode("ascii") for part in match.groups())
            shape = tuple(int(side) for side in sides.split(",") if side.strip())
            with suppress(TypeError, ValueError):
                return NpyHeader(shape, order == "True", np.dtype(code), offset)
    raise DataToolsError(f"{origin}: not a .npy file, or damaged; save it again with numpy.save")


def number_array(data: bytes, origin: Path) -> np.ndarray:
    """The array of numbers in a .npy file whose bytes are `data`; no element is made that is not in the file.

    Raises:
        DataToolsError: not a .npy file, of another type, or not as long as its header says.
    """
    header = read_header(data, origin)
    if header.dtype.kind not in "biuf" or header.dtype.itemsize > 8:
        raise DataToolsError(f"{origin}: holds {header.dtype}, plain numbers are expected")
    entries = 1
    for side in header.shape:
        entries *= side
    array_bytes = len(data) - header.offset
    if min(header.shape, default=0) < 0 or entries * header.dtype.itemsize != array_bytes:
        raise DataToolsError(
            f"{origin}: {array_bytes:,} bytes of numbers, its header {header.dtype}{header.shape} says otherwise; "
            "it is cut short or damaged"
        )
    flat = np.frombuffer(data, header.dtype, offset=header.offset)
    try:
        return flat.reshape(header.shape, order="F" if header.is_fortran else "C")
    except ValueError:  # one side is 0, and the others are more than NumPy counts
        raise DataToolsError(f"{origin}: its header's shape {header.shape} is impossible; it is damaged") from None
