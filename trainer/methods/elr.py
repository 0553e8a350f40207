"""Early-learning regularisation (Liu, Niles-Weed, Razavian, Fernandez-Granda: "Early-Learning Regularization Prevents
Memorization of Noisy Labels", NeurIPS 2020), ELR with one network.

| paper | here |
| --- | --- |
| p, the predicted probabilities | softmax of the logits, clipped to [1e-4, 1 - 1e-4] as in the authors' code |
| t, the target | memory `target` (N, K), which starts at 0 |
| β, momentum of the target | `target_momentum` |
| λ, weight of the regularisation | `regularisation` |

The loss of a mini-batch is the mean of the cross-entropy and of λ log(1 - ⟨p, t⟩). A sample's target is moved first,
t ← β t + (1 - β) p / Σp, and then used; no gradient goes through it. The sum over p is not 1 where p is clipped.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from trainer import ops
from trainer.methods.base import Method, Step, Tensor, cross_entropy
from trainer.settings import setting

CLIP = 1e-4
"""How near to 0 and to 1 a probability comes, which keeps 1 - ⟨p, t⟩ above 0."""


@dataclass(frozen=True)
class Elr(Method):
    """Holds the network to what it predicted early on, before it memorises wrong labels."""

    regularisation: float = setting(
        "Weight of the regularisation, λ; 7 for CIFAR-100, 1 for asymmetric noise on CIFAR-10.",
        default=3.0,
        source="ELR's code, for CIFAR-10",
        minimum=0,
        by_noise=True,
    )
    target_momentum: float = setting(
        "Share of a sample's target that stays at each visit, β, in [0, 1); 0.9 for CIFAR-100 and for asymmetric "
        "noise on CIFAR-10.",
        default=0.7,
        source="ELR's code, for CIFAR-10",
        minimum=0,
        below=1,
        by_noise=True,
    )

    name = "elr"
    title = "cross-entropy, regularised towards a moving average of past predictions"
    paper = (
        "Liu, Niles-Weed, Razavian, Fernandez-Granda: Early-Learning Regularization Prevents Memorization of Noisy "
        "Labels, NeurIPS 2020"
    )

    def memory(self, num_samples: int, num_classes: int) -> dict[str, np.ndarray]:
        return {"target": np.zeros((num_samples, num_classes), np.float32)}

    def step(
        self, labels: Tensor, logits: tuple[Tensor, ...], rows: dict[str, Tensor], schedule: dict[str, Tensor]
    ) -> Step:
        log_p = ops.log_softmax(logits[0])
        p = ops.clip(ops.exp(log_p), CLIP, 1 - CLIP)
        normalised = ops.stop_gradient(p / ops.sum(p, axis=-1, keepdims=True))
        target = self.target_momentum * rows["target"] + (1 - self.target_momentum) * normalised
        agreement = ops.sum(p * target, axis=-1)
        losses = cross_entropy(labels, log_p) + self.regularisation * ops.log(1 - agreement)
        return Step(losses=(ops.mean(losses),), rows={"target": target})
