"""Small pickles that ask for much time or memory, and damaged ones: read or refused, at little cost."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from datatools.errors import DataToolsError
from datatools.files.pickles import load_pickle
from tests.support.children import PEAK_MEMORY, needs_proc, run_python
from tests.support.pickled import ARRAY, GOOD, dictionary_of, refusal


def doubled(kind: bytes, levels: int) -> bytes:
    """Opcodes that push the last of `levels` containers, each of which holds the one before twice."""
    pair = {b"]": b"]h%bah%ba", b"}": b"}U\x01ah%bsU\x01bh%bs"}[kind]
    steps = [kind + b"q\x01"]
    for level in range(1, levels):
        reference = struct.pack("B", level)
        steps.append(b"0" + pair.replace(b"%b", reference) + b"q" + struct.pack("B", level + 1))
    return b"".join(steps)


BOMBS = {
    "dictionaries that share": dictionary_of(doubled(b"}", 60)),
    "lists that share": dictionary_of(doubled(b"]", 60)),
    "lists that share, as a dtype's code": dictionary_of(b"cnumpy\ndtype\n(" + doubled(b"]", 60) + b"tR(K\x03U\x01|tb"),
    "lists that share, as an array's dtype's code": dictionary_of(
        ARRAY + b"(K\x01K\x01\x85cnumpy\ndtype\n(" + doubled(b"]", 60) + b"tR\x89U\x01atb"
    ),
    "a large byte array": b"\x80\x05\x96" + struct.pack("<Q", 1 << 36) + b".",
    "large bytes": b"\x80\x04\x8e" + struct.pack("<Q", 1 << 36) + b".",
    "a large memo index": b"\x80\x02}r" + struct.pack("<I", 1 << 25) + b".",
}


@needs_proc
@pytest.mark.parametrize("name", BOMBS)
def test_a_small_pickle_takes_little_time_and_memory(tmp_path: Path, name: str) -> None:
    (tmp_path / "bomb").write_bytes(BOMBS[name])
    child = run_python(
        PEAK_MEMORY
        + """
import pathlib, resource, sys
from datatools.errors import DataToolsError
from datatools.files.pickles import load_pickle
before = peak_memory()
resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))  # so that a failure of this test stays in this process
try:
    load_pickle(pathlib.Path(sys.argv[1]).read_bytes(), "x")
except DataToolsError:
    pass
print(peak_memory() - before)
""",
        tmp_path / "bomb",
        timeout=5,
    )
    assert child.returncode == 0, child.stderr
    assert int(child.stdout) < 30 << 10  # KiB


# --- fuzzing ---------------------------------------------------------------------------------------------------------


def read_or_refused(data: bytes) -> None:
    try:
        value = load_pickle(data, "x")
    except DataToolsError as caught:
        message = str(caught)
    else:
        assert isinstance(value, dict)
        return
    assert "\n" not in message


@given(data=st.binary(max_size=200))
@example(data=b"\x80")
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    read_or_refused(data)


@given(
    good=st.sampled_from(GOOD),
    edits=st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), min_size=1, max_size=4),
    cut=st.none() | st.integers(0, 400),
)
def test_a_damaged_pickle_is_read_or_refused(good: bytes, edits: list[tuple[int, int]], cut: int | None) -> None:
    data = bytearray(good)
    for place, byte in edits:
        data[place % len(data)] = byte
    read_or_refused(bytes(data[:cut]))


@pytest.mark.parametrize("good", GOOD, ids=["python 2", "python 3"])
def test_a_pickle_cut_anywhere_is_refused(good: bytes) -> None:
    for end in range(len(good)):
        refusal(good[:end])
