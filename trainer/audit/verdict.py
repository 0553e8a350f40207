"""How many labels are wrong, and whether that figure may be used.

Three figures are put side by side:

- the **confident joint** (`estimation`) counts what the model confidently contradicts. What the model cannot learn
  counts as well, so it is too high where features are weak or samples few;
- its **bias** is measured by simulation: suspected labels are replaced by the suggested ones, which gives a dataset
  like this one whose labels are known; noise of the estimated matrix is drawn on it, and the joint counted again by the
  same folds and penalty. What it finds beyond what was drawn is taken off: that is the headline;
- **neighbours** in feature space (`neighbours`) tell a second rate, by other assumptions.

The rate is "not usable" where the model agrees with too few of the labels that it has not seen, or where the bias is
large: it is stated then, and nothing is made of it. Both bounds are from folders and label sets whose truth is known
(docs/decisions/0028-audit.md), and such is the promise: on those no usable rate was off by more than 0.05.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from datatools.seeding import uniforms
from trainer.audit.estimation import INTERVAL, bootstrap_rows, joint_distribution, rate_of, transition_matrix
from trainer.audit.label_errors import find_suspects

LEAST_AGREEMENT = 0.7
LARGEST_BIAS = 0.05
SURE_NOISE = 0.05
"""Changes are suggested where the low end of the noise rate is at least so high: where fewer labels are wrong, a
suggestion is as likely to be."""

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Verdict:
    """What is thought of all labels together.

    Attributes:
        agreement: share of the given labels that the model predicts for samples it has not seen.
        confident_joint: noise rate by it; low, high: its interval, of a bootstrap over samples.
        bias: how much too high that is, by simulation; noise_rate: without it.
        neighbours: noise rate by neighbours, or None.
        matrix: (K, K) float64 T[true, given] by the confident joint.
    """

    agreement: float
    confident_joint: float
    low: float
    high: float
    bias: float
    neighbours: float | None
    matrix: np.ndarray

    @property
    def noise_rate(self) -> float:
        return max(0.0, self.confident_joint - max(0.0, self.bias))

    @property
    def interval(self) -> tuple[float, float]:
        """Of the noise rate: of the samples drawn, and from without the bias to with all of it."""
        return max(0.0, self.low - max(0.0, self.bias)), self.high

    @property
    def suggests_changes(self) -> bool:
        """Whether labels may be changed that nobody has looked at."""
        return self.not_usable is None and self.interval[0] >= SURE_NOISE

    @property
    def not_usable(self) -> str | None:
        """Why the rate may not be used, in one line; None where it may."""
        if self.agreement < LEAST_AGREEMENT:
            return (
                f"the model agrees with {self.agreement:.1%} of the labels that it has not seen, {LEAST_AGREEMENT:.0%} "
                "are needed: many labels are wrong, or these features tell the classes badly apart"
            )
        if self.bias > LARGEST_BIAS:
            return (
                f"on labels like these the estimate is about {100 * self.bias:.0f} percentage points too high, "
                f"{100 * LARGEST_BIAS:.0f} are allowed: there are too few images for these features"
            )
        return None


def judge_labels(
    labels: np.ndarray,
    probability: np.ndarray,
    predict_again: Callable[[np.ndarray], np.ndarray],
    seed: int,
    repeats: int,
    neighbour_rate: float | None = None,
    progress: Progress = lambda done, total: None,
) -> Verdict:
    """Estimate the noise of (N,) given labels.

    Args:
        probability: (N, K) float64, out of sample. predict_again: from other (N,) labels of the same samples to such
            probabilities. repeats: of the bootstrap. progress: called with (repeats done, in all).

    Raises:
        TrainerError: cleanlab is not installed.
    """
    joint = joint_distribution(labels, probability)
    matrix = transition_matrix(joint)
    rate = rate_of(joint)
    # The bias, where labels are known
    suspects = find_suspects(labels, probability, matrix, rate)
    known = np.where(suspects.are, suspects.suggested, labels)
    drawn = draw_labels(known, matrix, seed)
    bias = rate_of(joint_distribution(drawn, predict_again(drawn))) - float(np.mean(drawn != known))
    # The interval
    rates = np.empty(repeats)
    for number in range(repeats):
        rows = bootstrap_rows(len(labels), seed, number)
        rates[number] = rate_of(joint_distribution(labels[rows], probability[rows]))
        progress(number + 1, repeats)
    low, high = np.percentile(rates, INTERVAL)
    return Verdict(
        agreement=float(np.mean(probability.argmax(axis=1) == labels)),
        confident_joint=rate,
        low=min(float(low), rate),
        high=max(float(high), rate),
        bias=bias,
        neighbours=neighbour_rate,
        matrix=matrix,
    )


def draw_labels(labels: np.ndarray, matrix: np.ndarray, seed: int) -> np.ndarray:
    """(N,) int64 noisy labels of known ones, drawn from their rows of T[true, given]: a function of (seed, sample)."""
    cumulative = np.cumsum(matrix, axis=1)[labels]
    lots = uniforms(seed, "audit simulation", np.arange(len(labels))) * cumulative[:, -1]
    return np.asarray((cumulative <= lots[:, None]).sum(axis=1).clip(max=len(matrix) - 1))
