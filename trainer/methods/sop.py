"""Sparse over-parameterization (Liu, Zhu, Qu, You: "Robust Training under Label Noise by Over-parameterization",
ICML 2022), Algorithm 1, and its SOP+ by two options.

| paper | here |
| --- | --- |
| p = f(θ; x), the predicted probabilities | softmax of the logits |
| u_i, v_i, which make up the noise of label i | learned rows `u` (N, 1) and `v` (N, K) |
| s_i = u_i ⊙ u_i ⊙ y_i - v_i ⊙ v_i ⊙ (1 - y_i) | `raised` - `lowered`, each at most 1 - 1e-4 as in the authors' code |
| φ(p + s), made to sum to 1 | `prediction`, clipped at 1e-4 before and after as in the authors' code |
| L_CE, by which θ and u learn | cross-entropy of the given labels and `prediction` |
| L_MSE, by which v learns | `misfit`, of the predicted class in one-hot form |
| α_u, α_v | `u_learning_rate`, `v_learning_rate`, those of plain gradient descent, constant |
| λ_C, SOP+'s consistency of two views of an image | `consistency` |
| λ_B, SOP+'s balance of the classes | `balance` |

A label that the network contradicts is explained by its u instead of being learned: once u² is near 1, the prediction
has the label whatever p is, and the gradient that would have taught it is gone.

The authors draw u and v from a normal distribution of deviation 1e-8. Only their squares count, and here all start at
that deviation: they grow by a factor at each visit, so that where they start from is soon forgotten.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from trainer import ops
from trainer.methods.base import TRAIN_VIEW, Batch, Learned, Method, Network, Step, Tensor, cross_entropy
from trainer.settings import setting

START = 1e-8
"""What u and v start at."""
CLIP = 1e-4
"""How near to 0 a corrected probability comes, and u² and v² to 1."""


@dataclass(frozen=True)
class Sop(Method):
    """Learns, beside the network, which part of each label is noise."""

    u_learning_rate: float = setting(
        "Learning rate of u, which takes up the given label of a sample; 1 for CIFAR-100.",
        default=10.0,
        source="SOP's code, for CIFAR-10",
        minimum=0,
    )
    v_learning_rate: float = setting(
        "Learning rate of v, which takes up the class that is predicted instead; 100 for asymmetric noise.",
        default=10.0,
        source="SOP's code, for symmetric noise",
        minimum=0,
    )
    u_learns_from: str = setting(
        "The losses by which u learns: cross-entropy alone, or the squared error too, as in the first release.",
        default="cross-entropy",
        source="paper, and the present head of SOP's code",
        choices=("cross-entropy", "both"),
    )
    consistency: float = setting(
        "Weight of the agreement of two views of an image, the run's own and a strongly augmented one; 0.9 is SOP+'s. "
        "Not 0, it doubles the cost of a step.",
        default=0.0,
        source="paper: SOP",
        minimum=0,
    )
    balance: float = setting(
        "Weight of the cross-entropy of the uniform distribution and a mini-batch's mean prediction; 0.1 is SOP+'s.",
        default=0.0,
        source="paper: SOP",
        minimum=0,
    )

    name = "sop"
    title = "a sparse part of each label is learned as noise"
    paper = "Liu, Zhu, Qu, You: Robust Training under Label Noise by Over-parameterization, ICML 2022"

    @property
    def views(self) -> tuple[str, ...]:
        return (TRAIN_VIEW, "randaugment") if self.consistency else (TRAIN_VIEW,)

    @property
    def relative_cost(self) -> float:
        return float(len(self.views))

    def learned(self, num_samples: int, num_classes: int) -> dict[str, Learned]:
        return {
            "u": Learned(np.full((num_samples, 1), START, np.float32), "u_learning_rate"),
            "v": Learned(np.full((num_samples, num_classes), START, np.float32), "v_learning_rate"),
        }

    def schedule(self, epoch: int, batch_size: int, noise_rate: float) -> dict[str, float]:
        return {"u_learning_rate": self.u_learning_rate, "v_learning_rate": self.v_learning_rate}

    def step(
        self, labels: Tensor, logits: tuple[Tensor, ...], rows: dict[str, Tensor], schedule: dict[str, Tensor]
    ) -> Step:
        num_classes = logits[0].shape[-1]
        given = ops.one_hot(labels, num_classes, dtype="float32")
        raised = ops.clip(ops.square(rows["u"]) * given, 0.0, 1 - CLIP)
        lowered = ops.clip(ops.square(rows["v"]) * (1 - given), 0.0, 1 - CLIP)
        # θ and u, by the cross-entropy
        corrected = ops.maximum(ops.softmax(logits[0]) + raised - ops.stop_gradient(lowered), CLIP)
        prediction = ops.maximum(corrected / ops.sum(corrected, axis=-1, keepdims=True), CLIP)
        loss = ops.mean(cross_entropy(labels, ops.log(prediction)))
        # v, by the squared error
        predicted = ops.one_hot(ops.argmax(logits[0], axis=-1), num_classes, dtype="float32")
        constant = raised if self.u_learns_from == "both" else ops.stop_gradient(raised)
        misfit = ops.sum(ops.square(predicted + constant - lowered - given), axis=-1)
        loss = loss + ops.mean(misfit)
        if self.balance:
            mean = ops.maximum(ops.mean(prediction, axis=0), CLIP)
            loss = loss - self.balance * ops.mean(ops.log(mean))
        return Step(losses=(loss,), rows={})

    def full_step(
        self, batch: Batch, networks: tuple[Network, ...], rows: dict[str, Tensor], schedule: dict[str, Tensor]
    ) -> Step:
        if not self.consistency:
            return super().full_step(batch, networks, rows, schedule)
        # Both views in one forward pass: batch norm sees them together
        logits, of_strong_view = ops.split(networks[0](ops.concatenate(batch.views, axis=0)), 2, axis=0)
        step = self.step(batch.labels, (logits,), rows, schedule)
        target = ops.stop_gradient(ops.log_softmax(logits))
        divergence = ops.sum(ops.exp(target) * (target - ops.log_softmax(of_strong_view)), axis=-1)
        loss = step.losses[0] + self.consistency * ops.mean(divergence)
        return step._replace(losses=(loss,), logits=(logits,))
