""".npy files: what numpy.save writes is read, and a forged header is refused at once."""

from __future__ import annotations

import io
import time
from pathlib import Path

import numpy as np
import pytest

from datatools.errors import DataToolsError
from datatools.files.npy import number_array

ORIGIN = Path("a.npy")


def saved(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def with_shape(shape: str, data: bytes = b"") -> bytes:
    header = f"{{'descr': '<f8', 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + data


@pytest.mark.parametrize("shape", [(), (3,), (0,), (2, 3), (2, 3, 4), (1,) * 32])
@pytest.mark.parametrize("order", ["C", "F"])
def test_what_numpy_saves_is_read(shape: tuple[int, ...], order: str) -> None:
    array = np.asarray(np.random.default_rng(0).random(shape), order=order)  # type: ignore[call-overload]
    np.testing.assert_array_equal(number_array(saved(array), ORIGIN), array)


@pytest.mark.parametrize(
    "shape",
    ["(" + "1" * 5000 + "x", "(" + "1" * 64 + "!)", "(" + "11, " * 40 + ")", "(1 1)", "(,)", "(-1,)", "(1.0,)", "(1"],
)
def test_a_shape_of_another_form_is_refused_at_once(shape: str) -> None:
    began = time.monotonic()
    with pytest.raises(DataToolsError, match=r"not a \.npy file, or damaged"):
        number_array(with_shape(shape), ORIGIN)
    assert time.monotonic() - began < 1


def test_a_shape_beyond_what_numpy_counts_is_refused() -> None:
    with pytest.raises(DataToolsError, match="impossible"):
        number_array(with_shape(f"(0, {10**17}, {10**17})"), ORIGIN)
