"""From a dataset directory to arrays, and from a seed to the order of an epoch."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datatools.errors import DataToolsError
from datatools.format.dataset import Dataset
from datatools.format.records import ImageShape
from tests.support.tiny import Examples, examples, write_dataset
from trainer.data import EpochOrders, epoch_order, load

SHAPE = ImageShape(3, 4, 5)
fixed = settings(derandomize=True, deadline=None, max_examples=150)

sizes = st.integers(1, 700)
batch_sizes = st.integers(2, 200)
seeds = st.integers(0, 2**40)
small = st.integers(0, 200)


def epoch(num_samples: int, batch_size: int, seed: int = 0, run: int = 0, epoch: int = 0) -> np.ndarray:
    """The mini-batches of an epoch, in order."""
    return epoch_order(num_samples, batch_size, seed, run, epoch)


@given(sizes, batch_sizes, seeds, small, small)
@fixed
def test_an_epoch_has_every_sample_and_fewer_twice_than_it_has_mini_batches(
    n: int, batch_size: int, seed: int, run: int, number: int
) -> None:
    order = epoch(n, batch_size, seed, run, number)
    visits = np.bincount(order.ravel(), minlength=n)
    assert set(visits) <= {1, 2}
    assert np.sum(visits == 2) < len(order)
    # those that come twice are the first of the epoch, at its end
    twice = order.ravel()[n:]
    np.testing.assert_array_equal(twice, order.ravel()[: len(twice)])


@given(sizes, batch_sizes, st.sampled_from(["permutation", "independent"]))
@fixed
def test_no_mini_batch_has_a_sample_twice(n: int, batch_size: int, sampling: str) -> None:
    assert all(len(set(batch)) == len(batch) for batch in epoch_order(n, batch_size, 0, 0, 0, sampling).tolist())


@given(sizes, batch_sizes)
@fixed
def test_an_epoch_has_as_few_and_as_small_mini_batches_of_one_size_as_can_be(n: int, batch_size: int) -> None:
    order = epoch(n, batch_size)
    steps, size = order.shape
    assert order.dtype == np.int32
    assert steps == -(-n // batch_size)
    assert size <= batch_size
    assert steps * (size - 1) < n


@given(sizes, batch_sizes, seeds, small, small)
@fixed
def test_the_order_is_a_function_of_seed_run_and_epoch(n: int, batch_size: int, seed: int, run: int, e: int) -> None:
    first, again = epoch(n, batch_size, seed, run, e), epoch(n, batch_size, seed, run, e)
    np.testing.assert_array_equal(np.concatenate(first), np.concatenate(again))


@given(seeds, small, small)
@fixed
def test_another_seed_run_or_epoch_is_another_order(seed: int, run: int, e: int) -> None:
    places = [(seed, run, e), (seed + 1, run, e), (seed, run + 1, e), (seed, run, e + 1)]
    orders = {tuple(np.concatenate(epoch(50, 10, *place))) for place in places}
    # 50! orders: two alike are no chance
    assert len(orders) == len(places)


def test_run_and_epoch_do_not_stand_in_for_each_other() -> None:
    orders = {tuple(np.concatenate(epoch(50, 10, 0, run, e))) for run in range(8) for e in range(8)}
    assert len(orders) == 64


def test_the_next_epoch_is_drawn_beside_and_is_the_same() -> None:
    drawn: list[tuple[int, int]] = []
    waited_for: set[tuple[int, int]] = set()

    def draw(run: int, number: int) -> np.ndarray:
        drawn.append((run, number))
        if threading.current_thread() is threading.main_thread():
            waited_for.add((run, number))
        return epoch(20, 6, 0, run, number)

    orders = EpochOrders(draw)
    for place in ((0, 0), (0, 1), (0, 2), (1, 0), (1, 1)):
        np.testing.assert_array_equal(orders.of(*place), epoch(20, 6, 0, *place))
        assert drawn.count(place) == 1
    orders.close()
    assert drawn[0] == (0, 0)
    assert waited_for == {(0, 0), (1, 0)}, "the first of a run is drawn when it is asked for, the others ahead"


def test_what_fails_while_it_is_drawn_ahead_is_raised_where_it_is_asked_for() -> None:
    def draw(run: int, number: int) -> np.ndarray:
        if number == 1:
            raise ValueError("no such epoch")
        return epoch(20, 6)

    orders = EpochOrders(draw)
    orders.of(0, 0)
    with pytest.raises(ValueError, match="no such epoch"):
        orders.of(0, 1)
    orders.close()


def test_every_sample_comes_first_equally_often() -> None:
    firsts = [epoch(10, 5, 0, 0, number)[0][0] for number in range(1000)]
    counts = np.bincount(firsts, minlength=10)
    assert np.abs(counts - 100).max() < 5 * np.sqrt(100 * 0.9)


# load


def shuffled(batch: Examples, seed: int = 5) -> Examples:
    order = np.random.default_rng(seed).permutation(len(batch[0]))
    return batch[0][order], batch[1][order], batch[2][order]


@pytest.mark.parametrize("train_files", [1, 3])
def test_load_puts_records_in_id_order_however_they_lie(tmp_path: Path, train_files: int) -> None:
    train, test = examples(31, shape=SHAPE, seed=1), examples(10, shape=SHAPE, seed=2)
    dataset = write_dataset(tmp_path / "set", shuffled(train), shuffled(test), train_files=train_files)
    data = load(dataset)
    np.testing.assert_array_equal(data.train_labels, train[1])
    np.testing.assert_array_equal(data.train_images, train[2].transpose(0, 2, 3, 1))
    np.testing.assert_array_equal(data.test_labels, test[1])
    np.testing.assert_array_equal(data.test_images, test[2].transpose(0, 2, 3, 1))
    assert (data.num_samples, data.num_classes, data.image_shape) == (31, 3, (4, 5, 3))
    assert np.asarray(data.train_images).dtype == np.uint8
    assert data.train_labels.dtype == np.int32


def test_the_clean_labels_of_a_clean_dataset_are_its_labels(tmp_path: Path) -> None:
    data = load(write_dataset(tmp_path / "set", examples(9), examples(3)))
    np.testing.assert_array_equal(data.clean_labels, data.train_labels)


def test_nobody_knows_the_clean_labels_of_an_unknown_dataset(tmp_path: Path) -> None:
    assert load(write_dataset(tmp_path / "set", examples(9), examples(3), labels="unknown")).clean_labels is None


def noisy_dataset(directory: Path, clean: np.ndarray | None = None, order: int = 5) -> Dataset:
    """12 records in a random order; a third of the labels is wrong against `clean`."""
    ids, labels, pixels = examples(12)
    noisy = np.where(ids % 3 == 0, (labels + 1) % 3, labels)
    train = shuffled((ids, noisy, pixels), order)
    clean_labels = labels if clean is None else clean
    return write_dataset(directory, train, examples(3), labels="noisy", clean_labels=clean_labels, train_files=2)


def test_the_clean_labels_of_a_noisy_dataset_are_its_manifest_s(tmp_path: Path) -> None:
    data = load(noisy_dataset(tmp_path / "set"))
    clean = np.arange(12) % 3
    np.testing.assert_array_equal(data.clean_labels, clean)
    np.testing.assert_array_equal(data.train_labels, np.where(np.arange(12) % 3 == 0, (clean + 1) % 3, clean))


def complaint(dataset: Dataset) -> str:
    with pytest.raises(DataToolsError) as error:
        load(dataset)
    message = str(error.value)
    assert "\n" not in message
    return message


def test_a_manifest_of_other_labels_is_one_line_with_the_first_differing_id(tmp_path: Path) -> None:
    dataset = noisy_dataset(tmp_path / "set")
    other = write_dataset(
        tmp_path / "other",
        examples(12),
        examples(3),
        labels="noisy",
        clean_labels=np.arange(12) % 3,
    )
    dataset.manifest_path.write_bytes(other.manifest_path.read_bytes())
    message = complaint(dataset)
    assert str(dataset.manifest_path) in message
    assert "4 differ" in message
    assert "id 0" in message


@pytest.mark.parametrize("records", [11, 13])
def test_a_manifest_of_another_length_is_one_line(tmp_path: Path, records: int) -> None:
    dataset = noisy_dataset(tmp_path / "set")
    longer = examples(records)
    other = write_dataset(tmp_path / "other", longer, examples(3), labels="noisy", clean_labels=longer[1])
    dataset.manifest_path.write_bytes(other.manifest_path.read_bytes())
    assert str(dataset.manifest_path) in complaint(dataset)


@pytest.mark.parametrize("content", [b"", b"no HDF5 at all", b"\x89HDF\r\n\x1a\n" + bytes(64)])
def test_a_manifest_that_is_not_hdf5_is_one_line(tmp_path: Path, content: bytes) -> None:
    dataset = noisy_dataset(tmp_path / "set")
    dataset.manifest_path.write_bytes(content)
    assert str(dataset.manifest_path) in complaint(dataset)


def test_a_missing_manifest_is_one_line_with_the_remedy(tmp_path: Path) -> None:
    dataset = noisy_dataset(tmp_path / "set")
    dataset.manifest_path.unlink()
    message = complaint(dataset)
    assert str(dataset.manifest_path) in message
    assert "datatools corrupt" in message


@pytest.mark.parametrize(
    "ids",
    [
        pytest.param([0, 1, 2, 3, 4, 4], id="twice"),
        pytest.param([1, 2, 3, 4, 5, 6], id="from 1"),
        pytest.param([0, 1, 2, 3, 4, 2**32 - 1], id="huge"),
    ],
)
@pytest.mark.parametrize("split", ["train", "test"])
def test_ids_that_are_not_each_once_are_one_line(tmp_path: Path, ids: list[int], split: str) -> None:
    good = examples(6)
    bad = (np.array(ids), good[1], good[2])
    dataset = write_dataset(tmp_path / "set", bad if split == "train" else good, bad if split == "test" else good)
    message = complaint(dataset)
    assert f"{split} ids" in message
    assert "0..5" in message


@pytest.mark.parametrize("label", [3, 2**32 - 1])
@pytest.mark.parametrize("split", ["train", "test"])
def test_labels_out_of_range_are_one_line(tmp_path: Path, label: int, split: str) -> None:
    good = examples(6)
    labels = good[1].copy()
    labels[4] = label
    bad = (good[0], labels, good[2])
    dataset = write_dataset(tmp_path / "set", bad if split == "train" else good, bad if split == "test" else good)
    message = complaint(dataset)
    assert f"{split} labels" in message
    assert "0..2" in message


def test_a_dataset_of_one_class_is_one_line(tmp_path: Path) -> None:
    only = examples(6, num_classes=1)
    assert "one class" in complaint(write_dataset(tmp_path / "set", only, only, num_classes=1))


def test_a_batch_file_that_is_cut_short_is_one_line(tmp_path: Path) -> None:
    dataset = write_dataset(tmp_path / "set", examples(6), examples(3))
    file = tmp_path / "set" / "data_batch_1.bin"
    file.write_bytes(file.read_bytes()[:-1])
    assert "data_batch_1.bin" in complaint(dataset)


# standardise


def standardised_cases() -> dict[str, np.ndarray]:
    random = np.random.default_rng(0)
    return {
        "random": random.integers(0, 256, (5, 32, 32, 3), dtype=np.uint8),
        "one plane": random.integers(0, 256, (5, 8, 8, 1), dtype=np.uint8),
        "nearly constant": np.uint8(200) + (random.random((5, 16, 16, 3)) < 0.002).astype(np.uint8),
        "black": np.zeros((2, 8, 8, 3), np.uint8),
        "white": np.full((2, 64, 64, 3), 255, np.uint8),
        "grey": np.full((2, 7, 5, 1), 100, np.uint8),
    }


@pytest.mark.parametrize("case", standardised_cases())
def test_standardise_is_tensorflow_s_per_image_standardisation(case: str, tf: Any) -> None:
    from trainer.engine.step import standardise

    images = standardised_cases()[case]
    found = standardise(images).numpy()
    np.testing.assert_allclose(found, tf.image.per_image_standardization(images).numpy(), rtol=1e-5, atol=1e-5)
    assert found.dtype == np.float32


def test_a_constant_image_becomes_zeros(tf: Any) -> None:
    from trainer.engine.step import standardise

    assert not standardise(np.full((2, 32, 32, 3), 77, np.uint8)).numpy().any()


def test_standardised_images_have_mean_0_and_variance_1_each_for_itself(tf: Any) -> None:
    from trainer.engine.step import standardise

    images = standardised_cases()["random"]
    found = standardise(images).numpy().reshape(5, -1).astype(np.float64)
    np.testing.assert_allclose(found.mean(axis=1), 0, atol=1e-5)
    np.testing.assert_allclose(found.std(axis=1), 1, rtol=1e-5)
    np.testing.assert_array_equal(standardise(images[2:3]).numpy(), standardise(images).numpy()[2:3])
