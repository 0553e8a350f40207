"""Reads weights that torch saved before its version 1.6, without torch and without running a pickle.

The file is a row of pickles: a magic number, the version of the protocol, facts about the machine, the state dict, in
which a tensor names its storage by a persistent id, and the list of the storages' keys. Then, for each key in the order
of the list, how many numbers the storage has (int64) and the numbers (`torch.serialization`, `_legacy_save`).
"""

from __future__ import annotations

import io
import math
import pickle
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.lib.stride_tricks import as_strided

from datatools.errors import DataToolsError
from datatools.files.pickles import FixedFunction, RefusedError, check_opcodes

MAGIC_NUMBER = 0x1950A86A20F9469CFC6C
PROTOCOL_VERSION = 1001
STORAGES = {
    "FloatStorage": "<f4",
    "DoubleStorage": "<f8",
    "HalfStorage": "<f2",
    "LongStorage": "<i8",
    "IntStorage": "<i4",
}
"""The number type of each kind of storage."""
COUNT_BYTES = 8
MAX_AXES = 8


class _Storage(NamedTuple):
    """Stands for a storage, whose numbers come later in the file."""

    key: str
    dtype: str
    length: int


class _Tensor(NamedTuple):
    """Stands for a tensor: where in its storage it begins, its shape, and how far apart numbers are along each axis."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


class _StateDict(dict[Any, Any]):
    """Stands for collections.OrderedDict."""

    __slots__ = ()

    def __setstate__(self, state: object) -> None:
        """What torch keeps beside the tensors, the versions of its modules, is not needed."""


class _WeightsUnpickler(pickle.Unpickler):
    """Unpickles a state dict of tensors, and what plain pickles may hold; every global is ours, or refused."""

    def __init__(self, file: io.BytesIO) -> None:
        super().__init__(file)
        self.storages: dict[str, _Storage] = {}

    def find_class(self, module: str, name: str) -> Any:
        if module == "torch" and name in STORAGES:
            return STORAGES[name]
        if (module, name) == ("collections", "OrderedDict"):
            return FixedFunction(_state_dict)
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return FixedFunction(_tensor)
        raise RefusedError(f"the pickle calls {module}.{name}")

    def persistent_load(self, pid: object) -> _Storage:
        match pid:
            case ("storage", str() as dtype, str() as key, str(), int() as count, None) if count >= 0:
                storage = _Storage(key, dtype, count)
            case _:
                raise RefusedError("a storage of unknown form")
        if dtype not in STORAGES.values() or self.storages.setdefault(key, storage) != storage:
            raise RefusedError("a storage of two forms")
        return storage


def _state_dict(*arguments: object) -> _StateDict:
    if arguments:
        raise RefusedError("a dictionary made of something")
    return _StateDict()


def _tensor(*arguments: object) -> _Tensor:
    match arguments:
        case (_Storage() as storage, int() as offset, tuple() as shape, tuple() as strides, bool(), _StateDict()):
            pass
        case _:
            raise RefusedError("a tensor of unknown form")
    if not all(isinstance(number, int) and number >= 0 for number in (offset, *shape, *strides)):
        raise RefusedError("a tensor of impossible shape")
    if len(strides) != len(shape) or len(shape) > MAX_AXES:
        raise RefusedError("a tensor of impossible shape")
    last = offset + sum((length - 1) * stride for length, stride in zip(shape, strides, strict=True))
    # strides of 0 could make much of little
    if 0 in shape or last >= storage.length or math.prod(shape) > storage.length:
        raise RefusedError("a tensor larger than its storage")
    return _Tensor(storage, offset, shape, strides)


def load_weights(data: bytes, origin: Path | str) -> dict[str, np.ndarray]:
    """The arrays of a state dict, by name, in the order of the file.

    Args:
        data: the bytes of the file. origin: names it in the error.

    Raises:
        DataToolsError: cut short, malformed, of another format, or a pickle that does more than hold tensors.
    """
    try:
        return _load_weights(data)
    except RefusedError as error:
        raise DataToolsError(
            f"{origin}: not a file of weights in torch's format before 1.6, and was not executed: {error}; install the "
            "package of the weights again"
        ) from None
    # whatever a malformed pickle raises, it is the file's fault: no code but this module's has run
    except Exception as error:
        reason = " ".join(str(error).split())[:100] or type(error).__name__
        raise DataToolsError(
            f"{origin}: damaged or cut short ({reason}); install the package of the weights again"
        ) from None


def _load_weights(data: bytes) -> dict[str, np.ndarray]:
    file = io.BytesIO(data)
    if _next_pickle(file)[0] != MAGIC_NUMBER or _next_pickle(file)[0] != PROTOCOL_VERSION:
        raise RefusedError("its magic number is another")
    match _next_pickle(file)[0]:
        case {"little_endian": True}:
            pass
        case _:
            raise RefusedError("it was written on a machine of another byte order")
    state, storages = _next_pickle(file)
    keys, _ = _next_pickle(file)
    if not isinstance(state, _StateDict) or not all(isinstance(value, _Tensor) for value in state.values()):
        raise RefusedError("no dictionary of tensors")
    if not isinstance(keys, list) or sorted(map(str, keys)) != sorted(storages):
        raise RefusedError("its storages are not those of its tensors")
    if len(storages) != len(state):  # a file could have many copies made of one storage
        raise RefusedError("tensors that share a storage")
    numbers = {}
    for key in keys:
        numbers[key] = _numbers(file, storages[key])
    if file.read(1):
        raise ValueError("bytes after its end")
    arrays = {}
    for name, (storage, offset, shape, strides) in state.items():
        if not isinstance(name, str):
            raise RefusedError("a tensor without a name")
        flat = numbers[storage.key][offset:]
        # that all of it is inside of the storage was seen when the tensor was made
        view = as_strided(flat, shape, [stride * flat.itemsize for stride in strides], writeable=False)
        arrays[name] = np.array(view, order="C")
    return arrays


def _next_pickle(file: io.BytesIO) -> tuple[Any, dict[str, _Storage]]:
    """The value of the pickle that stands next in the file, and the storages it names."""
    start = file.tell()
    check_opcodes(file)
    file.seek(start)
    unpickler = _WeightsUnpickler(file)
    return unpickler.load(), unpickler.storages


def _numbers(file: io.BytesIO, storage: _Storage) -> np.ndarray:
    count = int.from_bytes(file.read(COUNT_BYTES), "little", signed=True)
    if count != storage.length:
        raise ValueError(f"a storage of {count:,} numbers where {storage.length:,} are expected")
    dtype = np.dtype(storage.dtype)
    raw = file.read(count * dtype.itemsize)
    if len(raw) != count * dtype.itemsize:
        raise ValueError(f"it ends after {len(raw):,} of {count * dtype.itemsize:,} bytes of a storage")
    return np.frombuffer(raw, dtype)
