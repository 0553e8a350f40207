"""JoCoR (Wei, Feng, Chen, An: "Combating Noisy Labels by Agreement: A Joint Training Method with Co-Regularization",
CVPR 2020), Algorithm 1.

| paper | here |
| --- | --- |
| p_1, p_2, predictions of the two networks | networks 0 and 1, of different initial weights, same mini-batches |
| ℓ_sup, cross-entropy of both | CE_1 + CE_2 |
| ℓ_con, their contrast | KL(p_1, p_2) + KL(p_2, p_1) |
| λ | `agreement` |
| R(t), keep rate; T_k; τ | `keep_rate`, `ramp_epochs`, the noise rate, as in Co-teaching |
| the small-loss set | `clean_sets`, the same for both networks |

The loss of a sample is (1 - λ) ℓ_sup + λ ℓ_con. Those of smallest joint loss are picked, as many as the keep rate says,
and the mean of their joint losses updates both networks: network k follows its gradient by the weights of network k.
"""

from __future__ import annotations

from dataclasses import dataclass

from trainer import ops
from trainer.methods.base import Step, Tensor, cross_entropy, mean_over, smallest
from trainer.methods.co_teaching import CoTeaching
from trainer.settings import setting


@dataclass(frozen=True)
class Jocor(CoTeaching):
    """Two networks trained by one loss, which asks them to agree, on the samples where it is small."""

    agreement: float = setting(
        "Weight of the networks' agreement in the joint loss, λ, in [0, 1]; 0.65 for CIFAR-10 with 80% noise, 0.85 for "
        "CIFAR-100.",
        default=0.9,
        source="JoCoR's authors, for CIFAR-10",
        minimum=0,
        maximum=1,
    )

    name = "jocor"
    title = "two networks that are to agree, trained on the samples of small joint loss"
    paper = (
        "Wei, Feng, Chen, An: Combating Noisy Labels by Agreement: A Joint Training Method with Co-Regularization, "
        "CVPR 2020"
    )

    def step(
        self, labels: Tensor, logits: tuple[Tensor, ...], rows: dict[str, Tensor], schedule: dict[str, Tensor]
    ) -> Step:
        first, second = (ops.log_softmax(values) for values in logits)
        supervised = cross_entropy(labels, first) + cross_entropy(labels, second)
        # the two divergences together: Σ (p_1 - p_2)(log p_1 - log p_2)
        contrast = ops.sum((ops.exp(first) - ops.exp(second)) * (first - second), axis=-1)
        joint = (1 - self.agreement) * supervised + self.agreement * contrast
        picks = smallest(joint, schedule["keep_count"])
        loss = mean_over(picks, joint)
        return Step(losses=(loss, loss), rows=rows, clean_sets=(picks, picks))
