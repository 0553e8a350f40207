"""The parts of an audit on small arrays: wrongness, neighbours, the verdict, and what is odd about pictures."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from trainer.audit.label_errors import confidence, most_wrong, wrongness
from trainer.audit.linear_probe import PENALTIES, choose_penalty, out_of_sample
from trainer.audit.neighbours import Nearest, nearest, triplet_estimate
from trainer.audit.oddities import Twin, twins, unlike_all
from trainer.audit.verdict import Verdict, draw_labels


def test_wrongness_is_the_log_odds_of_the_rival_and_a_quarter_of_the_matrix_s() -> None:
    probability = np.array([[0.2, 0.5, 0.3], [0.8, 0.1, 0.1]])
    matrix = np.array([[0.9, 0.05, 0.05], [0.1, 0.8, 0.1], [0.4, 0.1, 0.5]])
    values, suggested = wrongness(np.array([0, 0]), probability, matrix)
    of = {j: np.log(probability[0, j] / 0.2) + 0.25 * np.log(matrix[j, 0] / 0.9) for j in (1, 2)}
    assert suggested[0] == max(of, key=lambda j: of[j]) == 1
    assert values[0] == pytest.approx(of[1])
    assert values[1] < 0
    np.testing.assert_allclose(confidence(values)[0], np.exp(of[1]) / (1 + np.exp(of[1])))
    assert most_wrong(np.array([1.0, 3.0, 3.0]), 2).tolist() == [False, True, True]
    assert most_wrong(np.array([3.0, 3.0]), 1).tolist() == [True, False]


def blobs(samples: int, classes: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """(N, 6) float32 features in well separated heaps, and their classes."""
    random = np.random.default_rng(seed)
    labels = np.arange(samples) % classes
    centres = random.normal(0, 4, (classes, 6))
    return (centres[labels] + random.normal(0, 1, (samples, 6))).astype(np.float32), labels


def flipped(labels: np.ndarray, rate: float, classes: int) -> np.ndarray:
    random = np.random.default_rng(5)
    wrong = random.random(len(labels)) < rate
    return np.where(wrong, (labels + random.integers(1, classes, len(labels))) % classes, labels)


def test_a_sample_is_predicted_by_others_alone_and_the_same_way_each_time() -> None:
    features, truth = blobs(120, 4)
    folds = np.arange(120) // 4 % 5
    given = flipped(truth, 0.2, 4)
    first, second = (out_of_sample(features, given, folds, 5, 0.1) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    np.testing.assert_allclose(first.sum(axis=1), 1)
    assert (first[:, 4] == 0).all(), "a class that no sample has"
    assert (first.argmax(axis=1) == truth).mean() > 0.95
    # other labels in a fold change the others' predictions, and none in it
    changed = np.where(folds == 2, (given + 1) % 4, given)
    again = out_of_sample(features, changed, folds, 5, 0.1)
    np.testing.assert_array_equal(again[folds == 2], first[folds == 2])
    assert (again[folds != 2] != first[folds != 2]).any()


def test_the_penalty_is_the_one_of_lowest_loss_on_other_folds() -> None:
    features, truth = blobs(120, 4)
    folds, given = np.arange(120) // 4 % 5, flipped(truth, 0.2, 4)
    losses = []
    for penalty in PENALTIES:
        probability = out_of_sample(features, given, folds, 4, penalty)
        losses.append(-np.log(probability[np.arange(120), given]).mean())
    assert choose_penalty(features, given, folds, 4, seed=0) == PENALTIES[int(np.argmin(losses))]


def test_nearest_are_those_of_largest_cosine_and_never_oneself() -> None:
    features, _ = blobs(40, 3)
    centred = features - features.mean(axis=0)
    centred /= np.linalg.norm(centred, axis=1, keepdims=True)
    products = centred @ centred.T
    np.fill_diagonal(products, -2)
    found = nearest(features, 3)
    np.testing.assert_array_equal(found.rows, np.argsort(-products, axis=1, kind="stable")[:, :3])
    np.testing.assert_allclose(found.similarity[:, 0], products.max(axis=1), rtol=1e-5)
    assert nearest(features[:2], 10).rows.shape == (2, 1)


@pytest.mark.parametrize("rate", [0.0, 0.2, 0.4])
def test_triplets_of_separated_heaps_tell_rate_and_matrix(rate: float) -> None:
    features, truth = blobs(3000, 4)
    given = flipped(truth, rate, 4)
    estimate, matrix = triplet_estimate(given, nearest(features, 2).rows, 4)
    assert estimate == pytest.approx(np.mean(given != truth), abs=0.03)
    np.testing.assert_allclose(matrix.sum(axis=1), 1)
    assert (matrix.argmax(axis=1) == np.arange(4)).all()


def test_simulated_labels_follow_the_matrix_and_the_seed() -> None:
    matrix = np.array([[0.7, 0.3, 0.0], [0.0, 1.0, 0.0], [0.1, 0.1, 0.8]])
    labels = np.repeat([0, 1, 2], 4000)
    drawn = draw_labels(labels, matrix, seed=3)
    shares = np.array([np.bincount(drawn[labels == label], minlength=3) for label in range(3)]) / 4000
    np.testing.assert_allclose(shares, matrix, atol=0.03)
    np.testing.assert_array_equal(drawn, draw_labels(labels, matrix, seed=3))
    assert (drawn != draw_labels(labels, matrix, seed=4)).any()


def verdict(agreement: float, bias: float) -> Verdict:
    return Verdict(agreement, 0.2, 0.15, 0.25, bias, None, np.eye(2))


def test_a_verdict_abstains_for_too_little_agreement_and_for_too_large_a_bias() -> None:
    assert verdict(0.7, 0.05).not_usable is None
    assert "agrees with 69.0%" in str(verdict(0.69, 0.0).not_usable)
    assert "6 percentage points too high" in str(verdict(0.9, 0.06).not_usable)
    assert verdict(0.9, 0.05).noise_rate == pytest.approx(0.15)
    assert verdict(0.9, 0.05).interval == pytest.approx((0.10, 0.25))
    assert verdict(0.9, -0.05).noise_rate == 0.2, "a bias the other way is not added"


def test_twins_are_exact_first_and_else_nearly_the_same() -> None:
    digests = [hashlib.sha256(text).digest() for text in (b"a", b"b", b"a", b"c")]
    near = Nearest(np.array([[1], [0], [1], [0]]), np.array([[0.99], [0.99], [0.5], [0.2]], np.float32))
    assert twins(digests, near) == {0: Twin(2, True), 2: Twin(0, True), 1: Twin(0, False)}
    assert twins(digests[1:2], None) == {}


def test_a_picture_is_unlike_all_where_its_nearest_is_far() -> None:
    similarity = np.array([0.80, 0.82, 0.81, 0.79, 0.80, 0.1], np.float32)[:, None]
    assert unlike_all(Nearest(np.zeros((6, 1), np.int64), similarity)).tolist() == [False] * 5 + [True]
    assert not unlike_all(Nearest(np.zeros((3, 1), np.int64), np.ones((3, 1), np.float32))).any()
