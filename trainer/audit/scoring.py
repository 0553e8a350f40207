"""Evidence -> a suspicion and a suggested label for each sample, and which samples are suspects.

**Suspicion.** With l the mean loss of a sample over its training forward passes, exp(-l) is the geometric mean of the
probabilities that the network gave its label, the "self-confidence" of confident learning taken over a whole training;
l alone is what O2U-Net ranks by. Both classes' ease and the label's rival count as well:

    suspicion = (1 + p[j] - exp(-l / L)) / 2    with j the likeliest other label, p the mean probabilities, and L the
                                                mean of l over all samples with this given label

so it lies in [0, 1], is large where another label was likely while the given one was unlikely for its class, and is a
rank, no probability. A network memorises wrong labels late: means over the training tell them where its end does not.

**Suspects** are the samples of highest suspicion, as many as the noise rate says. Where no rate was told they are as
many as the off-diagonal of the confident joint counts.

Northcutt, Jiang, Chuang: "Confident Learning: Estimating Uncertainty in Dataset Labels", JAIR 2021 (self-confidence and
normalised margin, section 3; confident joint, eq. 1). Huang, Qu, Jia, Zhao: "O2U-Net: A Simple Noisy Label Detection
Approach for Deep Neural Networks", ICCV 2019. Pleiss, Zhang, Elenberg, Weinberger: "Identifying Mislabeled Data using
the Area Under the Margin Ranking", NeurIPS 2020 (margins averaged over a training). docs/decisions/0016-relabel.md
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from trainer.audit.evidence import Evidence
from trainer.errors import TrainerError

BY_OPTION, BY_RUN, BY_CONFIDENT_JOINT = "--noise-rate", "rate told to the run", "confident joint"


@dataclass(frozen=True)
class Verdict:
    """What is thought of each training sample, in id order.

    Attributes:
        suspicion: (N,) float64 in [0, 1]; not-a-number where held out.
        suggested_labels: (N,) int64, never the given label; -1 where held out.
        confidence: (N,) float64 in [0, 1], the suggested label's part of the probability of all labels but the given:
            how sure the suggestion is if the given label is wrong; not-a-number where held out.
        loss_rank: (N,) int64, 1 for the largest mean loss; 0 where held out.
        suspects: (N,) bool. count_from: who says how many, one of the BY_ names. noise_rate: the rate that was used,
            None for the confident joint.
        order: ids, most suspicious first, held-out samples last; of equals the lower id first.
    """

    suspicion: np.ndarray
    suggested_labels: np.ndarray
    confidence: np.ndarray
    loss_rank: np.ndarray
    suspects: np.ndarray
    count_from: str
    noise_rate: float | None
    order: np.ndarray


def judge(evidence: Evidence, noise_rate: float | None = None) -> Verdict:
    """Score the samples of a run.

    Args:
        noise_rate: share of suspects among the samples trained on; None for the rate that the run's method was told,
            or, where that is 0, what the confident joint counts.

    Raises:
        TrainerError: a rate outside [0, 1).
    """
    if noise_rate is not None and not 0 <= noise_rate < 1:
        raise TrainerError(f"--noise-rate {noise_rate}: a fraction in [0, 1) is expected")
    rows = np.flatnonzero(~evidence.held_out)
    count = len(evidence.given_labels)
    labels, loss = evidence.given_labels[rows], evidence.mean_loss[rows]
    probability = evidence.mean_probability[rows]
    suggested = suggest(probability, labels, evidence.replacing_label[rows])
    likeliest = suggest(probability, labels)
    suspicion = np.full(count, np.nan)
    suspicion[rows] = suspicions(loss, probability, labels, likeliest)
    suggested_labels = np.full(count, -1)
    suggested_labels[rows] = suggested
    confidence = np.full(count, np.nan)
    confidence[rows] = _share_of_others(probability, labels, suggested)
    loss_rank = np.zeros(count, np.int64)
    loss_rank[rows[np.lexsort((rows, -loss))]] = np.arange(1, len(rows) + 1)
    order = np.lexsort((np.arange(count), -suspicion))  # not-a-number comes last
    suspect_count, count_from, rate = _how_many(evidence, noise_rate, probability, labels)
    suspects = np.zeros(count, bool)
    suspects[order[:suspect_count]] = True
    return Verdict(suspicion, suggested_labels, confidence, loss_rank, suspects, count_from, rate, order)


def suspicions(loss: np.ndarray, probability: np.ndarray, labels: np.ndarray, others: np.ndarray) -> np.ndarray:
    """(N,) suspicion in [0, 1], as the module's head says.

    Args:
        loss: (N,) mean loss. probability: (N, K) mean probabilities. labels: (N,) given. others: (N,) likeliest other
            labels.
    """
    num_classes = probability.shape[1]
    counts = np.bincount(labels, minlength=num_classes)
    class_loss = np.bincount(labels, weights=loss, minlength=num_classes) / np.maximum(counts, 1)
    label_loss = class_loss[labels]
    relative = np.divide(loss, label_loss, out=np.zeros_like(loss), where=label_loss > 0)
    rival = np.clip(probability[np.arange(len(labels)), others], 0.0, 1.0)
    return np.asarray((1 + rival - np.exp(-relative)) / 2)


def suggest(probability: np.ndarray, labels: np.ndarray, replacing: np.ndarray | None = None) -> np.ndarray:
    """(N,) int64 label to take instead of the given: the method's own where it is another, else the likeliest.

    Args:
        probability: (N, K). labels: (N,) given. replacing: (N,), what the method took instead, -1 where nothing.
    """
    others = probability.copy()
    others[np.arange(len(labels)), labels] = -1.0
    likeliest = others.argmax(axis=1)
    if replacing is None:
        return np.asarray(likeliest)
    return np.where((replacing >= 0) & (replacing != labels), replacing, likeliest)


def confident_joint(probability: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """(K, K) int64: samples with the given label in the row that are confidently of the class in the column.

    A sample counts for the likeliest of the classes whose probability reaches the mean that the samples with this given
    label have for it; for none where it reaches none. (Northcutt et al. 2021, eq. 1 and 2.)

    Args:
        probability: (N, K). labels: (N,) given.
    """
    num_classes = probability.shape[1]
    counts = np.bincount(labels, minlength=num_classes)
    label_probability = probability[np.arange(len(labels)), labels]
    sums = np.bincount(labels, weights=label_probability, minlength=num_classes)
    # a class that no sample has cannot be reached
    thresholds = np.where(counts > 0, sums / np.maximum(counts, 1), np.inf)
    reached = np.where(probability >= thresholds, probability, -1.0)
    is_counted = reached.max(axis=1) >= 0
    pairs = labels[is_counted] * num_classes + reached.argmax(axis=1)[is_counted]
    return np.bincount(pairs, minlength=num_classes**2).reshape(num_classes, num_classes)


def _share_of_others(probability: np.ndarray, labels: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    rows = np.arange(len(labels))
    others = probability.sum(axis=1) - probability[rows, labels]
    part = probability[rows, chosen]
    return np.clip(np.divide(part, others, out=np.zeros_like(part), where=others > 0), 0.0, 1.0)


def _how_many(
    evidence: Evidence, asked: float | None, probability: np.ndarray, labels: np.ndarray
) -> tuple[int, str, float | None]:
    """How many suspects, who says so, and the rate where it was one."""
    rate = evidence.noise_rate if asked is None else asked
    if asked is None and rate == 0:
        joint = confident_joint(probability, labels)
        return int(joint.sum() - np.trace(joint)), BY_CONFIDENT_JOINT, None
    return int(np.floor(rate * len(labels) + 0.5)), BY_RUN if asked is None else BY_OPTION, rate
