"""Suspicions, suggestions and their number: small cases worked out by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.relabel_runs import WRONG, finished, noisy
from trainer.audit.evidence import read_evidence
from trainer.audit.scoring import (
    BY_CONFIDENT_JOINT,
    BY_OPTION,
    BY_RUN,
    confident_joint,
    judge,
    suggest,
    suspicions,
)


def test_suspicion_of_three_samples_worked_out_by_hand() -> None:
    probability = np.array([[0.8, 0.1, 0.1], [0.2, 0.7, 0.1], [0.3, 0.3, 0.4]])
    labels, loss = np.array([0, 0, 2]), np.array([0.5, 1.5, 3.0])
    others = suggest(probability, labels)
    assert others.tolist() == [1, 1, 0]
    scores = suspicions(loss, probability, labels, others)
    # class 0's mean loss is 1, class 2's is 3: relative losses 0.5, 1.5 and 1
    expected = [(1 + 0.1 - np.exp(-0.5)) / 2, (1 + 0.7 - np.exp(-1.5)) / 2, (1 + 0.3 - np.exp(-1.0)) / 2]
    assert scores == pytest.approx(expected, abs=1e-15)


def test_a_class_without_any_loss_is_trusted() -> None:
    scores = suspicions(np.zeros(2), np.array([[1.0, 0.0], [1.0, 0.0]]), np.array([0, 0]), np.array([1, 1]))
    assert scores.tolist() == [0.0, 0.0]


def test_the_refurbished_label_is_suggested_where_it_is_another() -> None:
    probability = np.array([[0.5, 0.3, 0.2]] * 3)
    assert suggest(probability, np.zeros(3, int), np.array([-1, 0, 2])).tolist() == [1, 1, 2]


def test_the_confident_joint_of_five_samples_worked_out_by_hand() -> None:
    probability = np.array([[0.9, 0.1], [0.7, 0.3], [0.2, 0.8], [0.1, 0.9], [0.45, 0.55]])
    labels = np.array([0, 0, 0, 1, 1])
    # thresholds: class 0 (0.9 + 0.7 + 0.2) / 3 = 0.6, class 1 (0.9 + 0.55) / 2 = 0.725; the last reaches neither
    assert confident_joint(probability, labels).tolist() == [[2, 1], [0, 1]]


def test_a_class_that_no_sample_has_is_never_confident() -> None:
    assert confident_joint(np.array([[0.1, 0.9]]), np.array([0])).tolist() == [[1, 0], [0, 0]]


@given(
    st.integers(2, 5).flatmap(
        lambda k: st.lists(
            st.tuples(st.integers(0, k - 1), st.lists(st.floats(0.01, 1), min_size=k, max_size=k), st.floats(0, 50)),
            min_size=1,
            max_size=12,
        )
    )
)
def test_scores_stay_in_range_and_suggestions_are_changes(drawn: list[tuple[int, list[float], float]]) -> None:
    labels = np.array([label for label, _, _ in drawn])
    probability = np.array([row for _, row, _ in drawn])
    probability /= probability.sum(axis=1, keepdims=True)
    others = suggest(probability, labels)
    scores = suspicions(np.array([loss for _, _, loss in drawn]), probability, labels, others)
    assert ((scores >= 0) & (scores <= 1)).all()
    assert (others != labels).all()
    joint = confident_joint(probability, labels)
    assert (joint.sum(axis=1) <= np.bincount(labels, minlength=len(joint))).all()


def test_a_run_that_was_told_a_rate_suspects_so_many(run: Path) -> None:
    verdict = judge(read_evidence(run))
    assert (verdict.suspects.sum(), verdict.count_from, verdict.noise_rate) == (10, BY_RUN, 0.25)
    assert set(np.flatnonzero(verdict.suspects)) >= set(np.flatnonzero(WRONG)) - {0, 4}
    verdict = judge(read_evidence(run), 0.1)
    assert (verdict.suspects.sum(), verdict.count_from, verdict.noise_rate) == (4, BY_OPTION, 0.1)
    assert verdict.suspects[verdict.order[:4]].all()


def test_a_run_that_was_told_nothing_suspects_what_the_confident_joint_counts(tmp_path: Path) -> None:
    verdict = judge(read_evidence(finished(tmp_path / "run", noisy(tmp_path / "noisy"), noise_rate=0.0)))
    assert (verdict.count_from, verdict.noise_rate) == (BY_CONFIDENT_JOINT, None)
    assert set(np.flatnonzero(verdict.suspects)) == set(np.flatnonzero(WRONG)) - {0, 4}
    assert judge(read_evidence(tmp_path / "run"), 0.0).suspects.sum() == 0


def test_equal_suspicion_goes_by_id(run: Path) -> None:
    verdict = judge(read_evidence(run))
    pairs = list(zip((-verdict.suspicion[verdict.order]).tolist(), verdict.order.tolist(), strict=True))
    assert pairs == sorted(pairs)
