"""The record, byte by byte."""

from __future__ import annotations

import hashlib
import threading
from pathlib import Path

import numpy as np
import pytest

from datatools.errors import DataToolsError
from datatools.format import records as records_module
from datatools.format.records import (
    PIECES_BEING_HASHED,
    ImageShape,
    RecordWriter,
    read_records,
    record_dtype,
    records_per_chunk,
)
from tests.support.reader import read_batch

SHAPE = ImageShape(2, 1, 3)
GOLDEN = bytes.fromhex(
    "00000000"  # id 0
    "00000009"  # label 9
    "010203"  # first plane
    "040506"  # second plane
    "00010002"  # id 65,538: which end comes first shows
    "01000003"  # label 16,777,219
    "fffefd"
    "000102"
)
IDS = np.array([0, 65_538])
LABELS = np.array([9, 16_777_219])
PIXELS = np.array([[[[1, 2, 3]], [[4, 5, 6]]], [[[255, 254, 253]], [[0, 1, 2]]]], np.uint8)


@pytest.fixture
def batch(tmp_path: Path) -> Path:
    path = tmp_path / "data_batch_1.bin"
    with RecordWriter(path, SHAPE) as writer:
        writer.write(IDS, LABELS, PIXELS)
    return path


def test_two_records_are_these_bytes(batch: Path) -> None:
    assert batch.read_bytes() == GOLDEN


def test_the_reader_gives_back_what_the_bytes_say(tmp_path: Path) -> None:
    path = tmp_path / "golden.bin"
    path.write_bytes(GOLDEN)
    records = read_records(path, SHAPE)
    assert records["id"].tolist() == IDS.tolist()
    assert records["label"].tolist() == LABELS.tolist()
    np.testing.assert_array_equal(records["pixels"], PIXELS)


def test_an_independent_reader_agrees(batch: Path) -> None:
    assert read_batch(batch, 6) == [(0, 9, bytes([1, 2, 3, 4, 5, 6])), (65_538, 16_777_219, PIXELS[1].tobytes())]


def test_the_reader_cannot_change_the_file(batch: Path) -> None:
    records = read_records(batch, SHAPE)
    with pytest.raises(ValueError, match="read-only"):
        records["label"][0] = 1


@pytest.mark.parametrize(
    "content",
    [GOLDEN[:-1], GOLDEN + b"\0", GOLDEN[:13], b""],
    ids=["one byte short", "one byte long", "less than a record", "empty"],
)
def test_a_file_that_is_no_whole_number_of_records_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "data_batch_1.bin"
    path.write_bytes(content)
    with pytest.raises(DataToolsError, match=r"data_batch_1\.bin.*whole number of records") as caught:
        read_records(path, SHAPE)
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataToolsError, match=r"data_batch_7\.bin"):
        read_records(tmp_path / "data_batch_7.bin", SHAPE)


def test_the_writer_hashes_what_it_wrote_in_pieces(tmp_path: Path) -> None:
    path = tmp_path / "pieces.bin"
    with RecordWriter(path, SHAPE) as writer:
        for row in range(2):
            writer.write(IDS[row : row + 1], LABELS[row : row + 1], PIXELS[row : row + 1])
    assert writer.records == 2
    assert writer.sha256 == hashlib.sha256(GOLDEN).hexdigest() == hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize("beside", [True, False])
@pytest.mark.parametrize("chunk", [1, 14, 50, 1 << 20])
def test_bytes_and_hash_do_not_depend_on_the_piece(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chunk: int, beside: bool
) -> None:
    monkeypatch.setattr(records_module, "PIECE_BYTES", chunk)
    ids, labels = np.arange(41), np.arange(41) * 65_537
    pixels = np.random.default_rng(0).integers(0, 256, (41, *SHAPE), np.uint8)
    path = tmp_path / "chunks.bin"
    before = threading.active_count()
    with RecordWriter(path, SHAPE, beside=beside) as writer:
        for start, end in ((0, 1), (1, 1), (1, 30), (30, 33), (33, 41)):
            writer.write(ids[start:end], labels[start:end], pixels[start:end])
        so_far = writer.sha256
        assert (threading.active_count() > before) == beside
    expected = b"".join(n.to_bytes(4, "big") + (n * 65_537).to_bytes(4, "big") + pixels[n].tobytes() for n in range(41))
    assert path.read_bytes() == expected
    assert writer.sha256 == so_far == hashlib.sha256(expected).hexdigest()


class Failing:
    """A hash that breaks down on its second update."""

    def __init__(self) -> None:
        self.updates = 0

    def update(self, data: memoryview) -> None:
        self.updates += 1
        if self.updates == 2:
            raise MemoryError("no more")


def write_and_fail(path: Path, times: int) -> None:
    with RecordWriter(path, SHAPE) as writer:
        for _ in range(times):
            writer.write(IDS, LABELS, PIXELS)


@pytest.mark.parametrize("times", [2, 3, 40])
def test_what_the_hashing_thread_meets_is_raised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, times: int) -> None:
    monkeypatch.setattr(hashlib, "sha256", Failing)
    before = threading.active_count()
    with pytest.raises(MemoryError, match="no more"):
        write_and_fail(tmp_path / "failing.bin", times)
    assert threading.active_count() == before


def test_no_thread_is_left_after_an_error(tmp_path: Path) -> None:
    before = threading.active_count()
    with pytest.raises(KeyboardInterrupt), RecordWriter(tmp_path / "cut.bin", SHAPE) as writer:  # noqa: PT012
        writer.write(IDS, LABELS, PIXELS)
        assert threading.active_count() == before + 1
        raise KeyboardInterrupt
    assert threading.active_count() == before


def test_few_pieces_wait_to_be_hashed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records_module, "PIECE_BYTES", 14)  # a record a piece
    may_hash, seen = threading.Event(), 0
    real = hashlib.sha256

    class Slow:
        def __init__(self) -> None:
            self.real = real()

        def update(self, data: memoryview) -> None:
            assert may_hash.wait(10)
            self.real.update(data)

        def hexdigest(self) -> str:
            return self.real.hexdigest()

    monkeypatch.setattr(hashlib, "sha256", Slow)
    with RecordWriter(tmp_path / "slow.bin", SHAPE) as writer:
        for number in range(PIECES_BEING_HASHED):
            writer.write(np.array([number]), LABELS[:1], PIXELS[:1])
        threading.Timer(0.05, may_hash.set).start()
        assert not may_hash.is_set()
        writer.write(IDS[:1], LABELS[:1], PIXELS[:1])  # waits for the memory of the first
        assert may_hash.is_set()
        seen = writer.records
    assert seen == PIECES_BEING_HASHED + 1
    assert writer.sha256 == real((tmp_path / "slow.bin").read_bytes()).hexdigest()


def test_the_writer_replaces_no_file(batch: Path) -> None:
    with pytest.raises(FileExistsError):
        RecordWriter(batch, SHAPE)
    assert batch.read_bytes() == GOLDEN


@pytest.mark.parametrize("pixels", [PIXELS.astype(np.int64), PIXELS[:, :, :, :2], PIXELS[:1]])
def test_the_writer_takes_only_pixels_of_its_shape_and_type(tmp_path: Path, pixels: np.ndarray) -> None:
    path = tmp_path / "wrong.bin"
    with RecordWriter(path, SHAPE) as writer, pytest.raises(ValueError, match="pixels are"):
        writer.write(IDS, LABELS, pixels)
    assert path.read_bytes() == b""


def test_a_record_has_no_padding() -> None:
    assert record_dtype(ImageShape(3, 5, 7)).itemsize == 8 + 3 * 5 * 7


@pytest.mark.parametrize("side", [1, 32, 1024, 1 << 14])
def test_a_chunk_holds_at_least_one_record_and_little_memory(side: int) -> None:
    shape = ImageShape(1, side, side)
    records = records_per_chunk(shape)
    assert records >= 1
    assert records == 1 or records * record_dtype(shape).itemsize <= 16 << 20
