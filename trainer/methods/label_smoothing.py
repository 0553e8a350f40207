"""Label smoothing (Szegedy, Vanhoucke, Ioffe, Shlens, Wojna: "Rethinking the Inception Architecture for Computer
Vision", CVPR 2016, section 7), which Lukasik, Bhojanapalli, Menon, Kumar ("Does Label Smoothing Mitigate Label Noise?",
ICML 2020) found to help against label noise.

| paper | here |
| --- | --- |
| ε, the uniform distribution's share | `smoothing` |
| q'(k) = (1 - ε) δ_{k, y} + ε / K | the target of the cross-entropy |
"""

from __future__ import annotations

from dataclasses import dataclass

from trainer import ops
from trainer.methods.base import Method, Step, Tensor, cross_entropy
from trainer.settings import setting


@dataclass(frozen=True)
class LabelSmoothing(Method):
    """Trains on the given labels mixed with the uniform distribution."""

    smoothing: float = setting(
        "Share of the uniform distribution in each label, ε, in [0, 1].",
        default=0.1,
        source="Szegedy et al., section 7",
        minimum=0,
        maximum=1,
    )

    name = "label-smoothing"
    title = "cross-entropy against the given labels mixed with the uniform distribution"
    paper = (
        "Szegedy, Vanhoucke, Ioffe, Shlens, Wojna: Rethinking the Inception Architecture for Computer Vision, CVPR "
        "2016; Lukasik, Bhojanapalli, Menon, Kumar: Does Label Smoothing Mitigate Label Noise?, ICML 2020"
    )

    def step(
        self, labels: Tensor, logits: tuple[Tensor, ...], rows: dict[str, Tensor], schedule: dict[str, Tensor]
    ) -> Step:
        log_p = ops.log_softmax(logits[0])
        uniform = -ops.mean(log_p, axis=-1)
        losses = (1 - self.smoothing) * cross_entropy(labels, log_p) + self.smoothing * uniform
        return Step(losses=(ops.mean(losses),), rows=rows)
