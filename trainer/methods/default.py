"""Default: cross-entropy on all samples with their given labels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from trainer import ops
from trainer.methods.base import Method, Step, Tensor, check_options, cross_entropy


@dataclass(frozen=True)
class Default(Method):
    """Plain training: every label is taken at its word."""

    name = "default"
    title = "cross-entropy on all samples with their given labels"
    paper = "plain training, the baseline of all"

    @classmethod
    def from_options(cls, epochs: int, given: Mapping[str, Any], variant: str = "paper") -> Default:
        check_options(cls, given, variant)
        return cls()

    def step(
        self, labels: Tensor, logits: tuple[Tensor, ...], rows: dict[str, Tensor], schedule: dict[str, Tensor]
    ) -> Step:
        (own_logits,) = logits
        losses = cross_entropy(labels, ops.log_softmax(own_logits))
        return Step(losses=(ops.mean(losses),), rows=rows)
