"""Weights that torch saved are read without torch, and what is no such file is one line."""

from __future__ import annotations

import pickle
import struct
from pathlib import Path

import numpy as np
import pytest

from datatools.errors import DataToolsError
from datatools.files.torch_files import load_weights
from tests.support import torch_saved as forged

ARRAYS: dict[str, np.ndarray] = {
    "first.weight": np.arange(24, dtype=np.float32).reshape(2, 3, 4),
    "first.transposed": np.asfortranarray(np.arange(12, dtype=np.float32).reshape(3, 4)),
    "count": np.array(7, np.int64),
    "alone": np.array([[[2.5]]], np.float32),
}
WHOLE = forged.saved(ARRAYS)
ONE = np.arange(6, dtype=np.float32)


def test_names_shapes_and_numbers_come_back() -> None:
    arrays = load_weights(WHOLE, "x.pth")
    assert list(arrays) == list(ARRAYS)
    for name, array in ARRAYS.items():
        assert arrays[name].dtype == array.dtype
        np.testing.assert_array_equal(arrays[name], array, err_msg=name)
        assert arrays[name].flags.c_contiguous


def test_a_tensor_may_be_a_part_of_its_storage() -> None:
    data = forged.saved(
        {"x": ONE}, lambda array, key: forged.tensor(array, key, offset=2, shape=(2, 2), strides=(2, 1))
    )
    np.testing.assert_array_equal(load_weights(data, "x.pth")["x"], [[2, 3], [4, 5]])


def refusal(data: bytes) -> str:
    with pytest.raises(DataToolsError) as caught:
        load_weights(data, "x.pth")
    message = str(caught.value)
    assert message.startswith("x.pth: ")
    assert "\n" not in message
    assert "install the package of the weights again" in message
    return message


def test_a_file_cut_short_anywhere_is_refused() -> None:
    for end in range(len(WHOLE)):
        refusal(WHOLE[:end])
    assert "after its end" in refusal(WHOLE + b"\0")


def test_a_flipped_bit_is_refused_or_read_and_nothing_else() -> None:
    for place in range(len(WHOLE)):
        data = bytearray(WHOLE)
        data[place] ^= 0x41
        try:
            arrays = load_weights(bytes(data), "x.pth")
        except DataToolsError:
            continue
        assert all(isinstance(array, np.ndarray) for array in arrays.values())


def one(value: bytes) -> bytes:
    """A file of one tensor of six numbers, made by the opcodes `value`."""
    return forged.MAGIC + forged.PROTOCOL + forged.SYSTEM + forged.state({"x": value}) + forged.stored([ONE])


def test_the_file_of_one_tensor_is_a_good_one() -> None:
    np.testing.assert_array_equal(load_weights(one(forged.tensor(ONE, "0")), "x")["x"], ONE)


RUNS = b"cposix\nsystem\n(" + forged.text("touch /tmp/owned") + b"tR"
TRICKS = {
    "a call": (one(RUNS), "calls posix.system"),
    "builtins": (one(b"cbuiltins\neval\n" + forged.text("1") + b"\x85R"), "calls builtins.eval"),
    "another torch function": (one(b"ctorch.load\nload\n" + forged.text("x") + b"\x85R"), "calls torch.load.load"),
    "a call in the keys": (
        forged.MAGIC + forged.PROTOCOL + forged.SYSTEM + forged.state({}) + b"\x80\x02" + RUNS + b".",
        "calls posix.system",
    ),
    "a call in the first pickle": (b"\x80\x02" + RUNS + b".", "calls posix.system"),
    "larger than its storage": (one(forged.tensor(ONE, "0", shape=(7,), strides=(1,))), "larger than its storage"),
    "beyond its storage": (one(forged.tensor(ONE, "0", offset=1)), "larger than its storage"),
    "strides out of it": (one(forged.tensor(ONE, "0", shape=(2, 2), strides=(5, 2))), "larger than its storage"),
    "much of little": (one(forged.tensor(ONE, "0", shape=(30000, 30000), strides=(0, 0))), "larger than its storage"),
    "negative strides": (one(forged.tensor(ONE, "0", strides=(-1,))), "impossible shape"),
    "a negative offset": (one(forged.tensor(ONE, "0", offset=-1)), "impossible shape"),
    "fewer strides than axes": (one(forged.tensor(ONE, "0", shape=(2, 3), strides=(1,))), "impossible shape"),
    "twenty axes": (one(forged.tensor(ONE, "0", shape=(1,) * 20, strides=(1,) * 20)), "impossible shape"),
    "a storage of another length": (one(forged.tensor(ONE, "0", length=5)), "larger than its storage"),
    "a longer storage": (one(forged.tensor(ONE, "0", length=1 << 30)), "of 6 numbers where 1,073,741,824"),
    "a key that is not stored": (one(forged.tensor(ONE, "1")), "storages are not those"),
    "no tensor": (one(forged.number(3)), "no dictionary of tensors"),
    "another byte order": (
        WHOLE.replace(forged.SYSTEM, pickle.dumps({"little_endian": False}, protocol=2)),
        "another byte order",
    ),
    "another magic number": (WHOLE.replace(forged.MAGIC, pickle.dumps(12345, protocol=2)), "magic number"),
    "a zip, torch's present format": (b"PK\x03\x04" + bytes(40), "damaged"),
    "nothing": (b"", "damaged or cut short"),
    "a memo index beyond the file": (b"\x80\x02Nr" + struct.pack("<I", 1 << 31) + b".", "more memory"),
}


@pytest.mark.parametrize("name", TRICKS)
def test_a_trick_is_refused(name: str) -> None:
    data, part = TRICKS[name]
    assert part in refusal(data)
    assert not Path("/tmp/owned").exists()


def test_one_storage_is_not_copied_for_many_tensors() -> None:
    entries = {f"x{number}": forged.tensor(ONE, "0") for number in range(100)}
    data = forged.MAGIC + forged.PROTOCOL + forged.SYSTEM + forged.state(entries) + forged.stored([ONE])
    assert "share a storage" in refusal(data)
