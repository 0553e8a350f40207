"""From out-of-sample predictions to a noise rate: figures worked out by hand, folds, and digits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import trainer.audit.estimation as estimation
from datatools import convert, corrupt
from tests.support.noise_runs import FAST, noisy
from tests.support.tiny import examples
from trainer.audit.estimation import (
    Predictions,
    bootstrap_rows,
    estimate,
    estimate_settings,
    fold_numbers,
    joint_distribution,
    mixture_rate,
    predict_out_of_sample,
    rate_of,
    relative_losses,
    transition_matrix,
)
from trainer.audit.noise_estimate import estimate_noise
from trainer.errors import TrainerError


def noisy_predictions(count: int, rate: float, classes: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """(N,) labels with symmetric noise, and what a perfect network of them would say."""
    random = np.random.default_rng(seed)
    true = random.integers(0, classes, count)
    wrong = random.random(count) < rate
    labels = np.where(wrong, (true + random.integers(1, classes, count)) % classes, true)
    probability = np.full((count, classes), rate / (classes - 1))
    probability[np.arange(count), true] = 1 - rate
    return labels, probability


@given(
    st.lists(st.integers(0, 4), min_size=1, max_size=80).map(lambda extra: np.array([*range(5)] * 3 + extra)),
    st.integers(2, 3),
    st.integers(0, 9),
)
def test_folds_spread_every_label_evenly(labels: np.ndarray, folds: int, seed: int) -> None:
    numbers = fold_numbers(labels, folds, seed)
    assert np.array_equal(numbers, fold_numbers(labels, folds, seed))
    sizes = np.bincount(numbers, minlength=folds)
    assert sizes.max() - sizes.min() <= 1
    for label in range(5):
        counts = np.bincount(numbers[labels == label], minlength=folds)
        assert counts.max() - counts.min() <= 1


def test_another_seed_gives_other_folds() -> None:
    labels = np.arange(60) % 3
    assert not np.array_equal(fold_numbers(labels, 3, 0), fold_numbers(labels, 3, 1))


def test_too_few_samples_for_the_folds() -> None:
    with pytest.raises(TrainerError, match="--folds 5: too few samples for so many, label 1 has 4; lower --folds"):
        fold_numbers(np.array([0] * 9 + [1] * 4), 5, 0)
    with pytest.raises(TrainerError, match="--folds 1: at least 2 are expected"):
        fold_numbers(np.arange(4), 1, 0)


def test_a_fold_is_predicted_by_a_network_that_has_not_seen_it(
    tf: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    whole = estimation._train

    def spied(data: Any, *arguments: Any) -> Any:
        seen.append((data.train_images[:], data.test_images[:], data.train_labels))
        return whole(data, *arguments)

    monkeypatch.setattr(estimation, "_train", spied)
    dataset = noisy(tmp_path / "noisy")
    predictions = predict_out_of_sample(dataset, estimate_settings(dataset, **FAST), 2)
    pixels = examples(60)[2].transpose(0, 2, 3, 1)
    for fold, (trained, held_out, labels) in enumerate(seen):
        assert np.array_equal(trained, pixels[predictions.folds != fold])
        assert np.array_equal(held_out, pixels[predictions.folds == fold])
        assert np.array_equal(labels, predictions.labels[predictions.folds != fold])
    assert predictions.probability.sum(axis=1) == pytest.approx(1, abs=1e-12)
    assert np.array_equal(predictions.labels, dataset.labels("train"))
    again = predict_out_of_sample(dataset, estimate_settings(dataset, **FAST), 2)
    assert np.array_equal(again.probability, predictions.probability)


def test_the_matrix_of_a_joint_distribution_worked_out_by_hand() -> None:
    joint = np.array([[0.4, 0.1], [0.0, 0.5]])  # rows given, columns true
    assert rate_of(joint) == pytest.approx(0.1)
    assert transition_matrix(joint) == pytest.approx(np.array([[1.0, 0.0], [1 / 6, 5 / 6]]))


def test_a_class_that_nothing_is_taken_for_keeps_its_labels() -> None:
    assert transition_matrix(np.array([[0.5, 0.0], [0.5, 0.0]])).tolist() == [[0.5, 0.5], [0.0, 1.0]]


def test_relative_losses_worked_out_by_hand() -> None:
    probability = np.array([[0.5, 0.25, 0.25], [0.5, 0.25, 0.25], [1.0, 0.0, 0.0]])
    losses = relative_losses(np.array([0, 1, 2]), probability)
    assert losses == pytest.approx([-np.log(2), np.log(2), np.log(1e4)])


@pytest.mark.parametrize(("rate", "classes"), [(0.1, 4), (0.3, 10), (0.45, 10)])
def test_the_confident_joint_reads_a_perfect_network(rate: float, classes: int) -> None:
    pytest.importorskip("cleanlab")
    labels, probability = noisy_predictions(4000, rate, classes, seed=1)
    joint = joint_distribution(labels, probability)
    assert joint.sum() == pytest.approx(1)
    assert rate_of(joint) == pytest.approx(rate, abs=0.02)
    expected = np.full((classes, classes), rate / (classes - 1))
    np.fill_diagonal(expected, 1 - rate)
    assert transition_matrix(joint) == pytest.approx(expected, abs=0.06)


def test_the_mixture_reads_two_heaps() -> None:
    random = np.random.default_rng(0)
    values = np.concatenate([random.normal(-3, 1, 700), random.normal(4, 1, 300)])
    rate, means = mixture_rate(values)
    assert rate == pytest.approx(0.3, abs=0.01)
    assert means == pytest.approx([-3, 4], abs=0.2)


def test_the_bootstrap_holds_the_figure_between_its_ends() -> None:
    pytest.importorskip("cleanlab")
    labels, probability = noisy_predictions(500, 0.3, 5, seed=2)
    random = np.random.default_rng(3)
    probability = probability * random.uniform(0.5, 1.5, probability.shape)
    probability /= probability.sum(axis=1, keepdims=True)
    predictions = Predictions(labels, probability, np.zeros(500, np.int64), (1,))
    for figure in (first := estimate(predictions, 0, 40))[:2]:
        assert figure.low < figure.value < figure.high
        assert figure.high - figure.low < 0.25
    again = estimate(predictions, 0, 40)
    assert (again[:2], again[2].tolist()) == (first[:2], first[2].tolist())
    assert estimate(predictions, 1, 40)[:2] != first[:2]


def test_bootstrap_rows_are_a_function_of_seed_and_number() -> None:
    rows = bootstrap_rows(1000, 0, 3)
    assert np.array_equal(rows, bootstrap_rows(1000, 0, 3))
    assert not np.array_equal(rows, bootstrap_rows(1000, 0, 4))
    assert 0 <= rows.min() <= rows.max() < 1000
    assert len(np.unique(rows)) == pytest.approx(632, abs=40)


@pytest.mark.parametrize(("noise", "rate"), [("pair", 0.2), ("symmetric", 0.4)])
def test_digits_within_five_points(tf: Any, tmp_path: Path, noise: str, rate: float) -> None:
    """With three folds and 8 epochs, to be fast; bench/estimate_noise.py has the command's own settings."""
    pytest.importorskip("cleanlab")
    dataset = corrupt(convert("digits", out=tmp_path / "digits").dataset, noise=noise, rate=rate).dataset
    settings = {**FAST, "epochs": 8, "batch_size": 64}
    content = estimate_noise(dataset, tmp_path / "out.json", folds=3, repeats=20, **settings)
    assert content["noise_rate"]["value"] == pytest.approx(rate, abs=0.05)
    assert content["noise_rate"]["low"] < content["noise_rate"]["value"] < content["noise_rate"]["high"]
    assert content["truth"]["transition_matrix_mean_error"] < 0.03
