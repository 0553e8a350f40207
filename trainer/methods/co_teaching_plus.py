"""Co-teaching+ (Yu, Han, Yao, Niu, Tsang, Sugiyama: "How does Disagreement Help Generalization against Label
Corruption?", ICML 2019), Algorithm 1.

| paper | here |
| --- | --- |
| w1, w2, the two networks | networks 0 and 1, of different initial weights, on the same mini-batches |
| D', the samples on which their predictions differ | the tally `disagreeing` |
| λ(e), keep rate; E_k; τ | `keep_rate`, `ramp_epochs`, the noise rate, as in Co-teaching |
| D'_1, D'_2, samples of small loss | `clean_sets`: each network's picks among D' by its own losses |

In the warm-up it is Co-teaching. After it each network picks λ(e) |D'| samples of D', and is updated by its mean
cross-entropy over the other's picks. The authors' code differs from the paper after the warm-up: it takes the softmax
twice, divides the mean by the number of picks once more, never trains the sample of id 0, and where the networks
disagree on none it trains on all samples while the product of epoch and step is below 5000. None of this is followed;
`no_disagreement` has the last as a choice.
"""

from __future__ import annotations

from dataclasses import dataclass

from trainer import ops
from trainer.methods.base import Step, Tensor, check_warm_up, cross_entropy, mean_over, smallest
from trainer.methods.co_teaching import CoTeaching
from trainer.methods.metric import CLEAN_SET, Metric
from trainer.settings import Derived, setting

ROUNDING = 5e-7
"""A count within this share of the candidates of a whole number is that number: a product in float32 may miss it."""


@dataclass(frozen=True, kw_only=True)
class CoTeachingPlus(CoTeaching):
    """Co-teaching on the samples on which the two networks disagree."""

    warm_up: int = setting(
        "Epochs of Co-teaching on all samples first; a 40th of the epochs for CIFAR-100.",
        default=Derived("a tenth of the epochs", lambda values: max(1, round(values["epochs"] / 10))),
        source="Co-teaching+'s code, 20 of 200 for CIFAR-10",
        minimum=0,
    )
    no_disagreement: str = setting(
        "What a mini-batch trains on whose predictions all agree. nothing: it is skipped; all: all its samples (the "
        "authors' code, in early steps).",
        default="nothing",
        source="Co-teaching+, Algorithm 1",
        choices=("nothing", "all"),
    )

    name = "co-teaching-plus"
    title = "Co-teaching on the samples on which the two networks disagree"
    paper = (
        "Yu, Han, Yao, Niu, Tsang, Sugiyama: How does Disagreement Help Generalization against Label Corruption?, "
        "ICML 2019"
    )
    metrics = (
        *CLEAN_SET,
        Metric(
            "disagreement",
            "share of the samples on which the two networks' predictions differ",
            "share",
            part="disagreeing",
            whole="samples",
            tag="disagreement/share",
            line="disagree {:.1%}",
            plotted=True,
        ),
    )

    def check(self, epochs: int) -> None:
        super().check(epochs)
        check_warm_up(self.warm_up, epochs)

    def schedule(self, epoch: int, batch_size: int, noise_rate: float) -> dict[str, float]:
        return {"warm_up": float(epoch < self.warm_up), "keep_rate": self.keep_rate(epoch, noise_rate)}

    def step(
        self, labels: Tensor, logits: tuple[Tensor, ...], rows: dict[str, Tensor], schedule: dict[str, Tensor]
    ) -> Step:
        first, second = (ops.argmax(values, axis=-1) for values in logits)
        disagreeing = ops.not_equal(first, second)
        candidates = ops.logical_or(ops.cast(schedule["warm_up"], "bool"), disagreeing)
        count = self._count(schedule["keep_rate"], ops.sum(ops.cast(candidates, "float32")))

        all_losses = [cross_entropy(labels, ops.log_softmax(values)) for values in logits]
        picks = tuple(smallest(ops.where(candidates, losses, float("inf")), count) for losses in all_losses)
        updates = picks
        if self.no_disagreement == "all":
            none = ops.logical_not(ops.any(candidates))
            updates = tuple(ops.logical_or(none, values) for values in picks)
        of_the_other = reversed(updates)
        return Step(
            losses=tuple(mean_over(chosen, losses) for chosen, losses in zip(of_the_other, all_losses, strict=True)),
            rows=rows,
            clean_sets=picks,
            tallies={"disagreeing": disagreeing},
        )

    def _count(self, keep_rate: Tensor, candidates: Tensor) -> Tensor:
        """How many of so many candidates are picked, as `keep_count` says of a mini-batch; of none, none."""
        exact, rounding = keep_rate * candidates, ROUNDING * candidates
        count = ops.ceil(exact - rounding) if self.ramp == "linear" else ops.floor(exact + rounding)
        return ops.minimum(ops.maximum(count, 1.0), candidates)
