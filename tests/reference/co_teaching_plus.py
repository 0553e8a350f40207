"""Co-teaching+ (Yu et al., ICML 2019, Algorithm 1) sample by sample, in plain Python and float64.

Written from the description of the algorithm alone, on Co-teaching's keep rate. Positions are places in the mini-batch.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from tests.reference.co_teaching import CoTeaching, Outcome, Rows, mean_gradient, mean_loss
from tests.reference.selfie import cross_entropy


@dataclass(frozen=True)
class CoTeachingPlus(CoTeaching):
    warm_up: int = 0
    all_where_none_disagree: bool = False

    def disagreeing(self, logits_of_f: Rows, logits_of_g: Rows) -> set[int]:
        pairs = zip(logits_of_f, logits_of_g, strict=True)
        return {p for p, (f, g) in enumerate(pairs) if self.prediction(f) != self.prediction(g)}

    @staticmethod
    def prediction(logits: Sequence[float]) -> int:
        return max(range(len(logits)), key=lambda k: logits[k])

    def step(self, labels: Sequence[int], logits_of_f: Rows, logits_of_g: Rows, epoch: int) -> Outcome:
        everyone = set(range(len(labels)))
        among = everyone if epoch < self.warm_up else self.disagreeing(logits_of_f, logits_of_g)
        picked_by_f = self.picked(labels, logits_of_f, among, epoch)
        picked_by_g = self.picked(labels, logits_of_g, among, epoch)
        if among:
            for_f, for_g = picked_by_g, picked_by_f
        else:
            for_f = for_g = everyone if self.all_where_none_disagree else set()
        return Outcome(
            picked_by_f,
            picked_by_g,
            loss_of_f=mean_loss(labels, logits_of_f, for_f) if for_f else 0.0,
            loss_of_g=mean_loss(labels, logits_of_g, for_g) if for_g else 0.0,
            gradient_of_f=mean_gradient(labels, logits_of_f, for_f),
            gradient_of_g=mean_gradient(labels, logits_of_g, for_g),
        )

    def picked(self, labels: Sequence[int], logits: Rows, among: set[int], epoch: int) -> set[int]:
        """The share R(e) of those of smallest loss among them, the first among equals."""
        exact = self.keep_rate(epoch) * len(among)
        count = max(1, math.floor(exact) if self.official else math.ceil(exact))
        return set(sorted(sorted(among), key=lambda p: cross_entropy(logits[p], labels[p]))[:count])
