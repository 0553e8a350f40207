"""Mixup: its loss by hand over hundreds of steps, on a linear network that sees the mixed images, and its draws."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from tests.reference.selfie import cross_entropy
from trainer.methods.base import Batch
from trainer.methods.mixup import Mixup

CLASSES, STEPS, SIZE = 3, 200, 6


class Linear:
    """A `trainer.methods.base.Network` of one matrix."""

    def __init__(self, matrix: np.ndarray) -> None:
        self.matrix = matrix

    def __call__(self, images: Any, samples: Any = None) -> Any:
        return np.asarray(images).reshape(len(images), -1) @ self.matrix

    score = frozen = evaluate = averaged = __call__


def test_loss_is_the_paper_s_over_hundreds_of_steps(tf: Any) -> None:
    random, method = np.random.default_rng(0), Mixup(concentration=2.0)
    for _ in range(STEPS):
        images = random.normal(size=(SIZE, 2, 2, 1)).astype(np.float32)
        labels = random.integers(0, CLASSES, SIZE).astype(np.int32)
        matrix = random.normal(size=(4, CLASSES)).astype(np.float32)
        draws = method.draw(random, SIZE)
        batch = Batch(labels, (images,), draws, (True,))
        step = method.full_step(batch, (Linear(matrix),), {}, {})
        share, expected = float(draws["share"]), 0.0
        for place, partner in enumerate(draws["partner"]):
            mixed = [share * a + (1 - share) * b for a, b in zip(images[place].flat, images[partner].flat, strict=True)]
            logits = [math.fsum(x * w for x, w in zip(mixed, column, strict=True)) for column in matrix.T]
            expected += share * cross_entropy(logits, labels[place])
            expected += (1 - share) * cross_entropy(logits, labels[partner])
        np.testing.assert_allclose(float(step.losses[0]), expected / SIZE, rtol=1e-4)


@pytest.mark.parametrize("concentration", [0.2, 1.0, 16.0])
def test_shares_are_of_the_beta_distribution(concentration: float) -> None:
    random, method = np.random.default_rng(0), Mixup(concentration=concentration)
    shares = np.array([method.draw(random, 2)["share"] for _ in range(4000)])
    assert ((shares >= 0) & (shares <= 1)).all()
    variance = 1 / (4 * (2 * concentration + 1))
    assert abs(shares.mean() - 0.5) < 5 * math.sqrt(variance / len(shares))
    assert shares.var() == pytest.approx(variance, rel=0.1)


def test_partners_are_a_permutation() -> None:
    draws = Mixup().draw(np.random.default_rng(3), 50)
    assert sorted(draws["partner"].tolist()) == list(range(50))
    assert draws["partner"].dtype == np.int32
    assert draws["share"].dtype == np.float32
