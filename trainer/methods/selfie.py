"""SELFIE (Song, Kim, Lee: "SELFIE: Refurbishing Unclean Samples for Robust Deep Learning", ICML 2019), Algorithm 1.

| paper | here |
| --- | --- |
| τ, noise rate | the schedule behind `keep_count`; between runs `restart` lowers it |
| γ, warm-up | `warm_up`, in epochs |
| q, history length | `history_length` |
| ε, uncertainty threshold | `uncertainty_threshold` |
| H_x(q), label history | memory `history` (N, q), a ring; `seen` (N,) counts what was written |
| F(x; q), predictive uncertainty, eq. 4 | `uncertainty` |
| C, clean samples | `clean_set`: the ceil((1 - τ)|M|) of smallest loss |
| R, refurbishable samples | `certain`, the tally `refurbishable`: F(x; q) <= ε |
| y_refurb, eq. 5 | memory `refurbished_label` (N,), -1 where there is none |

One forward pass a step: the predictions it makes are written to the history after the step has chosen by what the
history held before, which is the official code's order. Beyond the paper, and as the official code does, a sample
once refurbished stays in the update with its remembered label (`refurbish="remembered"`); `"certain"` is the
paper's letter. docs/decisions/0003-selfie.md
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from trainer import ops
from trainer.errors import TrainerError
from trainer.methods.base import (
    WARM_UP,
    Batch,
    Method,
    Network,
    Step,
    Tensor,
    check_warm_up,
    cross_entropy,
    keep_count,
    mean_over,
    smallest,
)
from trainer.methods.columns import SampleColumn
from trainer.methods.metric import CLEAN_SET, Metric
from trainer.settings import Derived, setting

MAX_HISTORY = 15
"""q of the paper; a shorter warm-up shortens it."""
SHORT_HISTORY = 4
"""A history shorter than this is remarked upon."""


@dataclass(frozen=True)
class Selfie(Method):
    """Trains on samples of small loss and on samples whose label the network's own history corrects."""

    warm_up: int = setting(
        "Epochs of plain training first, γ.", default=WARM_UP, source="SELFIE, section 4.1", minimum=0
    )
    history_length: int = setting(
        "How many past predictions of a sample are looked at, q.",
        default=Derived("15, at most the warm-up", lambda values: max(1, min(MAX_HISTORY, values["warm_up"]))),
        source="SELFIE, section 4.1",
        minimum=1,
    )
    uncertainty_threshold: float = setting(
        "Refurbish where the normalised entropy of the history is at most this, ε, in [0, 1].",
        default=0.05,
        source="SELFIE, section 4.1",
        minimum=0,
        maximum=1,
    )
    restarts: int = setting(
        "How often training starts afresh with what was refurbished.",
        default=2,
        variants={"official": 3, "official-2019": 3},
        source="SELFIE, section 4.1; its code has 3",
        minimum=0,
    )
    refurbish: str = setting(
        "remembered: a sample once refurbished stays so (official code); certain: only while its history is certain "
        "(Algorithm 1).",
        default="remembered",
        source="SELFIE's code; `certain` is Algorithm 1",
        choices=("remembered", "certain"),
    )
    passes: int = setting(
        "Forward passes a step. 1: losses, choice and gradient from the same one; 2: choose by one, train by another "
        "in which batch norm sees the chosen samples alone (official code).",
        default=1,
        variants={"official": 2, "official-2019": 2},
        source="SELFIE, the update equation; its code has 2 and one to log",
        minimum=1,
        maximum=2,
    )
    history_start: str = setting(
        "empty: a sample with fewer than q predictions is not refurbishable; zeros: its history starts as q votes for "
        "class 0 (official code).",
        default="empty",
        variants={"official": "zeros", "official-2019": "zeros"},
        source="ours; `zeros` is SELFIE's code",
        choices=("empty", "zeros"),
    )
    warm_up_labels: str = setting(
        "What the warm-up after a restart trains on: remembered refurbished labels where there are any, or the given "
        "labels alone (official code of 2019).",
        default="remembered",
        variants={"official-2019": "given"},
        source="SELFIE's code, its head; `given` is its first release",
        choices=("remembered", "given"),
    )
    restart_noise_rate: str = setting(
        "The noise rate after a restart. lowered: to the share of samples never refurbished, where that is less; "
        "kept: as it is (official code of 2019).",
        default="lowered",
        variants={"official-2019": "kept"},
        source="SELFIE's code, its head; `kept` is its first release",
        choices=("lowered", "kept"),
    )

    name = "selfie"
    title = "clean samples by small loss, and refurbished labels where past predictions agree"
    paper = "Song, Kim, Lee: SELFIE: Refurbishing Unclean Samples for Robust Deep Learning, ICML 2019"
    metrics = (
        *CLEAN_SET,
        Metric(
            "refurbishable",
            "samples whose history was certain",
            "count",
            part="refurbishable",
            tag="refurbishment/refurbishable",
        ),
        Metric(
            "refurbished",
            "samples trained on a refurbished label",
            "count",
            part="refurbished",
            tag="refurbishment/refurbished",
            line="refurbished {:,}",
            plotted=True,
            headline=True,
            heading="labels refurbished",
        ),
        Metric(
            "refurbishment_accuracy",
            "share of the refurbished labels that is right",
            "share",
            part="refurbished_right",
            whole="refurbished",
            tag="refurbishment/accuracy",
            line="({:.1%} right)",
            needs_clean=True,
            plotted=True,
            headline=True,
            heading="labels refurbished right",
        ),
    )
    columns = (
        SampleColumn("refurbished_label", "int32", -1, is_label=True, replaces_label=True, in_every_run=True),
        SampleColumn("uncertainty", "float32", np.nan, in_every_run=True),
    )
    uses_noise_rate = True

    def check(self, epochs: int) -> None:
        check_warm_up(self.warm_up, epochs)
        if self.history_length > max(1, self.warm_up):
            raise TrainerError(
                f"--history-length {self.history_length}: longer than the warm-up of {self.warm_up} epochs, which "
                "fills it; lower it, or raise --warm-up"
            )

    @property
    def num_runs(self) -> int:
        return self.restarts + 1

    @property
    def notices(self) -> tuple[str, ...]:
        if self.history_length >= SHORT_HISTORY:
            return ()
        return (
            f"a history as short as {self.history_length} is soon unanimous by chance, and wrong labels get "
            "refurbished; more epochs, or a longer --warm-up with --history-length, make it longer",
        )

    def memory(self, num_samples: int, num_classes: int) -> dict[str, np.ndarray]:
        first = 0 if self.history_start == "zeros" else -1
        return {
            "history": np.full((num_samples, self.history_length), first, np.int32),
            "seen": np.zeros(num_samples, np.int32),
            "refurbished_label": np.full(num_samples, -1, np.int32),
            "uncertainty": np.full(num_samples, np.nan, np.float32),
        }

    def sample_values(self, memory: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        uncertainty = memory["uncertainty"]  # infinite where the history is not full
        known = np.where(np.isinf(uncertainty), np.float32(np.nan), uncertainty)
        return {"refurbished_label": memory["refurbished_label"], "uncertainty": known}

    def schedule(self, epoch: int, batch_size: int, noise_rate: float) -> dict[str, float]:
        return {
            "warm_up": float(epoch < self.warm_up),
            "keep_count": keep_count(1 - noise_rate, batch_size),
        }

    def step(
        self, labels: Tensor, logits: tuple[Tensor, ...], rows: dict[str, Tensor], schedule: dict[str, Tensor]
    ) -> Step:
        log_p = ops.log_softmax(logits[0])
        targets, in_update, chosen = self._choose(labels, logits[0], log_p, rows, schedule)
        return chosen._replace(losses=(mean_over(in_update, cross_entropy(targets, log_p)),))

    def full_step(
        self, batch: Batch, networks: tuple[Network, ...], rows: dict[str, Tensor], schedule: dict[str, Tensor]
    ) -> Step:
        if self.passes == 1:
            return super().full_step(batch, networks, rows, schedule)
        (network,), (images,) = networks, batch.views
        # The first pass chooses
        logits = network.score(images)
        targets, in_update, chosen = self._choose(batch.labels, logits, ops.log_softmax(logits), rows, schedule)
        # The second one trains, on a mini-batch of what was chosen alone
        log_p = ops.log_softmax(network(images, in_update))
        loss = mean_over(in_update, cross_entropy(targets, log_p))
        return chosen._replace(losses=(loss,), logits=(logits,))

    def _choose(
        self, labels: Tensor, logits: Tensor, log_p: Tensor, rows: dict[str, Tensor], schedule: dict[str, Tensor]
    ) -> tuple[Tensor, Tensor, Step]:
        """(B,) labels to train on, (B,) bool samples in the update, and all else of the step but the loss."""
        warm_up = ops.cast(schedule["warm_up"], "bool")
        clean = smallest(cross_entropy(labels, log_p), schedule["keep_count"])
        uncertainty, likeliest = self._consult(rows["history"], rows["seen"], logits.shape[-1])
        certain = ops.logical_and(uncertainty <= self.uncertainty_threshold, ops.logical_not(warm_up))
        remembered = ops.where(certain, likeliest, rows["refurbished_label"])
        # With "certain", labels remembered from earlier runs still serve the warm-up of this one
        in_use = certain if self.refurbish == "certain" else remembered >= 0
        in_warm_up = remembered >= 0 if self.warm_up_labels == "remembered" else ops.zeros_like(certain)
        in_use = ops.where(warm_up, in_warm_up, in_use)

        targets = ops.where(in_use, remembered, labels)
        in_update = ops.logical_or(warm_up, ops.logical_or(clean, in_use))
        chosen = Step(
            losses=(),
            rows=self._record(rows, logits, uncertainty, remembered),
            clean_sets=(ops.logical_and(clean, ops.logical_not(warm_up)),),
            tallies={"refurbishable": certain},
            labels={"refurbished": ops.where(in_use, remembered, -1)},
        )
        return targets, in_update, chosen

    def _consult(self, history: Tensor, seen: Tensor, num_classes: int) -> tuple[Tensor, Tensor]:
        """F(x; q) and argmax_j P(j|x; q), from the history alone.

        Args:
            history: (B, q) int32 past predictions. seen: (B,) int32. num_classes: K.

        Returns:
            (B,) float32 uncertainty in [0, 1], infinite for a history that is not full; (B,) int32 label, the
            lowest of equally frequent ones.
        """
        # votes[b, i]: how often the label in slot i stands in the whole history. Then
        # sum_j P(j) log P(j) = 1/q sum_i log(votes_i / q), at a cost that does not grow with K.
        same = ops.equal(history[:, :, None], history[:, None, :])
        votes = ops.sum(ops.cast(same, "float32"), axis=2)
        # A unanimous history is exactly 0, also where a compiler multiplies by the rounded 1/q instead of dividing
        unanimous = votes >= self.history_length
        entropy = -ops.mean(ops.where(unanimous, 0.0, ops.log(votes / self.history_length)), axis=1)
        uncertainty = entropy / float(np.log(num_classes))
        most = ops.max(votes, axis=1, keepdims=True)
        likeliest = ops.min(ops.where(ops.equal(votes, most), history, num_classes), axis=1)
        full = ops.logical_or(seen >= self.history_length, self.history_start == "zeros")
        return ops.where(full, uncertainty, float("inf")), likeliest

    def _record(
        self, rows: dict[str, Tensor], logits: Tensor, uncertainty: Tensor, remembered: Tensor
    ) -> dict[str, Tensor]:
        """The rows with this step's predictions in the history's oldest slot."""
        prediction = ops.cast(ops.argmax(logits, axis=-1), "int32")
        slot = ops.mod(rows["seen"], self.history_length)
        here = ops.equal(ops.arange(self.history_length, dtype="int32")[None, :], slot[:, None])
        return {
            "history": ops.where(here, prediction[:, None], rows["history"]),
            "seen": rows["seen"] + 1,
            "refurbished_label": remembered,
            "uncertainty": uncertainty,
        }

    def restart(self, memory: dict[str, np.ndarray], noise_rate: float) -> tuple[dict[str, np.ndarray], float]:
        """Fresh history; refurbished labels stay; τ = min(τ, 1 - |ever refurbished| / N), or as it was."""
        refurbished = memory["refurbished_label"]
        fresh = self.memory(len(refurbished), 0)
        if self.restart_noise_rate == "lowered":
            noise_rate = min(noise_rate, 1 - float(np.mean(refurbished >= 0)))
        return {**fresh, "refurbished_label": refurbished}, noise_rate
