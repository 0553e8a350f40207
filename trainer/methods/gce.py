"""Generalised cross-entropy (Zhang, Sabuncu: "Generalized Cross Entropy Loss for Training Deep Neural Networks with
Noisy Labels", NeurIPS 2018), the loss L_q.

| paper | here |
| --- | --- |
| f_y(x), the probability of the label | exp(-cross-entropy) |
| q | `exponent` |
| L_q = (1 - f_y(x)^q) / q | the loss of a sample |

q = 1 is 1 - p, half the mean absolute error; towards q = 0 it becomes cross-entropy. The paper's truncated variant is
left out: it prunes samples between epochs by the probabilities of the best network so far.
"""

from __future__ import annotations

from dataclasses import dataclass

from trainer import ops
from trainer.methods.base import Method, Step, Tensor, cross_entropy
from trainer.settings import setting


@dataclass(frozen=True)
class Gce(Method):
    """Trains by a loss between cross-entropy and mean absolute error."""

    exponent: float = setting(
        "q, in (0, 1]: near 0 the loss is cross-entropy, at 1 it is 1 - p, half the mean absolute error.",
        default=0.7,
        source="Zhang, Sabuncu",
        above=0,
        maximum=1,
    )

    name = "gce"
    title = "generalised cross-entropy, between cross-entropy and mean absolute error"
    paper = (
        "Zhang, Sabuncu: Generalized Cross Entropy Loss for Training Deep Neural Networks with Noisy Labels, "
        "NeurIPS 2018"
    )

    def step(
        self, labels: Tensor, logits: tuple[Tensor, ...], rows: dict[str, Tensor], schedule: dict[str, Tensor]
    ) -> Step:
        # p^q as exp(q log p): its gradient stays finite where p is 0
        log_p = -cross_entropy(labels, ops.log_softmax(logits[0]))
        losses = -ops.expm1(self.exponent * log_p) / self.exponent
        return Step(losses=(ops.mean(losses),), rows=rows)
