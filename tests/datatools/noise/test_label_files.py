"""The files of human labels are read, never run; other files, broken and hostile ones, are refused."""

from __future__ import annotations

import os
import pickle
import struct
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datatools.errors import DataToolsError
from datatools.noise import label_files
from tests.support.children import PEAK_MEMORY, needs_proc, run_python
from tests.support.label_files import WRITERS, write_pt


def by_hand() -> bytes:
    """{"clean_label": array([1, 0]), "noisy_label": [0, 0]} opcode by opcode, as the official .pt files have it."""
    array = (
        b"cnumpy.core.multiarray\n_reconstruct\nq\x02cnumpy\nndarray\nq\x03K\x00\x85q\x04c_codecs\nencode\nq\x05"
        b"X\x01\x00\x00\x00bq\x06X\x06\x00\x00\x00latin1q\x07\x86q\x08Rq\x09\x87q\x0aRq\x0b"
    )
    dtype = (
        b"cnumpy\ndtype\nq\x0dX\x02\x00\x00\x00i8q\x0e\x89\x88\x87q\x0fRq\x10(K\x03X\x01\x00\x00\x00<q\x11NNN"
        b"J\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tq\x12b"
    )
    text = struct.pack("<2q", 1, 0)
    content = b"\x89h\x05X" + struct.pack("<I", len(text)) + text + b"q\x13h\x07\x86q\x14Rq\x15tq\x16b"
    clean = b"X\x0b\x00\x00\x00clean_labelq\x01" + array + b"(K\x01K\x02\x85q\x0c" + dtype + content
    return b"\x80\x02}q\x00(" + clean + b"X\x0b\x00\x00\x00noisy_labelq\x17]q\x18(K\x00K\x00eu."


def test_a_pickle_written_opcode_by_opcode_is_read(tmp_path: Path) -> None:
    columns, _ = label_files.read(write_pt(tmp_path / "x.pt", {}, by_hand()))
    assert {name: column.tolist() for name, column in columns.items()} == {
        "clean_label": [1, 0],
        "noisy_label": [0, 0],
    }


def test_lists_arrays_and_other_values_are_told_apart(tmp_path: Path) -> None:
    values = {"clean_label": [0, 1], "a": np.array([1, 0], np.uint8), "b": [0.5], "c": "text", "d": np.eye(2), "e": []}
    columns, _ = label_files.read(write_pt(tmp_path / "x.pt", values))
    assert {name: column.tolist() for name, column in columns.items()} == {"clean_label": [0, 1], "a": [1, 0]}


class Payload:
    def __init__(self, sentinel: Path) -> None:
        self.sentinel = sentinel

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.sentinel}",)


def refusal(path: Path) -> str:
    with pytest.raises(DataToolsError) as caught:
        label_files.read(path)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("suffix", WRITERS)
def test_a_payload_does_not_run(tmp_path: Path, suffix: str) -> None:
    sentinel = tmp_path / "sentinel"
    file = WRITERS[suffix](tmp_path / f"x{suffix}", {"clean_label": [0], "evil": Payload(sentinel)})
    assert "was not executed" in refusal(file)
    assert not sentinel.exists()


@pytest.mark.parametrize("suffix", WRITERS)
def test_a_file_cut_anywhere_is_refused(tmp_path: Path, suffix: str) -> None:
    file = WRITERS[suffix](tmp_path / f"x{suffix}", {"clean_label": np.arange(9), "noisy_label": np.arange(9)})
    data = file.read_bytes()
    for end in range(0, len(data), 7):
        file.write_bytes(data[:end])
        refusal(file)


def zip_of(path: Path, *names: str) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            archive.writestr(name, b"N.")
    return path


def test_other_files_are_refused(tmp_path: Path) -> None:
    assert "no such file" in refusal(tmp_path / "missing.pt")
    (tmp_path / "text.pt").write_text("labels")
    assert "neither a .pt" in refusal(tmp_path / "text.pt")
    assert "0 files data.pkl" in refusal(zip_of(tmp_path / "a.pt", "x/other"))
    assert "2 files data.pkl" in refusal(zip_of(tmp_path / "b.pt", "x/data.pkl", "y/data.pkl"))
    assert "NoneType" in refusal(zip_of(tmp_path / "c.pt", "x/data.pkl"))
    np.save(tmp_path / "bare.npy", np.arange(5))
    assert "without names" in refusal(tmp_path / "bare.npy")
    np.save(tmp_path / "many.npy", np.array([{}, {}], object))
    assert "without names" in refusal(tmp_path / "many.npy")
    (tmp_path / "magic.npy").write_bytes(b"\x93NUMPY\x01\x00\x10\x00" + b"(" * 16)
    assert "not a .npy file" in refusal(tmp_path / "magic.npy")


def test_a_dictionary_in_an_array_is_read_from_npy_only(tmp_path: Path) -> None:
    data = pickle.dumps(np.array({"clean_label": [0]}, object), protocol=2)
    refusal(write_pt(tmp_path / "x.pt", {}, data))


@needs_proc
def test_a_small_zip_cannot_ask_for_much_memory(tmp_path: Path) -> None:
    with (
        zipfile.ZipFile(tmp_path / "bomb.pt", "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("x/data.pkl", "w", force_zip64=True) as file,
    ):
        for _ in range(600):
            file.write(bytes(1 << 20))
    code = """
import pathlib, sys
from datatools.errors import DataToolsError
from datatools.noise import label_files
before = peak_memory()
try:
    label_files.read(pathlib.Path(sys.argv[1]))
except DataToolsError as error:
    assert "MiB" in str(error), error
    print(peak_memory() - before)
"""
    child = run_python(PEAK_MEMORY + code, tmp_path / "bomb.pt")
    assert int(child.stdout) < 250 << 10, child.stderr  # KiB


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    folder = tmp_path_factory.mktemp("good")
    values = {"clean_label": np.arange(9), "noisy_label": [0, 1]}
    return [write(folder / f"x{suffix}", values).read_bytes() for suffix, write in WRITERS.items()]


@settings(max_examples=150)
@given(which=st.integers(0, 1), edits=st.lists(st.tuples(st.integers(0, 600), st.integers(0, 255)), max_size=4))
def test_a_damaged_file_is_read_or_refused(good: list[bytes], which: int, edits: list[tuple[int, int]]) -> None:
    data = bytearray(good[which])
    for place, byte in edits:
        data[place % len(data)] = byte
    try:
        columns = label_files.parse(bytes(data), Path("x"))
    except DataToolsError as error:
        message = str(error)
    else:
        message = ""
        assert all(column.dtype == np.int64 for column in columns.values())
    assert "\n" not in message
