"""Default: cross-entropy on all samples with their given labels."""

from __future__ import annotations

from dataclasses import dataclass

from trainer import ops
from trainer.methods.base import Method, Step, Tensor, cross_entropy


@dataclass(frozen=True)
class Default(Method):
    """Plain training: every label is taken at its word."""

    name = "default"
    title = "cross-entropy on all samples with their given labels"
    paper = "plain training, the baseline of all"

    def step(
        self, labels: Tensor, logits: tuple[Tensor, ...], rows: dict[str, Tensor], schedule: dict[str, Tensor]
    ) -> Step:
        (own_logits,) = logits
        losses = cross_entropy(labels, ops.log_softmax(own_logits))
        return Step(losses=(ops.mean(losses),), rows=rows)
