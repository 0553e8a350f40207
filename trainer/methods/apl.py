"""Active passive loss (Ma, Huang, Wang, Romano, Erfani, Bailey: "Normalized Loss Functions for Deep Learning with Noisy
Labels", ICML 2020), its combination NCE + RCE.

| paper | here |
| --- | --- |
| NCE = log p_y / Σ_k log p_k, the active loss | cross-entropy over the sum of the cross-entropies of all labels |
| RCE = -Σ_k p_k log q_k, with log 0 := A, the passive loss | `reverse_cross_entropy`, as in SCE |
| α, β | `active_weight`, `passive_weight` |
| A | `log_of_zero` |

The loss of a sample is α NCE + β RCE. The authors' code clips q at 1e-4, which makes A = ln 1e-4 = -9.21.
"""

from __future__ import annotations

from dataclasses import dataclass

from trainer import ops
from trainer.methods.base import Method, Step, Tensor, cross_entropy, reverse_cross_entropy
from trainer.methods.sce import LOG_OF_ZERO
from trainer.settings import setting


@dataclass(frozen=True)
class Apl(Method):
    """Trains by normalised and by reverse cross-entropy, each robust to noise and together able to fit."""

    active_weight: float = setting(
        "Weight of the normalised cross-entropy, α; 10 for CIFAR-100.",
        default=1.0,
        source="Ma et al., for CIFAR-10",
        minimum=0,
    )
    passive_weight: float = setting(
        "Weight of the reverse cross-entropy, β; 0.1 for CIFAR-100.",
        default=1.0,
        source="Ma et al., for CIFAR-10",
        minimum=0,
    )
    log_of_zero: float = setting(
        "What stands for log 0 in the reverse cross-entropy, A, below 0; -9.21 in the authors' code.",
        default=LOG_OF_ZERO,
        source="SCE's paper",
        below=0,
    )

    name = "apl"
    title = "normalised and reverse cross-entropy (active passive loss, NCE + RCE)"
    paper = (
        "Ma, Huang, Wang, Romano, Erfani, Bailey: Normalized Loss Functions for Deep Learning with Noisy Labels, "
        "ICML 2020"
    )

    def step(
        self, labels: Tensor, logits: tuple[Tensor, ...], rows: dict[str, Tensor], schedule: dict[str, Tensor]
    ) -> Step:
        log_p = ops.log_softmax(logits[0])
        ce = cross_entropy(labels, log_p)
        normalised = ce / -ops.sum(log_p, axis=-1)
        losses = self.active_weight * normalised + self.passive_weight * reverse_cross_entropy(ce, self.log_of_zero)
        return Step(losses=(ops.mean(losses),), rows=rows)
