"""Files in torch's format of before 1.6, put together opcode by opcode, whole and forged."""

from __future__ import annotations

import pickle
import struct
from collections.abc import Callable

import numpy as np

MAGIC = pickle.dumps(0x1950A86A20F9469CFC6C, protocol=2)
PROTOCOL = pickle.dumps(1001, protocol=2)
SYSTEM = pickle.dumps({"protocol_version": 1001, "little_endian": True, "type_sizes": {"int": 4}}, protocol=2)
KINDS = {"float32": b"FloatStorage", "int64": b"LongStorage"}


def text(value: str) -> bytes:
    raw = value.encode()
    return b"X" + struct.pack("<I", len(raw)) + raw


def number(value: int) -> bytes:
    return b"J" + struct.pack("<i", value)


def numbers(values: tuple[int, ...]) -> bytes:
    return b"(" + b"".join(map(number, values)) + b"t"


def storage(array: np.ndarray, key: str, length: int | None = None) -> bytes:
    kind = KINDS[array.dtype.name]
    count = number(array.size if length is None else length)
    return b"(" + text("storage") + b"ctorch\n" + kind + b"\n" + text(key) + text("cpu") + count + b"NtQ"


def tensor(
    array: np.ndarray,
    key: str,
    *,
    offset: int = 0,
    shape: tuple[int, ...] | None = None,
    strides: tuple[int, ...] | None = None,
    length: int | None = None,
) -> bytes:
    """What torch pickles of an array that is laid out in C or Fortran order; every part can be forged."""
    steps = tuple(step // array.itemsize for step in array.strides) if strides is None else strides
    parts = storage(array, key, length) + number(offset) + numbers(array.shape if shape is None else shape)
    return b"ctorch._utils\n_rebuild_tensor_v2\n(" + parts + numbers(steps) + b"\x89" + ORDERED + b"tR"


ORDERED = b"ccollections\nOrderedDict\n)R"


def state(entries: dict[str, bytes]) -> bytes:
    """The pickle of a state dict, with the versions that torch keeps beside it."""
    items = b"".join(text(name) + value for name, value in entries.items())
    return b"\x80\x02" + ORDERED + b"(" + items + b"u}" + text("_metadata") + ORDERED + b"sb."


def stored(arrays: list[np.ndarray]) -> bytes:
    """Keys and numbers of the storages."""
    keys = pickle.dumps([str(number) for number in range(len(arrays))], protocol=2)
    raw = [struct.pack("<q", array.size) + array.tobytes(order="A") for array in arrays]
    return keys + b"".join(raw)


def saved(arrays: dict[str, np.ndarray], make: Callable[[np.ndarray, str], bytes] = tensor) -> bytes:
    """A whole file."""
    entries = {name: make(array, str(place)) for place, (name, array) in enumerate(arrays.items())}
    return MAGIC + PROTOCOL + SYSTEM + state(entries) + stored([*arrays.values()])
