"""Copying by whatever call the system has, and changing records of the copy on the way."""

from __future__ import annotations

import errno
import hashlib
import os
import random
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from datatools.files.copying import READ_AND_WRITE, UNSUPPORTED, WAYS, copy_file
from datatools.format import copying
from datatools.format import records as records_module
from datatools.format.copying import Change, copy_changed, overwrite_records
from datatools.format.records import ImageShape

CONTENT = random.Random(0).randbytes(300_000)
SHAPE = ImageShape(3, 2, 2)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    (tmp_path / "source").write_bytes(CONTENT)
    return tmp_path / "source"


def refused(code: int) -> Callable[[int, int, int], bool]:
    def way(reader: int, writer: int, size: int) -> bool:
        os.write(writer, b"a beginning")  # a call may fail half-way
        raise OSError(code, os.strerror(code))

    return way


@pytest.mark.parametrize("content", [CONTENT, b""])
@pytest.mark.parametrize("working", [*WAYS, None])
def test_each_call_copies_every_byte(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, working: str | None, content: bytes
) -> None:
    (tmp_path / "source").write_bytes(content)
    for name in WAYS:
        if name != working:
            monkeypatch.setitem(WAYS, name, refused(errno.EOPNOTSUPP))
    way = copy_file(tmp_path / "source", tmp_path / "target")
    assert (tmp_path / "target").read_bytes() == content
    # a file system may lack any of the calls; then it is the plain way, never an error or a shorter file
    assert way in ((working, READ_AND_WRITE) if working else (READ_AND_WRITE,))


def test_this_system_copies_inside_the_kernel(tmp_path: Path, source: Path) -> None:
    if not sys.platform.startswith("linux"):
        pytest.skip("the calls are Linux'")
    assert copy_file(source, tmp_path / "target") in WAYS


@pytest.mark.parametrize("code", sorted(UNSUPPORTED))
def test_a_call_that_is_not_there_is_passed_over(
    tmp_path: Path, source: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    for name in WAYS:
        monkeypatch.setitem(WAYS, name, refused(code))
    assert copy_file(source, tmp_path / "target") == READ_AND_WRITE
    assert (tmp_path / "target").read_bytes() == CONTENT


def test_a_call_that_moves_nothing_is_passed_over(
    tmp_path: Path, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(WAYS, "reflink", lambda *_: False)
    monkeypatch.setattr(os, "copy_file_range", lambda *_: 0)
    monkeypatch.setattr(os, "sendfile", lambda *_: 0)
    assert copy_file(source, tmp_path / "target") == READ_AND_WRITE
    assert (tmp_path / "target").read_bytes() == CONTENT


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO, errno.EDQUOT])
@pytest.mark.parametrize("name", WAYS)
def test_a_full_disk_is_no_missing_call(
    tmp_path: Path, source: Path, monkeypatch: pytest.MonkeyPatch, name: str, code: int
) -> None:
    for other in WAYS:
        monkeypatch.setitem(WAYS, other, refused(errno.EXDEV))
    monkeypatch.setitem(WAYS, name, refused(code))
    with pytest.raises(OSError, match="target") as caught:
        copy_file(source, tmp_path / "target")
    assert caught.value.errno == code


def test_a_new_file_is_not_cut_to_length_0(tmp_path: Path, source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """ext4 writes such a file to the disk when it is closed, which takes several times as long as the copying."""
    cuts: list[int] = []
    cut = os.ftruncate

    def noted(descriptor: int, length: int) -> None:
        cuts.append(os.fstat(descriptor).st_size)
        cut(descriptor, length)

    def not_there(reader: int, writer: int, size: int) -> bool:
        raise OSError(errno.EOPNOTSUPP, "no such call")

    monkeypatch.setattr(os, "ftruncate", noted)
    monkeypatch.setitem(WAYS, "reflink", not_there)
    copy_file(source, tmp_path / "target")
    (tmp_path / "records").write_bytes(bytes(40))
    copy_changed(tmp_path / "records", tmp_path / "changed", SHAPE, changed_by({}, {}))
    assert cuts == []
    monkeypatch.setitem(WAYS, "reflink", refused(errno.EOPNOTSUPP))
    copy_file(source, tmp_path / "after a beginning")
    assert cuts == [len(b"a beginning")]
    assert (tmp_path / "after a beginning").read_bytes() == CONTENT


def test_a_copy_never_goes_over_another_file(tmp_path: Path, source: Path) -> None:
    (tmp_path / "target").write_bytes(b"mine")
    with pytest.raises(FileExistsError):
        copy_file(source, tmp_path / "target")
    assert (tmp_path / "target").read_bytes() == b"mine"


def test_one_field_of_some_records_changes_and_nothing_else(tmp_path: Path) -> None:
    shape = ImageShape(3, 2, 2)
    dtype = np.dtype([("id", ">u4"), ("label", ">u4"), ("pixels", "u1", (3, 2, 2))])
    batch = np.random.default_rng(0).integers(0, 256, (9, 20), np.uint8).view(dtype).reshape(9)
    path = tmp_path / "batch"
    path.write_bytes(batch.tobytes())
    images = np.arange(24, dtype=np.uint8).reshape(2, 3, 2, 2)
    overwrite_records(path, shape, "label", np.array([0, 8]), np.array([1, 1 << 31]))
    overwrite_records(path, shape, "pixels", np.array([8, 3]), images)
    expected = batch.copy()
    expected["label"][[0, 8]] = [1, 1 << 31]
    expected["pixels"][[8, 3]] = images
    assert path.read_bytes() == expected.tobytes()


def changed_by(labels: dict[int, int], images: dict[int, int]) -> Callable[[slice], list[Change]]:
    """Changes of a file: records to labels, and records to the one value of all their pixels."""

    def changes(records: slice) -> list[Change]:
        found = []
        for field, values in (("label", labels), ("pixels", images)):
            here = [number for number in values if records.start <= number < records.stop]
            shape = (len(here), 3, 2, 2) if field == "pixels" else (len(here),)
            filled = np.empty(shape, np.uint8 if field == "pixels" else np.int64)
            for place, number in enumerate(here):
                filled[place] = values[number]
            found.append(Change(field, np.array(here, np.int64) - records.start, filled))
        return found

    return changes


@pytest.mark.parametrize("chunk", [20, 60, 1 << 20], ids=["a record", "three records", "all"])
@pytest.mark.parametrize("shared", [False, True])
def test_a_changed_copy_has_the_changes_and_its_hash(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chunk: int, shared: bool
) -> None:
    def reflink(reader: int, writer: int, size: int) -> bool:  # what a file system that shares blocks leaves behind
        os.write(writer, os.pread(reader, size, 0))
        return True

    monkeypatch.setattr(records_module, "PIECE_BYTES", chunk)
    monkeypatch.setitem(WAYS, "reflink", reflink if shared else refused(errno.EOPNOTSUPP))
    written: list[int] = []
    plain = copying._write_exactly

    def noted(descriptor: int, data: memoryview, offset: int, target: Path) -> None:
        written.append(offset)
        plain(descriptor, data, offset, target)

    monkeypatch.setattr(copying, "_write_exactly", noted)
    content = np.random.default_rng(0).integers(0, 256, (10, 20), np.uint8)
    (tmp_path / "source").write_bytes(content.tobytes())
    digest = copy_changed(tmp_path / "source", tmp_path / "target", SHAPE, changed_by({0: 7, 9: 1 << 24}, {4: 3, 9: 5}))
    expected = content.copy()
    expected[0, 4:8], expected[9, 4:8] = [0, 0, 0, 7], [1, 0, 0, 0]
    expected[4, 8:], expected[9, 8:] = 3, 5
    assert (tmp_path / "target").read_bytes() == expected.tobytes()
    assert digest == hashlib.sha256(expected.tobytes()).hexdigest()
    assert (tmp_path / "source").read_bytes() == content.tobytes()
    assert bool(written) != shared  # blocks that can be shared stay so


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_a_changed_copy_on_a_full_disk_names_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    def full(*_: object) -> int:
        raise OSError(code, os.strerror(code))

    (tmp_path / "source").write_bytes(bytes(40))
    monkeypatch.setattr(os, "pwrite", full)
    with pytest.raises(OSError, match="target") as caught:
        copy_changed(tmp_path / "source", tmp_path / "target", SHAPE, changed_by({}, {}))
    assert caught.value.errno == code


def test_a_changed_copy_goes_on_where_the_system_moved_less_than_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, write = os.preadv, os.pwrite
    monkeypatch.setattr(os, "preadv", lambda file, buffers, at: read(file, [buffers[0][:3]], at))
    monkeypatch.setattr(os, "pwrite", lambda file, data, at: write(file, data[:7], at))
    (tmp_path / "source").write_bytes(bytes(range(40)))
    digest = copy_changed(tmp_path / "source", tmp_path / "target", SHAPE, changed_by({}, {}))
    assert (tmp_path / "target").read_bytes() == bytes(range(40))
    assert digest == hashlib.sha256(bytes(range(40))).hexdigest()


def test_a_source_that_shrinks_meanwhile_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "source").write_bytes(bytes(40))
    monkeypatch.setattr(os, "preadv", lambda *_: 0)
    with pytest.raises(OSError, match=r"shorter.*source"):
        copy_changed(tmp_path / "source", tmp_path / "target", SHAPE, changed_by({}, {}))


def test_a_changed_copy_never_goes_over_another_file(tmp_path: Path) -> None:
    (tmp_path / "source").write_bytes(bytes(40))
    (tmp_path / "target").write_bytes(b"mine")
    with pytest.raises(FileExistsError):
        copy_changed(tmp_path / "source", tmp_path / "target", SHAPE, changed_by({}, {}))
    assert (tmp_path / "target").read_bytes() == b"mine"


def test_a_piece_that_fits_only_in_part_is_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "batch").write_bytes(bytes(20))
    monkeypatch.setattr(os, "pwrite", lambda *_: 2)
    with pytest.raises(OSError, match="batch") as caught:
        overwrite_records(tmp_path / "batch", ImageShape(3, 2, 2), "label", np.array([0]), np.array([1]))
    assert caught.value.errno == errno.ENOSPC
