"""Co-teaching (Han, Yao, Yu, Niu, Xu, Hu, Tsang, Sugiyama: "Co-teaching: Robust Training of Deep Neural Networks with
Extremely Noisy Labels", NIPS 2018), Algorithm 1.

| paper | here |
| --- | --- |
| f, g, the two networks | networks 0 and 1, of different initial weights, on the same mini-batches |
| τ, forget rate | the noise rate |
| T_k | `ramp_epochs` |
| R(T), keep rate | `keep_rate`, of the epoch from 0 |
| D̄_f, D̄_g, samples of small loss | `clean_sets`: each network's picks by its own losses |

Each network is updated by its mean cross-entropy over the other's picks (Algorithm 1, lines 5 to 8): one
forward pass of each network, losses, picks and gradients from the same logits, as in the official code.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from trainer import ops
from trainer.errors import TrainerError
from trainer.methods.base import (
    Method,
    Step,
    Tensor,
    cross_entropy,
    keep_count,
    mean_over,
    smallest,
)
from trainer.methods.metric import CLEAN_SET
from trainer.settings import Derived, setting

RAMP_SHARE = 0.15
"""T_k over the epochs in SELFIE's comparison: 15 of 100."""


def _at_most_epochs(number: int) -> Derived:
    """T_k of SELFIE's official code; Co-teaching's authors take 10."""
    return Derived(f"{number}, at most the epochs", lambda values: min(number, values["epochs"]))


@dataclass(frozen=True)
class CoTeaching(Method):
    """Two networks, each of which trains on the samples of small loss that the other picks."""

    ramp_epochs: int = setting(
        "Epochs over which the keep rate falls to 1 - noise rate, T_k.",
        default=Derived("15% of the epochs", lambda values: max(1, round(RAMP_SHARE * values["epochs"]))),
        variants={"official": _at_most_epochs(15), "official-2019": _at_most_epochs(10)},
        source="SELFIE's code, its head",
        minimum=1,
    )
    ramp: str = setting(
        "How it falls. linear: by a T_k-th of the noise rate an epoch, from the first on, counts rounded up; "
        "linspace: from 1 in the first epoch, counts rounded down (Co-teaching's authors' code, with T_k 10).",
        default="linear",
        source="SELFIE's code; `linspace` is Co-teaching's",
        choices=("linear", "linspace"),
    )

    name = "co-teaching"
    title = "two networks, each trained on the samples of small loss that the other picks"
    paper = (
        "Han, Yao, Yu, Niu, Xu, Hu, Tsang, Sugiyama: Co-teaching: Robust Training of Deep Neural Networks with "
        "Extremely Noisy Labels, NIPS 2018"
    )
    num_networks = 2
    metrics = CLEAN_SET
    uses_noise_rate = True

    def check(self, epochs: int) -> None:
        if self.ramp_epochs > epochs:
            raise TrainerError(
                f"--ramp-epochs {self.ramp_epochs}: longer than the {epochs} epochs; lower it, or raise --epochs"
            )

    def keep_rate(self, epoch: int, noise_rate: float) -> float:
        """R(e), the share of a mini-batch that is picked in epoch e (from 0), in (0, 1].

        linear: 1 - τ min(1, (e + 1) / T_k). linspace: 1 minus number e of T_k equally spaced from 0 to τ, and
        1 - τ from epoch T_k on; one number is 0 alone, so T_k = 1 keeps all in epoch 0.
        """
        if self.ramp == "linear":
            share = min(1.0, (epoch + 1) / self.ramp_epochs)
        elif epoch < self.ramp_epochs:
            share = epoch / max(1, self.ramp_epochs - 1)
        else:
            share = 1.0
        return 1 - noise_rate * share

    def keep_count(self, epoch: int, batch_size: int, noise_rate: float) -> int:
        """How many samples of a mini-batch each network picks, at least 1: R(e) B, up for linear, down for linspace.

        Rounded to 9 places first: 0.6 x 5 in float is a little below 3, or above.
        """
        rate = self.keep_rate(epoch, noise_rate)
        if self.ramp == "linear":
            return max(1, keep_count(rate, batch_size))
        return max(1, int(np.floor(round(rate * batch_size, 9))))

    def schedule(self, epoch: int, batch_size: int, noise_rate: float) -> dict[str, float]:
        return {"keep_count": self.keep_count(epoch, batch_size, noise_rate)}

    def step(
        self, labels: Tensor, logits: tuple[Tensor, ...], rows: dict[str, Tensor], schedule: dict[str, Tensor]
    ) -> Step:
        all_losses = [cross_entropy(labels, ops.log_softmax(values)) for values in logits]
        picks = tuple(smallest(losses, schedule["keep_count"]) for losses in all_losses)
        of_the_other = reversed(picks)
        return Step(
            losses=tuple(mean_over(chosen, losses) for chosen, losses in zip(of_the_other, all_losses, strict=True)),
            rows=rows,
            clean_sets=picks,
        )
