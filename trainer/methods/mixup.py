"""Mixup (Zhang, Cisse, Dauphin, Lopez-Paz: "mixup: Beyond Empirical Risk Minimization", ICLR 2018).

| paper | here |
| --- | --- |
| λ ~ Beta(α, α), one for each mini-batch | the draw `share` |
| the pairs (i, j), a permutation of the mini-batch | the draw `partner` |
| α | `concentration` |
| x̃ = λ x_i + (1 - λ) x_j | `mixed` |
| ỹ = λ y_i + (1 - λ) y_j | the two cross-entropies, weighted by λ and 1 - λ |

Images are mixed after they are standardised. Training errors, and what is remembered of a sample, are of the mixed
images, counted against the label of the first one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from trainer import ops
from trainer.methods.base import Batch, Method, Network, Step, Tensor, cross_entropy
from trainer.settings import setting


@dataclass(frozen=True)
class Mixup(Method):
    """Trains on weighted means of two images and of their labels."""

    concentration: float = setting(
        "α of the Beta distribution that the weights are drawn from; 8 to 32 under label noise, in the paper.",
        default=1.0,
        source="the authors' code",
        above=0,
    )

    name = "mixup"
    title = "weighted means of two images and of their labels"
    paper = "Zhang, Cisse, Dauphin, Lopez-Paz: mixup: Beyond Empirical Risk Minimization, ICLR 2018"

    def draw(self, rng: np.random.Generator, batch_size: int) -> dict[str, np.ndarray]:
        return {
            "share": np.asarray(rng.beta(self.concentration, self.concentration), np.float32),
            "partner": rng.permutation(batch_size).astype(np.int32),
        }

    def full_step(
        self, batch: Batch, networks: tuple[Network, ...], rows: dict[str, Tensor], schedule: dict[str, Tensor]
    ) -> Step:
        share, partner = batch.draws["share"], batch.draws["partner"]
        images = batch.views[0]
        mixed = share * images + (1 - share) * ops.take(images, partner, axis=0)
        logits = networks[0](mixed)
        log_p = ops.log_softmax(logits)
        of_partner = cross_entropy(ops.take(batch.labels, partner, axis=0), log_p)
        losses = share * cross_entropy(batch.labels, log_p) + (1 - share) * of_partner
        return Step(losses=(ops.mean(losses),), rows=rows, logits=(logits,))
