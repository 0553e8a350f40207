"""Runs on features: every method, resume, and what reads a run."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from datatools.format.dataset import Dataset
from tests.support.feature_runs import CLASSES, COUNT, TESTS, features, noisy, run, save
from trainer import load_run, predict
from trainer.audit.output import relabel
from trainer.config import resolve
from trainer.data import load
from trainer.errors import TrainerError
from trainer.features import open_features
from trainer.methods import METHODS
from trainer.reporters.base import Quiet
from trainer.runs.weights import read_scaling
from trainer.training.loop import train
from trainer.vectors import Scaling

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def folder(tf: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A noisy dataset and its features."""
    folder = tmp_path_factory.mktemp("features")
    noisy(folder / "noisy")
    save(folder)
    return folder


@pytest.fixture(scope="module")
def dataset(folder: Path) -> Dataset:
    from datatools.format.dataset import open_dataset

    return open_dataset(folder / "noisy")


@pytest.fixture(scope="module")
def finished(dataset: Dataset, folder: Path) -> Path:
    """A run of Default that has learned."""
    run("default", dataset, folder / "run", folder / "features.npz", epochs=20, learning_rate=0.05)
    return folder / "run"


@pytest.mark.parametrize("method", METHODS)
def test_every_method_trains_on_features(method: str, dataset: Dataset, folder: Path, tmp_path: Path) -> None:
    result = run(method, dataset, tmp_path / "run", folder / "features.npz")
    assert 0 <= result["last_test_error"] <= 1
    with (tmp_path / "run" / "metrics.csv").open() as file:
        losses = [float(row["train_loss"]) for row in csv.DictReader(file) if row["train_loss"]]
    assert losses
    assert np.isfinite(losses).all()


def test_every_method_trains_on_features_in_jax(folder: Path, tmp_path: Path) -> None:
    arguments = ["jax", folder / "noisy", folder / "features.npz", tmp_path]
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.feature_runs", *map(str, arguments)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout.splitlines()[-1]).keys() == METHODS.keys()


def test_the_mlp_trains_and_features_stream(dataset: Dataset, folder: Path, tmp_path: Path) -> None:
    wide = {split: np.repeat(values, 8000, axis=1) for split, values in features().items()}
    np.savez(tmp_path / "wide.npz", **wide)  # type: ignore[arg-type]
    results = []
    for memory in (None, 1):
        directory = tmp_path / f"run-{memory}"
        run("default", dataset, directory, tmp_path / "wide.npz", network="mlp", device_memory=memory, epochs=1)
        results.append((directory / "samples.h5").read_bytes())
    assert results[0] == results[1]


def test_a_linear_network_on_features_is_a_logistic_regression(dataset: Dataset, folder: Path, finished: Path) -> None:
    kernel, bias = load_run(finished).weights()
    raw = features()
    mean = raw["train"].astype(np.float64).mean(axis=0)
    stddev = raw["train"].astype(np.float64).std(axis=0)
    stddev[-1] = 1  # the number that never changes
    logits = ((raw["test"] - mean) / stddev) @ kernel + bias
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    expected = powers / powers.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(predict(finished, raw["test"]), expected, atol=1e-5)
    errors = np.mean(expected.argmax(axis=1) != np.arange(TESTS) % CLASSES)
    assert load_run(finished).result["last_test_error"] == pytest.approx(errors)
    assert errors < 0.2, "it has learned something"


def test_features_are_standardised_by_what_is_trained_on(dataset: Dataset, folder: Path) -> None:
    opened = open_features(dataset, str(folder / "features.npz"))
    data = load(dataset, 0.25, 0, opened)
    train_images = np.asarray(data.train_images)
    assert len(data.validation_ids)
    np.testing.assert_allclose(train_images[:, :-1].mean(axis=0), 0, atol=1e-5)
    np.testing.assert_allclose(train_images[:, :-1].std(axis=0), 1, atol=1e-5)
    assert (train_images[:, -1] == 0).all()
    assert data.scaling is not None
    np.testing.assert_array_equal(data.validation_images, data.scaling.apply(opened.train[data.validation_ids]))
    np.testing.assert_array_equal(data.test_images, data.scaling.apply(opened.test))


def test_scaling_is_numpy_s_over_many_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trainer.vectors.BLOCK", 7)
    values = np.random.default_rng(0).normal(1000, 0.5, (50, 3)).astype(np.float32)
    scaling = Scaling.of(values)
    np.testing.assert_allclose(scaling.mean, values.astype(np.float64).mean(axis=0), rtol=1e-6)
    np.testing.assert_allclose(scaling.stddev, values.astype(np.float64).std(axis=0), rtol=1e-6)


def test_config_json_says_on_what_features_the_run_stands(dataset: Dataset, folder: Path, finished: Path) -> None:
    told = json.loads((finished / "config.json").read_text())
    assert told["features"] == str(folder / "features.npz")
    assert told["features_file"] == {
        "path": str(folder / "features.npz"),
        "sha256": open_features(dataset, str(folder / "features.npz")).sha256,
        "numbers": 5,
        "backbone": None,
    }
    np.testing.assert_array_equal(read_scaling(finished).mean.shape, (5,))


def resumed(dataset: Dataset, directory: Path, features: Path | None, **settings: Any) -> dict[str, Any]:
    values: dict[str, Any] = {"epochs": 20, "batch_size": 20, "device": "cpu", "learning_rate": 0.05, **settings}
    config = resolve("default", dataset, features=None if features is None else str(features), **values)
    return train(config, dataset, directory, Quiet(), resume=True)


def test_a_resume_takes_the_same_features_from_anywhere_and_no_others(
    dataset: Dataset, folder: Path, finished: Path, tmp_path: Path
) -> None:
    moved = tmp_path / "moved.npy"
    np.save(moved, np.concatenate([*features().values()]))
    assert resumed(dataset, finished, moved) == load_run(finished).result
    np.save(tmp_path / "other.npy", np.concatenate([*features(seed=1).values()]))
    with pytest.raises(
        TrainerError, match=r"the run there is another one, in features of SHA-256 .* \(the run has feat"
    ):
        resumed(dataset, finished, tmp_path / "other.npy")
    with pytest.raises(TrainerError, match=r"the run there is another one, in .*images"):
        resumed(dataset, finished, None, network="small-cnn", preset="quick")


def test_a_stopped_run_goes_on_to_the_same_bits(dataset: Dataset, folder: Path, tmp_path: Path) -> None:
    class Stop(Quiet):
        def epoch(self, row: Any, seconds_left: float) -> None:
            if row.epoch == 2:
                raise KeyboardInterrupt

    values: dict[str, Any] = {"epochs": 4, "batch_size": 20, "device": "cpu"}
    config = resolve("mixup", dataset, features=str(folder / "features.npz"), network="mlp", **values)
    train(config, dataset, tmp_path / "whole", Quiet())
    with pytest.raises(KeyboardInterrupt):
        train(config, dataset, tmp_path / "stopped", Stop())
    train(config, dataset, tmp_path / "stopped", Quiet(), resume=True)
    for name in ("weights.h5", "samples.h5"):
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "stopped" / name).read_bytes()


def test_relabel_reads_a_run_on_features_and_shows_its_images(finished: Path, tmp_path: Path) -> None:
    made = relabel(finished, tmp_path / "relabelled")
    assert made.report["samples"] == COUNT
    assert (tmp_path / "relabelled" / "suspects.png").is_file()


def test_predict_refuses_images_and_other_features(finished: Path) -> None:
    for wrong in (np.zeros((2, 8, 8, 1), np.uint8), np.zeros((2, 4), np.float32), np.zeros((2, 5), np.uint8)):
        with pytest.raises(TrainerError, match=r"\(N, 5\) floats are expected"):
            predict(finished, wrong)


def test_a_run_without_its_scaling_is_refused(finished: Path, tmp_path: Path) -> None:
    import shutil

    import h5py

    damaged = tmp_path / "damaged"
    shutil.copytree(finished, damaged)
    with h5py.File(damaged / "weights.h5", "r+") as file:
        del file["features"]
    with pytest.raises(TrainerError, match="no group 'features'"):
        predict(damaged, features()["test"])
