"""Bootstrapping (Reed, Lee, Anguelov, Szegedy, Erhan, Rabinovich: "Training Deep Neural Networks on Noisy Labels with
Bootstrapping", ICLR 2015 workshop), soft and hard.

| paper | here |
| --- | --- |
| q, the predicted probabilities | p |
| z, the likeliest class as one-hot | `argmax` of the logits, the lowest of equal ones |
| t, the given label | `labels` |
| β, the label's share in the target | `label_share` |

Soft: -Σ_k (β t_k + (1 - β) q_k) log q_k, with the gradient through both q, so that it is cross-entropy and an entropy
to be lowered. Hard: -Σ_k (β t_k + (1 - β) z_k) log q_k; z has no gradient.
"""

from __future__ import annotations

from dataclasses import dataclass

from trainer import ops
from trainer.methods.base import Method, Step, Tensor, cross_entropy
from trainer.settings import Derived, setting

LABEL_SHARES = {"soft": 0.95, "hard": 0.8}
"""β of the paper, by kind."""


@dataclass(frozen=True, kw_only=True)
class Bootstrapping(Method):
    """Trains on the given labels mixed with the network's own predictions."""

    kind: str = setting(
        "What is mixed into a label. soft: the predicted probabilities; hard: the likeliest class.",
        default="soft",
        source="Reed et al.",
        choices=tuple(LABEL_SHARES),
    )
    label_share: float = setting(
        "The given label's share in the target, β, in [0, 1].",
        default=Derived("0.95 for soft, 0.8 for hard", lambda values: LABEL_SHARES[values["kind"]]),
        source="Reed et al.",
        minimum=0,
        maximum=1,
    )

    name = "bootstrapping"
    title = "cross-entropy against the given labels mixed with the network's own predictions"
    paper = (
        "Reed, Lee, Anguelov, Szegedy, Erhan, Rabinovich: Training Deep Neural Networks on Noisy Labels with "
        "Bootstrapping, ICLR 2015 workshop"
    )

    def step(
        self, labels: Tensor, logits: tuple[Tensor, ...], rows: dict[str, Tensor], schedule: dict[str, Tensor]
    ) -> Step:
        (own_logits,) = logits
        log_p = ops.log_softmax(own_logits)
        if self.kind == "soft":
            of_prediction = -ops.sum(ops.exp(log_p) * log_p, axis=-1)
        else:
            of_prediction = cross_entropy(ops.argmax(own_logits, axis=-1), log_p)
        losses = self.label_share * cross_entropy(labels, log_p) + (1 - self.label_share) * of_prediction
        return Step(losses=(ops.mean(losses),), rows=rows)
