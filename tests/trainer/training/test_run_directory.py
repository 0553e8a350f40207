"""What the directory of a finished run holds, that it agrees with itself, and that runs repeat."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from datatools import read_manifest
from tests.support.digit_runs import (
    CLASSES,
    COMMON,
    EPOCHS,
    FILES,
    OF_SELFIE,
    RUNS,
    SAMPLES,
    TIMING,
    Run,
    Runs,
    config_for,
    read_rows,
)
from tests.support.tiny import examples, write_dataset
from trainer.config import RunConfig
from trainer.reporters.base import Quiet
from trainer.training.loop import train


@pytest.fixture(params=["default", "selfie"])
def run(request: pytest.FixtureRequest, run_of: Runs) -> Run:
    return run_of(request.param)


# The run directory


def test_a_finished_run_holds_its_files_and_nothing_half_written(run: Run) -> None:
    assert {path.name for path in run.directory.iterdir()} == FILES


def test_config_json_holds_every_setting_and_what_the_run_stands_on(run: Run) -> None:
    written = run.json("config.json")
    assert RunConfig.from_json(written) == run.config
    others = {key: written.pop(key) for key in ("dataset", "device", "versions")}
    assert others["dataset"]["sha256"] == run.dataset.sha256
    assert others["dataset"]["name"] == run.dataset.metadata.name == "digits-first200-pair-0.4-seed0"
    assert others["device"].startswith("CPU")
    assert all(others["versions"][name] for name in ("python", "keras", "tensorflow", "numpy"))


def test_metrics_csv_has_the_columns_that_the_method_and_the_dataset_fill(run: Run) -> None:
    of_method = OF_SELFIE if run.config.method == "selfie" else []
    assert list(run.rows[0]) == [*COMMON, *of_method, "seconds", "images_per_second"]


def test_metrics_csv_has_a_row_an_epoch_of_every_run_counted_from_1(run: Run) -> None:
    runs = RUNS if run.config.method == "selfie" else 1
    expected = [(number, epoch) for number in range(1, runs + 1) for epoch in range(1, EPOCHS + 1)]
    assert [(int(row["run"]), int(row["epoch"])) for row in run.rows] == expected


def test_metrics_are_fractions_of_the_samples(run: Run) -> None:
    for name in ("train_error", "clean_train_error", "test_error"):
        counts = np.array(run.column(name)) * SAMPLES
        np.testing.assert_allclose(counts, np.round(counts), atol=1e-6)
        assert ((counts >= 0) & (counts <= SAMPLES)).all()
    assert all(loss > 0 for name in ("train_loss", "test_loss") for loss in run.column(name))
    seconds, speed = np.array(run.column("seconds")), np.array(run.column("images_per_second"))
    np.testing.assert_allclose(seconds * speed, SAMPLES, rtol=1e-9)


def test_the_learning_rate_drops_at_half_and_at_three_quarters_in_every_run(run: Run) -> None:
    once = [0.05, 0.05, 0.05, 0.01, 0.01, 0.002]
    np.testing.assert_allclose(run.column("learning_rate"), once * (len(run.rows) // EPOCHS))


def test_result_json_agrees_with_metrics_csv(run: Run) -> None:
    result = run.json("result.json")
    assert result == run.returned
    assert result["method"] == run.config.method
    by_run = np.array(run.column("test_error")).reshape(-1, EPOCHS)
    for summary, errors in zip([*result["runs"], result], [*by_run, by_run[-1]], strict=True):
        assert summary["best_test_error"] == errors.min()
        assert summary["last_test_error"] == errors[-1]
        assert summary["mean_last10_test_error"] == pytest.approx(errors.mean())
    assert result["best_test_error_all_runs"] == by_run.min()
    assert result["wall_seconds"] > sum(run.column("seconds"))


def test_samples_h5_has_a_row_a_sample_in_id_order(run: Run) -> None:
    samples = run.samples
    kinds = {name: (values.dtype, values.shape) for name, values in samples.items()}
    integers, floats = (np.dtype(np.int32), (SAMPLES,)), (np.dtype(np.float32), (SAMPLES,))
    assert kinds == {
        "id": (np.dtype(np.uint32), (SAMPLES,)),
        "given_label": integers,
        "refurbished_label": integers,
        "uncertainty": floats,
        "last_loss": floats,
        "last_prediction": integers,
        "mean_loss": floats,
        "mean_probability": (np.dtype(np.float32), (SAMPLES, CLASSES)),
        "visits": integers,
    }
    manifest = read_manifest(run.dataset.manifest_path, SAMPLES, CLASSES)
    np.testing.assert_array_equal(samples["id"], np.arange(SAMPLES))
    np.testing.assert_array_equal(samples["given_label"], manifest.noisy_labels)


def test_samples_h5_agrees_with_the_last_row_of_metrics_csv(run: Run) -> None:
    samples, last = run.samples, run.rows[-1]
    clean = read_manifest(run.dataset.manifest_path, SAMPLES, CLASSES).clean_labels
    predicted = samples["last_prediction"]
    assert float(last["train_error"]) == pytest.approx(np.mean(predicted != samples["given_label"]))
    assert float(last["clean_train_error"]) == pytest.approx(np.mean(predicted != clean))
    assert ((predicted >= 0) & (predicted < CLASSES)).all()
    assert (samples["last_loss"] >= 0).all()


def test_default_writes_no_refurbished_label_and_no_uncertainty(run_of: Runs) -> None:
    samples = run_of("default").samples
    assert (samples["refurbished_label"] == -1).all()
    assert np.isnan(samples["uncertainty"]).all()


def test_a_dataset_without_known_clean_labels_has_no_column_that_needs_them(tf: Any, tmp_path: Path) -> None:
    unknown = write_dataset(tmp_path / "set", examples(30), examples(9), labels="unknown")
    options = {"warm_up": 1, "restarts": 0}
    config = config_for("selfie", unknown, noise_rate=0.2, epochs=2, batch_size=10, method_options=options)
    train(config, unknown, tmp_path / "run", Quiet())
    expected = [*COMMON[:-1], "refurbishable", "refurbished", "seconds", "images_per_second"]
    assert list(read_rows(tmp_path / "run")[0]) == expected


# Repeats


@pytest.mark.parametrize("method", ["default", "selfie"])
def test_the_same_run_again_gives_the_same_numbers(method: str, run_of: Runs) -> None:
    first, again = run_of(method), run_of(method, again=True)
    for one, other in zip(first.rows, again.rows, strict=True):
        assert {k: v for k, v in one.items() if k not in TIMING} == {k: v for k, v in other.items() if k not in TIMING}
    np.testing.assert_equal(first.samples, again.samples)


def test_another_seed_gives_other_numbers(run_of: Runs, tmp_path: Path) -> None:
    first = run_of("default")
    train(replace(first.config, seed=1, epochs=1), first.dataset, tmp_path / "run", Quiet())
    assert read_rows(tmp_path / "run")[0]["train_loss"] != first.rows[0]["train_loss"]
