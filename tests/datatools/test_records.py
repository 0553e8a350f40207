"""The record, byte by byte."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest

from datatools.errors import DataToolsError
from datatools.records import ImageShape, RecordWriter, read_records, record_dtype, records_per_chunk
from tests.datatools.reader import read_batch

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
