"""Reads other people's pickles without running them.

A pickle is a program. This one may only build plain containers, numbers, strings and plain number arrays: every
global it names is replaced by a function of ours, or refused. NumPy itself is never called with what the file
says; an array is put together here, after its shape and its bytes were seen to fit.
"""

from __future__ import annotations

import io
import pickle
import pickletools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from datatools.errors import DataToolsError

PLAIN_KINDS = "biuf"
MAX_OPCODES = 1_000_000
"""The largest official file has a fifth of that. An opcode is a byte, and what it makes takes up to 216."""


class RefusedError(Exception):
    """The pickle asks for something that no data file needs."""


class _Dtype:
    """Stands for a numpy.dtype while unpickling: a code such as "u1", and a byte order."""

    __slots__ = ("code", "order")

    def __init__(self, code: object) -> None:
        self.code, self.order = code, "|"

    def __setstate__(self, state: object) -> None:
        if (
            not isinstance(state, tuple)
            or len(state) < 2
            or state[1] not in ("|", "<", ">", "=", b"|", b"<", b">", b"=")
        ):
            raise RefusedError("a dtype of unknown form")
        # Python 2 wrote it as a byte string
        self.order = state[1].decode("ascii") if isinstance(state[1], bytes) else state[1]

    def resolve(self) -> np.dtype:
        code = self.code.decode("ascii") if isinstance(self.code, bytes) else self.code
        if not isinstance(code, str) or code[:1] not in PLAIN_KINDS or code[1:] not in ("1", "2", "4", "8"):
            raise RefusedError(f"an array of {code[:40]!r}" if isinstance(code, str) else "an array of unknown type")
        return np.dtype(code).newbyteorder(self.order)  # type: ignore[arg-type]


class _Array:
    """Stands for a numpy.ndarray while unpickling; becomes one in `value`."""

    __slots__ = ("item", "value")

    def __init__(self) -> None:
        self.value: np.ndarray | None = None
        self.item: object = None
        """The only item of an array of objects of shape (), which is how numpy.save writes a dictionary."""

    def __setstate__(self, state: object) -> None:
        match state:
            case (int(), (), _Dtype(code="O8"), bool() | int(), [dict() as item]):
                self.item = item
                return
            case (
                int(),
                tuple() as shape,
                _Dtype() as dtype,
                bool() | int() as fortran,
                bytes() | str() as data,
            ):
                pass
            case _:
                raise RefusedError("an array of unknown form")
        raw = data.encode("latin-1") if isinstance(data, str) else data
        if not all(isinstance(side, int) and side >= 0 for side in shape):
            raise RefusedError("an array of impossible shape")
        flat = np.frombuffer(raw, dtype.resolve())
        self.value = flat.reshape(shape, order="F" if fortran else "C")


class FixedFunction:
    """Stands for a global while unpickling. It has no attributes, so a BUILD opcode finds nothing to change."""

    __slots__ = ("_call",)

    def __init__(self, call: Callable[..., Any]) -> None:
        self._call = call

    def __call__(self, *arguments: object) -> Any:
        return self._call(*arguments)

    def __setstate__(self, state: object) -> None:
        raise RefusedError("it changes a function")


class _DataUnpickler(pickle.Unpickler):
    """Unpickles containers, numbers, strings and plain arrays; see the module's docstring."""

    def find_class(self, module: str, name: str) -> Any:
        allowed: dict[tuple[str, str], Any] = {
            ("numpy.core.multiarray", "_reconstruct"): FixedFunction(self._reconstruct),
            ("numpy._core.multiarray", "_reconstruct"): FixedFunction(self._reconstruct),
            ("numpy", "ndarray"): "ndarray",
            ("numpy", "dtype"): FixedFunction(self._dtype),
            ("_codecs", "encode"): FixedFunction(self._encode),
        }
        try:
            return allowed[module, name]
        except KeyError:
            raise RefusedError(f"the pickle calls {module}.{name}") from None

    def persistent_load(self, pid: object) -> Any:
        raise RefusedError("the pickle refers to something outside itself")

    def _reconstruct(self, *_: object) -> _Array:
        return _Array()

    def _dtype(self, code: object, *_: object) -> _Dtype:
        return _Dtype(code)

    def _encode(self, text: object, encoding: object = "latin1") -> bytes:
        if not isinstance(text, str) or encoding not in ("latin1", "latin-1", b"latin1"):
            raise RefusedError("text of unknown encoding")
        return text.encode("latin-1")


def check_opcodes(file: io.BytesIO) -> None:
    """Refuse too many opcodes, and a memo index larger than the file: CPython's unpickler would allocate up to it.

    Args:
        file: stands at the start of a pickle, afterwards behind it.
    """
    size = len(file.getbuffer())
    for number, (opcode, argument, _) in enumerate(pickletools.genops(file)):
        if number == MAX_OPCODES:
            raise RefusedError(f"more than {MAX_OPCODES:,} opcodes")
        if opcode.name in ("PUT", "BINPUT", "LONG_BINPUT") and int(argument or 0) > size:
            raise RefusedError("the pickle asks for more memory than it can need")


def _plain(value: Any, depth: int = 0) -> Any:
    """Put the arrays in place of what stood for them: in the dictionary itself, where every official file has them."""
    if isinstance(value, _Array):
        if value.value is None:
            raise RefusedError("an array without content")
        return value.value
    if isinstance(value, dict):
        if depth:  # no official file nests them, and dictionaries that share others would unfold without end
            raise RefusedError("a dictionary in a dictionary")
        return {key: _plain(item, 1) for key, item in value.items() if isinstance(key, (str, bytes))}
    if isinstance(value, (list, tuple)) and not all(isinstance(item, (int, float, str, bytes)) for item in value):
        raise RefusedError("a list of something else than numbers and text")
    if isinstance(value, _Dtype) or callable(value):
        raise RefusedError("something that is not data")
    return value


def load_pickle(data: bytes, origin: Path | str, in_array: bool = False) -> dict[str, Any]:
    """The dictionary that a pickle holds: str keys; values are plain Python data or NumPy number arrays.

    Bytes keys and strings of Python 2 become str keys; values that were Python 2 strings stay bytes.

    Args:
        origin: names the file in the error.
        in_array: the pickle is what numpy.save makes of a dictionary, the only item of an array of objects.

    Raises:
        DataToolsError: cut short, malformed, not a dictionary, or a pickle that does more than hold data.
    """
    load: Callable[[], Any] = _DataUnpickler(io.BytesIO(data), encoding="bytes").load
    try:
        check_opcodes(io.BytesIO(data))
        value = load()
        if in_array and isinstance(value, _Array) and value.item is not None:
            value = value.item
        value = _plain(value)
    except RefusedError as error:
        raise DataToolsError(
            f"{origin}: not a data file, and was not executed: {error}; fetch the official archive"
        ) from None
    # whatever a malformed pickle raises, it is the file's fault: no code but this module's has run
    except Exception as error:
        reason = " ".join(str(error).split())[:100] or type(error).__name__
        raise DataToolsError(f"{origin}: damaged or cut short ({reason}); fetch it again") from None
    if not isinstance(value, dict):
        raise DataToolsError(f"{origin}: holds a {type(value).__name__}, a dictionary was expected; fetch it again")
    return {key.decode("latin-1") if isinstance(key, bytes) else key: item for key, item in value.items()}
