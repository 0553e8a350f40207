"""Active Bias (Chang, Learned-Miller, McCallum: "Active Bias: Training More Accurate Neural Networks by Emphasizing
High Variance Samples", NIPS 2017), its weighting by prediction variance (SGD-WPV).

| paper | here |
| --- | --- |
| H_i, history of p(ỹ_i given x_i) | memory `count`, `mean`, `m2` (N,): all of it, as Welford's running sums |
| var(H_i) | `m2 / count`, the population variance |
| ε, smoothing of the weights | `smoothing`, β below |
| burn-in epochs | `warm_up`, in epochs, all weights 1 |

After the warm-up, w_i = sqrt(var_i + var_i² / (|H_i| - 1)) + β, divided by its mean over the mini-batch.

One forward pass a step: the probability it gives the label is recorded after the step has weighted by what the
history held before, as SELFIE does with its predictions. β is a fixed number, as in the comparison of the SELFIE
paper; Chang et al. take the mean deviation over the training set. docs/decisions/0013-official-variants.md
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from trainer import ops
from trainer.methods.base import WARM_UP, Method, Step, Tensor, check_warm_up, cross_entropy
from trainer.methods.columns import SampleColumn
from trainer.settings import setting

FEWEST_RECORDS = 2
"""A variance needs so many."""


@dataclass(frozen=True)
class ActiveBias(Method):
    """Gives more weight to samples whose label the network now finds likely and now does not."""

    warm_up: int = setting(
        "Epochs of plain training first, all weights 1.", default=WARM_UP, source="SELFIE, section 4.1", minimum=0
    )
    smoothing: float = setting(
        "Added to every sample's deviation before the weights are divided by their mean, β; 0 leaves out samples that "
        "never vary.",
        default=0.2,
        variants={"official-2019": 0.02},
        source="SELFIE's code, its head",
        minimum=0,
    )

    name = "active-bias"
    title = "all samples, weighted by how much the probability of their label varies"
    paper = (
        "Chang, Learned-Miller, McCallum: Active Bias: Training More Accurate Neural Networks by Emphasizing High "
        "Variance Samples, NIPS 2017"
    )
    columns = (
        SampleColumn("label_probability_mean", "float32", np.nan),
        SampleColumn("label_probability_variance", "float32", np.nan),
        SampleColumn("weight", "float32", np.nan),
    )

    def check(self, epochs: int) -> None:
        check_warm_up(self.warm_up, epochs)

    def memory(self, num_samples: int, num_classes: int) -> dict[str, np.ndarray]:
        return {
            "count": np.zeros(num_samples, np.int32),
            "mean": np.zeros(num_samples, np.float32),
            "m2": np.zeros(num_samples, np.float32),
        }

    def sample_values(self, memory: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Mean and variance of H_i, not-a-number of too few records, and the weights in a mini-batch of all samples."""
        count = memory["count"]
        variance = np.divide(memory["m2"], count, out=np.full_like(memory["m2"], np.nan), where=count >= FEWEST_RECORDS)
        return {
            "label_probability_mean": np.where(count > 0, memory["mean"], np.float32(np.nan)),
            "label_probability_variance": variance,
            "weight": np.asarray(ops.convert_to_numpy(self.weights(memory))),
        }

    def schedule(self, epoch: int, batch_size: int, noise_rate: float) -> dict[str, float]:
        return {"warm_up": float(epoch < self.warm_up)}

    def step(
        self, labels: Tensor, logits: tuple[Tensor, ...], rows: dict[str, Tensor], schedule: dict[str, Tensor]
    ) -> Step:
        (own_logits,) = logits
        losses = cross_entropy(labels, ops.log_softmax(own_logits))
        weights = ops.where(ops.cast(schedule["warm_up"], "bool"), 1.0, self.weights(rows))
        loss = ops.mean(ops.stop_gradient(weights) * losses)
        return Step(losses=(loss,), rows=_record(rows, ops.exp(-losses)))

    def weights(self, rows: dict[str, Tensor]) -> Tensor:
        """The weights after the warm-up, whose mean over the mini-batch is 1.

        A sample with fewer than 2 records has no variance: nothing is known of it, and it weighs 1 as in the
        warm-up; the weights of the others average 1 among themselves. Where all of these are 0 (no smoothing, and no
        probability that ever varied) they are 1.

        Args:
            rows: of the memory, (B,) each.

        Returns:
            (B,) float32, at least 0.
        """
        count = ops.cast(rows["count"], "float32")
        known = rows["count"] >= FEWEST_RECORDS
        variance = rows["m2"] / ops.maximum(count, 1.0)
        deviation = ops.sqrt(variance + ops.square(variance) / ops.maximum(count - 1, 1.0))
        raw = ops.where(known, deviation + self.smoothing, 0.0)
        mean = ops.sum(raw) / ops.maximum(ops.sum(ops.cast(known, "float32")), 1.0)
        # A divisor of 1 where the mean is 0: a division by 0 would be NaN though its result is not used
        divisor = ops.where(mean > 0, mean, 1.0)
        return ops.where(ops.logical_and(known, mean > 0), raw / divisor, 1.0)


def _record(rows: dict[str, Tensor], probability: Tensor) -> dict[str, Tensor]:
    """Welford's update of the rows by one record a sample. probability: (B,) p(label), before the update.

    m2 takes up δ²(n - 1)/n, which is δ(x - new mean) in another form: it is never negative, whatever is rounded.
    """
    records = ops.cast(rows["count"] + 1, "float32")
    difference = probability - rows["mean"]
    return {
        "count": rows["count"] + 1,
        "mean": rows["mean"] + difference / records,
        "m2": rows["m2"] + ops.square(difference) * ((records - 1) / records),
    }
