"""Held-out samples: which they are, that nothing trains on them, and the epoch that they select."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from datatools.format.dataset import Dataset
from tests.support.interrupted import Silent, config_for
from tests.support.tiny import examples, write_dataset
from trainer.data import held_out_rows, load
from trainer.errors import TrainerError
from trainer.training.loop import train

# Held-out samples


@given(
    counts=st.lists(st.integers(1, 40), min_size=2, max_size=6),
    fraction=st.floats(0.05, 0.9),
    seed=st.integers(0, 1000),
)
def test_of_each_label_its_share_is_held_out(counts: list[int], fraction: float, seed: int) -> None:
    labels = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(counts)), counts))
    expected = [int(np.floor(fraction * count + 0.5)) for count in counts]
    if not sum(expected):
        with pytest.raises(TrainerError, match="holds out no sample"):
            held_out_rows(labels, fraction, seed)
        return
    rows = held_out_rows(labels, fraction, seed)
    assert np.bincount(labels[rows], minlength=len(counts)).tolist() == expected
    assert (np.diff(rows) > 0).all()
    np.testing.assert_array_equal(rows, held_out_rows(labels, fraction, seed))


def test_another_seed_holds_out_others() -> None:
    labels = np.arange(300) % 3
    assert not np.array_equal(held_out_rows(labels, 0.2, 0), held_out_rows(labels, 0.2, 1))
    assert held_out_rows(labels, 0.0, 0).tolist() == []


def test_every_sample_is_held_out_equally_often() -> None:
    labels = np.arange(60) % 3
    times = np.zeros(60)
    for seed in range(400):
        times[held_out_rows(labels, 0.25, seed)] += 1
    # 100 expected each, standard deviation 8.7
    assert 60 < times.min() <= times.max() < 140


@pytest.fixture(scope="module")
def noisy(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """90 images in no order, a third of their labels wrong."""
    ids, clean, pixels = examples(90)
    labels = np.where(ids % 3 == 1, (clean + 1) % 3, clean)
    order = np.random.default_rng(0).permutation(90)
    made = (ids[order], labels[order], pixels[order])
    directory = tmp_path_factory.mktemp("noisy") / "set"
    return write_dataset(directory, made, examples(12), labels="noisy", clean_labels=clean, train_files=2)


def test_held_out_samples_keep_the_labels_they_have(noisy: Dataset) -> None:
    data, whole = load(noisy, 0.2, 5), load(noisy)
    np.testing.assert_array_equal(data.validation_labels, whole.train_labels[data.validation_ids])
    np.testing.assert_array_equal(data.train_labels, whole.train_labels[data.ids])
    assert data.clean_labels is not None
    assert whole.clean_labels is not None
    np.testing.assert_array_equal(data.clean_labels, whole.clean_labels[data.ids])
    assert not set(data.ids) & set(data.validation_ids)


@pytest.fixture(scope="module")
def validated(tf: Any, noisy: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of SELFIE with a fifth of the samples held out."""
    directory = tmp_path_factory.mktemp("validated") / "run"
    options = {"warm_up": 1, "history_length": 1, "restarts": 1}
    config = config_for("selfie", noisy, epochs=4, batch_size=15, validation_fraction=0.2, method_options=options)
    train(config, noisy, directory, Silent())
    return directory


def read_samples(directory: Path) -> dict[str, np.ndarray]:
    with h5py.File(directory / "samples.h5", "r") as file:
        return {name: values[()] for name, values in file.items()}


def test_held_out_samples_are_never_trained_on(validated: Path, noisy: Dataset) -> None:
    samples, data = read_samples(validated), load(noisy, 0.2, 0)
    held_out = samples["held_out"]
    assert samples["id"].tolist() == list(range(90))
    assert np.flatnonzero(held_out).tolist() == data.validation_ids.tolist()
    assert held_out.sum() == 18
    np.testing.assert_array_equal(samples["given_label"], load(noisy).train_labels)
    for name, missing in (("last_prediction", -1), ("refurbished_label", -1)):
        assert (samples[name][held_out] == missing).all()
    assert (samples["last_prediction"][~held_out] >= 0).all()
    assert np.isnan(samples["last_loss"][held_out]).all()
    assert np.isfinite(samples["last_loss"][~held_out]).all()
    assert np.isnan(samples["uncertainty"][held_out]).all()


def test_the_selected_epoch_of_a_run_is_its_rows_and_its_weights_are_kept(validated: Path) -> None:
    content = json.loads((validated / "result.json").read_text())
    with (validated / "metrics.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["run"] == "2"]
    errors = [float(row["validation_error"]) for row in rows]
    chosen = rows[errors.index(min(errors))]
    assert content["selected"] == {
        "epoch": int(chosen["epoch"]),
        "validation_error": min(errors),
        "test_error": float(chosen["test_error"]),
    }
    for name in ("last", "best", "selected"):
        matrix = np.array(content["confusion_matrix"][name])
        assert matrix.sum() == 12
        expected = {"last": content["last_test_error"], "best": content["best_test_error"]}
        error = expected.get(name, content["selected"]["test_error"])
        assert 1 - np.trace(matrix) / 12 == pytest.approx(error)
    with h5py.File(validated / "weights.h5", "r") as file:
        assert file["last"]["network_1"].keys() == file["selected"]["network_1"].keys()


def test_a_share_that_leaves_nothing_to_train_on_is_one_line(tmp_path: Path) -> None:
    dataset = write_dataset(tmp_path / "set", examples(3), examples(3))
    with pytest.raises(TrainerError, match=r"--validation-fraction 0\.9"):
        load(dataset, 0.9)
    with pytest.raises(TrainerError, match=r"--validation-fraction 0\.1"):
        load(dataset, 0.1)
