"""ELR+ (Liu, Niles-Weed, Razavian, Fernandez-Granda: "Early-Learning Regularization Prevents Memorization of Noisy
Labels", NeurIPS 2020, section 4 and the supplement).

| paper and code | here |
| --- | --- |
| two networks, each trained in turn on all samples | two passes of an epoch, in an order of its own each |
| weight averaging, by γ: of each network an average | `average_decay`, which rises by `average_ramp` |
| t, a network's targets, from the *other* network's average | memory `target_1`, `target_2`, (N, K) each, from 0 on |
| mixup by ℓ ~ Beta(α, α), ℓ ≥ 1/2 | the draws `share` and `partner`; `concentration` is α |
| λ, and its ramp for CIFAR-100 | `regularisation`, `regularisation_ramp` |
| β | `target_momentum` |
| prediction by both networks | `tested_together` |

The average sees the images as they are, the network that learns sees them mixed. Targets are moved by the average's
probabilities, which are not clipped here as they are in ELR, and are mixed as the labels are. The ramps are those of
the authors' code, exp(-5 (1 - x)²), which it takes step by step; here each epoch has the value in its middle. Averages
start at their network's first weights, where the code draws others: with a decay of 0.007 they are gone after a step.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from trainer import ops
from trainer.methods.base import AVERAGE_DECAY, Batch, Network, Pass, Step, Tensor
from trainer.methods.elr import CLIP, Elr
from trainer.settings import Derived, setting

TARGETS = ("target_1", "target_2")
"""The memory of each network's targets."""
SMALLEST = 1e-12
"""What a sum of weighted labels is at least, where a target has no probability for any of them in float32."""


@dataclass(frozen=True, kw_only=True)
class ElrPlus(Elr):
    """ELR with two networks that take their targets from each other's averaged weights, and with mixup."""

    concentration: float = setting(
        "α of the Beta distribution that mixing weights are drawn from; the larger of ℓ and 1 - ℓ is taken.",
        default=1.0,
        source="ELR+'s code, for CIFAR",
        above=0,
    )
    average_momentum: float = setting(
        "Share of the averaged weights that stays at each step, at the ramp's end, γ, in [0, 1).",
        default=0.997,
        source="ELR+'s code, for CIFAR",
        minimum=0,
        below=1,
    )
    average_ramp: int = setting(
        "Epochs over which that share rises; 0 for all of it from the start.",
        default=Derived("0.57 of the epochs", lambda values: round(0.57 * values["epochs"])),
        source="ELR+'s code, 40,000 steps: 114 of 200 epochs for CIFAR-10",
        minimum=0,
    )
    regularisation_ramp: int = setting(
        "Epochs over which the regularisation rises to its weight; 0 for all of it from the start; 114 of 250 for "
        "CIFAR-100.",
        default=0,
        source="ELR+'s code, for CIFAR-10",
        minimum=0,
    )
    weigh_labels: bool = setting(
        "Weigh the labels of a mixed image by its target, as for CIFAR-100.",
        default=False,
        source="ELR+'s code, for CIFAR-10; not in the paper",
    )

    name = "elr-plus"
    title = "two networks with ELR, each by the averaged weights of the other, and mixup"
    num_networks = 2
    tested_together = True
    samplings = ("permutation", "independent")

    @property
    def average_decay(self) -> float:
        return self.average_momentum

    @property
    def relative_cost(self) -> float:
        return 2 * (1 + 1 / 3)  # in each pass a forward pass of the other's average

    def memory(self, num_samples: int, num_classes: int) -> dict[str, np.ndarray]:
        return {name: np.zeros((num_samples, num_classes), np.float32) for name in TARGETS}

    def schedule(self, epoch: int, batch_size: int, noise_rate: float) -> dict[str, float]:
        return {
            AVERAGE_DECAY: self.average_momentum * risen(epoch, self.average_ramp),
            "regularisation": self.regularisation * risen(epoch, self.regularisation_ramp),
        }

    def draw(self, rng: np.random.Generator, batch_size: int) -> dict[str, np.ndarray]:
        share = rng.beta(self.concentration, self.concentration)
        return {
            "share": np.asarray(max(share, 1 - share), np.float32),
            "partner": rng.permutation(batch_size).astype(np.int32),
        }

    def epoch_passes(
        self, epoch: int, batches: np.ndarray, memory: Mapping[str, np.ndarray], rng: np.random.Generator
    ) -> Sequence[Pass]:
        # the second network's order: the first one's, with every sample in the place of another
        others = rng.permutation(len(memory[TARGETS[0]])).astype(np.int32)
        return Pass(batches, (True, False)), Pass(others[batches], (False, True))

    def full_step(
        self, batch: Batch, networks: tuple[Network, ...], rows: dict[str, Tensor], schedule: dict[str, Tensor]
    ) -> Step:
        share, partner = batch.draws["share"], batch.draws["partner"]

        def mixed(values: Tensor) -> Tensor:
            return share * values + (1 - share) * ops.take(values, partner, axis=0)

        images, new_rows = batch.views[0], dict(rows)
        losses: list[Tensor | None] = [None, None]
        logits: list[Tensor | None] = [None, None]
        for k in (0, 1):
            if not batch.learns[k]:
                continue
            logits[k] = networks[k](mixed(images))
            log_p = ops.log_softmax(logits[k])
            # The target, by the other's average, without a gradient
            by_other = ops.softmax(networks[1 - k].averaged(images))
            target = self.target_momentum * rows[TARGETS[k]] + (1 - self.target_momentum) * by_other
            new_rows[TARGETS[k]] = target
            mixed_target = mixed(target)
            # Cross-entropy against the mixed labels, and ELR's regularisation towards the mixed target
            labels = mixed(ops.one_hot(batch.labels, log_p.shape[-1], dtype=log_p.dtype))
            if self.weigh_labels:
                weighted = labels * mixed_target
                labels = weighted / ops.maximum(ops.sum(weighted, axis=-1, keepdims=True), SMALLEST)
            agreement = ops.sum(ops.clip(ops.exp(log_p), CLIP, 1 - CLIP) * mixed_target, axis=-1)
            sample_losses = -ops.sum(labels * log_p, axis=-1) + schedule["regularisation"] * ops.log(1 - agreement)
            losses[k] = ops.mean(sample_losses)
        return Step(tuple(losses), rows=new_rows, logits=tuple(logits))


def risen(epoch: int, ramp_epochs: int) -> float:
    """The share of a value in the middle of an epoch, from 0, that rises over so many epochs: exp(-5 (1 - x)²)."""
    if not ramp_epochs:
        return 1.0
    return math.exp(-5 * (1 - min(1.0, (epoch + 0.5) / ramp_epochs)) ** 2)
