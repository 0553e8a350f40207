"""Datasets larger than the device may hold: read from their files while training, with the same results to the bit."""

from __future__ import annotations

import os
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from datatools.format.dataset import Dataset
from datatools.format.records import ImageShape
from tests.chaos.children import run
from tests.support.interrupted import Silent, StopAt, assert_same, config_for, stopped
from tests.support.tiny import examples, run_config, tensorflow_engine, training_data, write_dataset
from trainer.config import RunConfig
from trainer.data import RecordImages, TrainingData, load
from trainer.errors import TrainerError
from trainer.reporters.base import RunPlan
from trainer.training.loop import train

LARGE = ImageShape(3, 32, 32)
SAMPLES, TEST_SAMPLES = 330, 30
"""Together more than a MiB."""


@pytest.fixture(scope="module")
def dataset(tf: Any, tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Images of 3 KiB in three files in no order, some with wrong labels."""
    ids, clean, pixels = examples(SAMPLES, shape=LARGE)
    labels = np.where(ids % 4 == 0, (clean + 1) % 3, clean)
    order = np.random.default_rng(3).permutation(SAMPLES)
    directory = tmp_path_factory.mktemp("data") / "set"
    return write_dataset(
        directory,
        (ids[order], labels[order], pixels[order]),
        examples(TEST_SAMPLES, shape=LARGE, seed=1),
        labels="noisy",
        clean_labels=clean,
        train_files=3,
    )


class Witness(Silent):
    def start(self, plan: RunPlan) -> None:
        super().start(plan)
        self.streams = plan.streams


@pytest.mark.parametrize("method", ["selfie", "default"])
def test_a_streamed_run_is_the_resident_one_to_the_bit(
    method: str, dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = {"selfie": {"warm_up": 1, "history_length": 1, "restarts": 0}, "default": {}}[method]
    config = config_for(method, dataset, epochs=2, validation_fraction=0.1, method_options=options)
    resident, streamed = Witness(), Witness()
    train(config, dataset, tmp_path / "resident", resident)
    train(replace(config, device_memory=1), dataset, tmp_path / "streamed", streamed)
    assert (resident.streams, streamed.streams) == (False, True)
    assert_same(tmp_path / "streamed", tmp_path / "resident")
    if method == "selfie":  # begun with the images on the device, and ended without
        monkeypatch.setattr("trainer.training.epochs.CPU_SLICE_SECONDS", 0.0)
        stopped(config, dataset, tmp_path / "both", StopAt(0, 3))
        train(replace(config, device_memory=1), dataset, tmp_path / "both", Silent(), resume=True)
        assert_same(tmp_path / "both", tmp_path / "resident")


def test_what_fits_does_not_stream(tf: Any) -> None:
    data = training_data(60)
    assert not tensorflow_engine(run_config(device_memory=1), data).streams
    assert not tensorflow_engine(run_config(), data).streams


# Reading ahead


class Watched:
    """Images that remember which rows were asked for, in what thread, and may refuse."""

    def __init__(self, images: Any, fails_at: int | None = None) -> None:
        self.images, self.shape, self.dtype, self.nbytes = images, images.shape, images.dtype, 2 << 20
        self.asked: list[np.ndarray] = []
        self.threads: set[threading.Thread] = set()
        self.fails_at = fails_at

    def __getitem__(self, rows: Any) -> np.ndarray:
        self.asked.append(np.asarray(rows))
        self.threads.add(threading.current_thread())
        if len(self.asked) == self.fails_at:
            raise OSError(5, "Input/output error", "data_batch_1.bin")
        return np.asarray(self.images[rows])

    def __array__(self, *args: Any, **kwargs: Any) -> np.ndarray:
        raise AssertionError("all images at once")


def streaming(watched: Watched, data: TrainingData, size: int) -> Any:
    """An engine that streams, in blocks of `size` steps of 10 images."""
    engine = tensorflow_engine(run_config(device_memory=1), replace(data, train_images=watched))
    assert engine.streams
    engine.budget = size * 8 * 10 * 64
    return engine


@pytest.mark.parametrize(("steps", "size"), [(6, 1), (6, 2), (6, 4), (6, 6), (6, 100), (1, 1)])
def test_every_image_is_read_once_and_handed_out_in_order(tf: Any, steps: int, size: int) -> None:
    data = training_data(60)
    watched = Watched(data.train_images)
    engine = streaming(watched, data, size)
    indices = np.random.default_rng(0).permutation(60)[: steps * 10].reshape(steps, 10).astype(np.int32)
    parts = list(engine.blocks(indices))
    np.testing.assert_array_equal(np.concatenate(watched.asked), indices.ravel())
    np.testing.assert_array_equal(np.concatenate([part for part, _ in parts]), indices)
    assert [len(part) for part, _ in parts] == [min(size, steps - start) for start in range(0, steps, size)]
    for part, images in parts:
        np.testing.assert_array_equal(images, data.train_images[part])
    assert threading.current_thread() not in watched.threads


def test_reading_is_one_block_ahead_and_no_further(tf: Any) -> None:
    data = training_data(60)
    watched = Watched(data.train_images)
    blocks = streaming(watched, data, 1).blocks(np.arange(60, dtype=np.int32).reshape(6, 10))
    for number in range(1, 7):
        next(blocks)
        assert len(watched.asked) <= min(6, number + 1)
    assert next(blocks, None) is None
    assert not any(thread.is_alive() for thread in watched.threads)


@pytest.mark.parametrize("fails_at", [1, 2, 6])
def test_what_reading_raises_is_raised_by_training(tf: Any, fails_at: int) -> None:
    data = training_data(60)
    watched = Watched(data.train_images, fails_at)
    engine = streaming(watched, data, 1)
    engine.begin_epoch(0, 0, 0.05)
    with pytest.raises(OSError, match="Input/output error"):
        engine.train(np.arange(60, dtype=np.int32).reshape(6, 10), {})
    assert len(watched.asked) <= 6
    assert not any(thread.is_alive() for thread in watched.threads)


def test_training_that_fails_ends_the_reading(tf: Any) -> None:
    data = training_data(60)
    watched = Watched(data.train_images)
    blocks = streaming(watched, data, 1).blocks(np.arange(60, dtype=np.int32).reshape(6, 10))
    next(blocks)
    with pytest.raises(RuntimeError, match="of the device"):
        blocks.throw(RuntimeError("of the device"))
    assert len(watched.asked) <= 2
    assert not any(thread.is_alive() for thread in watched.threads)


# Images in their files


@pytest.fixture(scope="module")
def shuffled(tmp_path_factory: pytest.TempPathFactory) -> tuple[TrainingData, np.ndarray]:
    """31 records in no order in four files, and their images in id order."""
    shape = ImageShape(3, 4, 5)
    ids, labels, pixels = examples(31, shape=shape, seed=1)
    order = np.random.default_rng(0).permutation(31)
    test = examples(6, shape=shape)
    directory = tmp_path_factory.mktemp("shuffled") / "set"
    made = write_dataset(directory, (ids[order], labels[order], pixels[order]), test, train_files=4)
    return load(made), pixels.transpose(0, 2, 3, 1)


@given(rows=st.lists(st.integers(-31, 30), max_size=60))
def test_any_rows_are_the_records_images(rows: list[int], shuffled: tuple[TrainingData, np.ndarray]) -> None:
    data, expected = shuffled
    assert isinstance(data.train_images, RecordImages)
    images = data.train_images[np.array(rows, np.int64)]
    assert images.dtype == np.uint8
    assert images.shape == (len(rows), 4, 5, 3)
    np.testing.assert_array_equal(images, expected[np.array(rows, np.int64)])


@given(start=st.integers(0, 31), stop=st.integers(0, 40))
def test_any_slice_is_the_records_images(start: int, stop: int, shuffled: tuple[TrainingData, np.ndarray]) -> None:
    data, expected = shuffled
    np.testing.assert_array_equal(data.train_images[start:stop], expected[start:stop])


def test_images_know_their_size_and_turn_into_an_array(shuffled: tuple[TrainingData, np.ndarray]) -> None:
    data, expected = shuffled
    assert (data.train_images.shape, data.train_images.nbytes) == ((31, 4, 5, 3), expected.nbytes)
    np.testing.assert_array_equal(np.asarray(data.train_images), expected)
    assert np.asarray(data.train_images, dtype=np.float32).dtype == np.float32


def test_images_stay_in_their_files(tmp_path: Path) -> None:
    made = write_dataset(tmp_path / "set", examples(6), examples(3))
    data = load(made)
    path = made.path / "data_batch_1.bin"
    path.write_bytes(bytes(path.stat().st_size))
    assert not np.asarray(data.train_images).any()


@pytest.mark.parametrize("rows", [np.arange(6), np.array([5, 0, 3])], ids=["in order", "in no order"])
def test_a_file_that_is_cut_short_is_one_line_and_no_crash(rows: np.ndarray, tmp_path: Path) -> None:
    made = write_dataset(tmp_path / "set", examples(6), examples(3))
    path = made.path / "data_batch_1.bin"

    def read() -> None:  # in a process of its own: a memory map would end it
        images = load(made).train_images
        os.truncate(path, path.stat().st_size - 1)
        with pytest.raises(TrainerError) as said:
            images[rows]
        print(said.value)

    ended = run(read)
    assert ended.code == 0, ended
    assert ended.output == (
        f"{path}: was cut short while the run was under way; put the dataset back as it was and go on with --resume\n"
    )


@given(fraction=st.floats(0.1, 0.8), seed=st.integers(0, 50))
def test_held_out_and_training_images_are_those_of_their_ids(
    fraction: float, seed: int, tmp_path_factory: pytest.TempPathFactory, shuffled: tuple[TrainingData, np.ndarray]
) -> None:
    _, expected = shuffled
    directory = tmp_path_factory.getbasetemp() / "held-out" / "set"
    if not directory.exists():
        ids, labels, pixels = examples(31, shape=ImageShape(3, 4, 5), seed=1)
        write_dataset(directory, (ids[::-1], labels[::-1], pixels[::-1]), examples(6, shape=ImageShape(3, 4, 5)))
    from datatools.format.dataset import open_dataset

    data = load(open_dataset(directory), fraction, seed)
    assert data.validation_images is not None
    np.testing.assert_array_equal(np.asarray(data.train_images), expected[data.ids])
    np.testing.assert_array_equal(np.asarray(data.validation_images), expected[data.validation_ids])
    assert sorted([*data.ids, *data.validation_ids]) == list(range(31))


def test_an_engine_that_streams_puts_no_image_on_the_device(tf: Any) -> None:
    config: RunConfig = run_config(device_memory=1)
    data = training_data(60)
    engine = tensorflow_engine(config, replace(data, train_images=Watched(data.train_images)))
    assert engine._images is None
    assert engine._held_out == {}
