"""checkpoint.h5: comes back as it was written, and takes its place whole."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from trainer.errors import TrainerError
from trainer.metrics import EpochRow, Figure
from trainer.runs.directory import write_arrays
from trainer.training import checkpoint
from trainer.training.checkpoint import (
    Checkpoint,
    Place,
    Progress,
    read_checkpoint,
    stamped_hdf5,
    write_checkpoint,
)

IDENTITY: dict[str, Any] = {
    "settings": {"method": "selfie", "learning_rate": 0.05, "drop_epochs": [2, 3], "device_memory": None},
    "dataset": "0123456789abcdef" * 4,
    "packages": {"python": "3.12.1", "jaxlib": None},
}


def full() -> Checkpoint:
    """Something in every field, and what JSON and HDF5 are tempted to change."""
    return Checkpoint(
        identity=deepcopy(IDENTITY),
        progress=Progress(
            place=Place(2, 17, 391),
            noise_rate=0.1 + 0.2,
            rows=(row(1, train_loss=1 / 3, label_precision=None, refurbished=0),) * 2,
            seconds=12.000000000000002,
            sums={"loss_2": np.array([1.5], np.float32)},
            kept={
                "confusion/best": np.eye(3, dtype=np.int64),
                "weights/network_1/0000-kernel": np.zeros(2, np.float32),
            },
        ),
        state={
            "network_1/0000-kernel": np.arange(6, dtype=np.float32).reshape(1, 2, 3) / 7,
            "network_1/0001-seed": np.array([2**32 - 1, 0], np.uint32),
            "optimizer_1/0000": np.array(2**40, np.int64),
        },
        memory={
            "uncertainty": np.array([np.inf, np.nan, -0.0, 1e-45], np.float32),
            "history": np.full((4, 2), -1, np.int32),
            "empty": np.empty((0, 3), np.float64),
        },
    )


def row(epoch: int, **metrics: Figure) -> EpochRow:
    return EpochRow(1, epoch, 0.1, metrics, seconds=1 / 3, images_per_second=1e9 / 7)


def assert_equal(one: Checkpoint, other: Checkpoint) -> None:
    assert one.identity == other.identity
    for name in ("place", "noise_rate", "rows", "seconds"):
        assert getattr(one.progress, name) == getattr(other.progress, name)
    for group, theirs in other.groups.items():
        mine = one.groups[group]
        assert mine.keys() == theirs.keys()
        for name, values in theirs.items():
            assert (mine[name].dtype, mine[name].shape) == (values.dtype, values.shape)
            assert mine[name].tobytes() == values.tobytes()


def test_every_field_comes_back_to_the_bit(tmp_path: Path) -> None:
    write_checkpoint(tmp_path / "checkpoint.h5", full())
    saved = read_checkpoint(tmp_path / "checkpoint.h5")
    assert_equal(saved, full())
    assert isinstance(saved.progress.place, Place)


def test_what_was_not_kept_comes_back_empty(tmp_path: Path) -> None:
    small = Checkpoint(deepcopy(IDENTITY), Progress(Place(), 0.0))
    write_checkpoint(tmp_path / "checkpoint.h5", small)
    assert_equal(read_checkpoint(tmp_path / "checkpoint.h5"), small)


@given(
    values=arrays.arrays(
        st.sampled_from([np.float32, np.float64, np.int32, np.uint8]), arrays.array_shapes(min_dims=0, min_side=0)
    ),
    loss=st.floats(allow_nan=False),
)
def test_any_numbers_come_back_to_the_bit(
    values: np.ndarray, loss: float, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.h5"
    saved = Checkpoint(deepcopy(IDENTITY), Progress(Place(0, 0, 1), loss, (row(1, loss=loss),)), state={"a/b": values})
    write_checkpoint(path, saved)
    assert_equal(read_checkpoint(path), saved)


def test_rows_of_a_long_run_fit(tmp_path: Path) -> None:
    # HDF5 keeps no attribute beyond 64 KiB
    rows = tuple(row(number, train_loss=number / 7) for number in range(5000))
    long = Checkpoint(deepcopy(IDENTITY), Progress(Place(0, 5000), 0.4, rows))
    write_checkpoint(tmp_path / "checkpoint.h5", long)
    assert read_checkpoint(tmp_path / "checkpoint.h5").progress.rows == rows


def test_the_same_checkpoint_is_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one.h5", "two.h5"):
        write_checkpoint(tmp_path / name, full())
    assert (tmp_path / "one.h5").read_bytes() == (tmp_path / "two.h5").read_bytes()


def core_image(fill: Callable[[h5py.File], None], user_block: int | None = None) -> bytes:
    """What HDF5's core driver makes of a file: how the files of a run have been laid out from the first."""
    with h5py.File("image", "w", driver="core", backing_store=False, userblock_size=user_block) as file:
        fill(file)
        file.flush()
        return bytes(file.id.get_file_image())


def test_the_bytes_are_those_of_the_core_driver_behind_their_sha256(tmp_path: Path) -> None:
    def fill(file: h5py.File) -> None:
        file.create_dataset("last/kernel", data=np.arange(5000.0))

    with stamped_hdf5(tmp_path / "checkpoint.h5") as file:
        fill(file)
    image = core_image(fill, 512)
    stamp = hashlib.sha256(image).hexdigest().encode().ljust(512, b"\0")
    assert (tmp_path / "checkpoint.h5").read_bytes() == stamp + image
    write_arrays(tmp_path / "weights.h5", {"last/kernel": np.arange(5000.0)})
    assert (tmp_path / "weights.h5").read_bytes() == core_image(fill)


# Replaced whole


def test_a_checkpoint_that_cannot_be_made_leaves_the_last_one(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.h5"
    write_checkpoint(path, full())
    before = path.read_bytes()
    unfit = full()
    unfit.memory["strange"] = np.array([object()])
    with pytest.raises(TypeError):
        write_checkpoint(path, unfit)
    assert {entry.name: entry.read_bytes() for entry in tmp_path.iterdir()} == {path.name: before}


@pytest.mark.parametrize("number", [28, 13, 5])
def test_what_the_system_refuses_is_one_line(number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "checkpoint.h5"
    write_checkpoint(path, full())
    before = path.read_bytes()

    def refuse(self: Path, mode: str) -> None:
        self.touch()
        raise OSError(number, "the system's own words")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", refuse)
        with pytest.raises(TrainerError) as said:
            write_checkpoint(path, full())
    assert str(said.value).startswith(f"{path}: cannot be written (the system's own words)")
    assert "--resume" in str(said.value)
    assert "\n" not in str(said.value)
    assert {entry.name: entry.read_bytes() for entry in tmp_path.iterdir()} == {path.name: before}


def test_a_folder_that_is_gone_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(TrainerError, match="cannot be written"):
        write_checkpoint(tmp_path / "gone" / "checkpoint.h5", full())


# Damaged


@pytest.mark.parametrize("part", [0, 1, 8, 100, 1000, -1])
def test_a_checkpoint_that_was_cut_is_refused(part: int, tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.h5"
    write_checkpoint(path, full())
    path.write_bytes(path.read_bytes()[:part])
    with pytest.raises(TrainerError, match="cannot be read") as said:
        read_checkpoint(path)
    assert "\n" not in str(said.value)


@pytest.mark.parametrize("head", [b"", b"[]", b"{}", b"\xff", b'{"identity": 1}', b'{"identity": {}, "place": [1]}'])
def test_a_head_that_is_damaged_is_refused(head: bytes, tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.h5"
    write_checkpoint(path, full())
    with stamped_hdf5(path) as file:
        file.attrs["format_version"] = checkpoint.FORMAT_VERSION
        file.create_dataset("head", data=np.frombuffer(head, np.uint8))
    with pytest.raises(TrainerError, match="cannot be read") as said:
        read_checkpoint(path)
    assert "SHA-256" not in str(said.value)


@given(share=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_one_bit_that_is_another_is_noticed(share: float, bit: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.getbasetemp() / "bit.h5"
    write_checkpoint(path, full())
    data = bytearray(path.read_bytes())
    data[int(share * len(data))] ^= 1 << bit
    path.write_bytes(data)
    with pytest.raises(TrainerError, match="damaged: its SHA-256"):
        read_checkpoint(path)


def test_bytes_too_many_are_noticed(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.h5"
    write_checkpoint(path, full())
    path.write_bytes(path.read_bytes() + b"\0")
    with pytest.raises(TrainerError, match="damaged: its SHA-256"):
        read_checkpoint(path)


def test_another_version_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with h5py.File(tmp_path / "first.h5", "w") as file:
        file.attrs["format_version"] = 1
    with pytest.raises(TrainerError, match="an earlier format_version than 2"):
        read_checkpoint(tmp_path / "first.h5")
    monkeypatch.setattr(checkpoint, "FORMAT_VERSION", 3)
    write_checkpoint(tmp_path / "later.h5", full())
    monkeypatch.undo()
    with pytest.raises(TrainerError, match="format_version 3 is not 2"):
        read_checkpoint(tmp_path / "later.h5")


def test_any_reader_of_hdf5_reads_a_checkpoint(tmp_path: Path) -> None:
    write_checkpoint(tmp_path / "checkpoint.h5", full())
    with h5py.File(tmp_path / "checkpoint.h5", "r") as file:
        assert file.userblock_size == checkpoint.USER_BLOCK_BYTES
        np.testing.assert_array_equal(file["kept/confusion/best"][()], np.eye(3))
    data = (tmp_path / "checkpoint.h5").read_bytes()
    assert data[:64].decode() == hashlib.sha256(data[checkpoint.USER_BLOCK_BYTES :]).hexdigest()


def test_a_checkpoint_that_is_missing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TrainerError, match="cannot be read"):
        read_checkpoint(tmp_path / "checkpoint.h5")
