"""The losses of one sample that need nothing but its logits and its label, in plain Python and float64.

Each is its paper's formula, written from the description alone as a sum over the classes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from tests.reference.selfie import cross_entropy, softmax


def against(targets: Sequence[float], logits: Sequence[float]) -> float:
    """-Σ_k target_k log p_k."""
    return math.fsum(target * cross_entropy(logits, k) for k, target in enumerate(targets))


def label_smoothing(logits: Sequence[float], label: int, smoothing: float) -> float:
    """Szegedy et al. 2016: the label keeps 1 - ε, and ε is shared by all classes, the label's among them."""
    num_classes = len(logits)
    targets = [smoothing / num_classes] * num_classes
    targets[label] += 1 - smoothing
    return against(targets, logits)


def soft_bootstrapping(logits: Sequence[float], label: int, label_share: float) -> float:
    """Reed et al. 2015: the rest of the target is the prediction."""
    targets = [(1 - label_share) * p for p in softmax(logits)]
    targets[label] += label_share
    return against(targets, logits)


def hard_bootstrapping(logits: Sequence[float], label: int, label_share: float) -> float:
    """Reed et al. 2015: the rest of the target is the likeliest class."""
    targets = [0.0] * len(logits)
    targets[label] += label_share
    targets[max(range(len(logits)), key=lambda k: logits[k])] += 1 - label_share
    return against(targets, logits)


def gce(logits: Sequence[float], label: int, exponent: float) -> float:
    """Zhang, Sabuncu 2018: (1 - p^q) / q."""
    return float((1 - softmax(logits)[label] ** exponent) / exponent)


def reverse_cross_entropy(logits: Sequence[float], label: int, log_of_zero: float) -> float:
    """-Σ_k p_k log q_k of the one-hot label q."""
    return -math.fsum(p * (0.0 if k == label else log_of_zero) for k, p in enumerate(softmax(logits)))


def sce(logits: Sequence[float], label: int, ce_weight: float, rce_weight: float, log_of_zero: float) -> float:
    """Wang et al. 2019: α CE + β RCE."""
    return ce_weight * cross_entropy(logits, label) + rce_weight * reverse_cross_entropy(logits, label, log_of_zero)


def apl(logits: Sequence[float], label: int, active_weight: float, passive_weight: float, log_of_zero: float) -> float:
    """Ma et al. 2020: α NCE + β RCE, NCE the label's share in the cross-entropies of all labels."""
    of_all = [cross_entropy(logits, k) for k in range(len(logits))]
    normalised = of_all[label] / math.fsum(of_all)
    return active_weight * normalised + passive_weight * reverse_cross_entropy(logits, label, log_of_zero)
