"""Symmetric cross-entropy (Wang, Ma, Chen, Luo, Yi, Bailey: "Symmetric Cross Entropy for Robust Learning with Noisy
Labels", ICCV 2019), the paper's symmetric learning, SL.

| paper | here |
| --- | --- |
| p(k given x), q(k given x) | softmax of the logits; the given label as one-hot |
| ℓ_ce = -Σ_k q log p | `cross_entropy` |
| ℓ_rce = -Σ_k p log q, with log 0 := A | `reverse_cross_entropy` |
| α, β | `ce_weight`, `rce_weight` |
| A | `log_of_zero` |

The loss of a sample is α ℓ_ce + β ℓ_rce. The authors' code clips q at 1e-4, which makes A = ln 1e-4 = -9.21, and p at
1e-7, which takes the gradient from samples of less; here p is not clipped.
"""

from __future__ import annotations

from dataclasses import dataclass

from trainer import ops
from trainer.methods.base import Method, Step, Tensor, cross_entropy, reverse_cross_entropy
from trainer.settings import setting

LOG_OF_ZERO = -4.0
"""A of the paper."""


@dataclass(frozen=True)
class Sce(Method):
    """Trains by cross-entropy and its reverse, in which label and prediction change places."""

    ce_weight: float = setting(
        "Weight of the cross-entropy, α; 6 for CIFAR-100.", default=0.1, source="Wang et al., for CIFAR-10", minimum=0
    )
    rce_weight: float = setting(
        "Weight of the reverse cross-entropy, β; 0.1 for CIFAR-100.",
        default=1.0,
        source="Wang et al., for CIFAR-10",
        minimum=0,
    )
    log_of_zero: float = setting(
        "What stands for log 0 in the reverse cross-entropy, A, below 0; -9.21 in the authors' code.",
        default=LOG_OF_ZERO,
        source="Wang et al.",
        below=0,
    )

    name = "sce"
    title = "cross-entropy, and its reverse with label and prediction exchanged"
    paper = "Wang, Ma, Chen, Luo, Yi, Bailey: Symmetric Cross Entropy for Robust Learning with Noisy Labels, ICCV 2019"

    def step(
        self, labels: Tensor, logits: tuple[Tensor, ...], rows: dict[str, Tensor], schedule: dict[str, Tensor]
    ) -> Step:
        ce = cross_entropy(labels, ops.log_softmax(logits[0]))
        losses = self.ce_weight * ce + self.rce_weight * reverse_cross_entropy(ce, self.log_of_zero)
        return Step(losses=(ops.mean(losses),), rows=rows)
