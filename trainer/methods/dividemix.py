"""DivideMix (Li, Socher, Hoi: "DivideMix: Learning with Noisy Labels as Semi-supervised Learning", ICLR 2020),
Algorithm 1.

| paper | here |
| --- | --- |
| θ1, θ2, the two networks | networks 0 and 1, each trained in a pass of its own |
| WarmUp | stage WARM_UP, for `warm_up` epochs |
| W, the clean probabilities by each network's losses | memory `clean_probability` (N, 2) |
| GMM, a mixture of two Gaussians | `trainer.methods.mixture` |
| X and U by W ≥ τ, for the *other* network (co-divide) | the halves of a mini-batch in stage DIVIDED |
| M = 2 augmentations | `views`, the run's augmentation twice |
| co-refinement w ỹ + (1 - w) mean p | `refined` |
| co-guessing, mean p of both networks | `guessed` |
| Sharpen(·, T) | `sharpened`; T is `temperature` |
| MixMatch: λ ~ Beta(α, α), λ ≥ 1/2 | the draws `share` and `partner`; `concentration` is α |
| L_X + λ_u L_U + λ_r L_reg | cross-entropy, squared error, `divergence_from_uniform` |
| prediction by both networks | `tested_together` |

As in the authors' code the network that learns is in training mode where it refines and guesses, so that its moving
statistics move then too, and the other one is in evaluation mode; losses are made to range from 0 to 1; λ_r is 1.

A mini-batch has B labelled samples, B the run's batch size, and then B unlabelled ones; a warm-up's has 2B of all. An
epoch has as many as the labelled ones fill; unlabelled ones are shuffled anew when they are used up. A mini-batch has
one size, so the last one is filled up, and where fewer than B samples are on a side, those nearest to the threshold
join them. Where none is above it, that network has an epoch of warm-up.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from trainer import ops
from trainer.errors import TrainerError
from trainer.methods.base import TRAIN_VIEW, Batch, Method, Network, Pass, Predict, Step, Tensor, check_warm_up
from trainer.methods.base import cross_entropy as cross_entropies
from trainer.methods.columns import SampleColumn
from trainer.methods.metric import CLEAN_SET, Metric
from trainer.methods.mixture import clean_probabilities, normalised_losses
from trainer.settings import Derived, setting

WARM_UP, DIVIDED = "", "divided"


@dataclass(frozen=True, kw_only=True)
class DivideMix(Method):
    """Divides the samples by their losses, and trains as if those of large loss had no label."""

    warm_up: int = setting(
        "Epochs of plain training first; 30 for CIFAR-100.",
        default=Derived("10, and at most a quarter of the epochs", lambda v: min(10, max(1, round(v["epochs"] / 4)))),
        source="DivideMix's code, for CIFAR-10",
        minimum=1,
    )
    confidence_penalty: bool = setting(
        "In the warm-up, penalise predictions that are sure, by their negative entropy: for asymmetric noise.",
        default=False,
        source="DivideMix's code, for symmetric noise",
        by_noise=True,
    )
    unlabelled_weight: float = setting(
        "Weight of the loss of unlabelled samples at the ramp's end, λ_u: 0, 25, 50 or 150, which the authors chose by "
        "data set, type and rate of the noise.",
        default=25.0,
        source="DivideMix's code",
        minimum=0,
        by_noise=True,
    )
    unlabelled_ramp: int = setting(
        "Epochs after the warm-up over which that weight rises; 0 for all of it from the start.",
        default=16,
        source="DivideMix's code",
        minimum=0,
    )
    clean_threshold: float = setting(
        "A sample of a larger clean probability is labelled, τ; 0.6 in the paper where 90% of the labels are noise.",
        default=0.5,
        source="DivideMix's code",
        minimum=0,
        below=1,
        by_noise=True,
    )
    loss_epochs: int = setting(
        "Of how many epochs a sample's losses are averaged; 5 where 90% of the labels are noise.",
        default=1,
        source="DivideMix's code",
        minimum=1,
        maximum=1000,
        by_noise=True,
    )
    temperature: float = setting(
        "Temperature by which targets are sharpened, T; 1 leaves them.",
        default=0.5,
        source="DivideMix's code",
        above=0,
        maximum=1,
    )
    concentration: float = setting(
        "α of the Beta distribution that mixing weights are drawn from; the larger of λ and 1 - λ is taken.",
        default=4.0,
        source="DivideMix's code",
        above=0,
    )

    name = "dividemix"
    title = "samples of large loss lose their labels, and two networks learn semi-supervised"
    paper = "Li, Socher, Hoi: DivideMix: Learning with Noisy Labels as Semi-supervised Learning, ICLR 2020"
    num_networks = 2
    tested_together = True
    stages = (WARM_UP, DIVIDED)
    samplings = ("permutation",)
    shared = ("labelled_share",)
    metrics = (
        CLEAN_SET[0],
        Metric(
            "labelled_share",
            "share of the training samples that the other network's losses take as clean",
            "share",
            part="labelled",
            whole="samples",
            only_with="labelled",
            tag="dividemix/labelled_share",
            line="labelled {:.1%}",
            each_network=True,
            plotted=True,
        ),
    )
    columns = (SampleColumn("clean_probability", "float32", np.nan),)

    def check(self, epochs: int) -> None:
        check_warm_up(self.warm_up, epochs)

    @property
    def views(self) -> tuple[str, ...]:
        return TRAIN_VIEW, TRAIN_VIEW

    @property
    def notices(self) -> tuple[str, ...]:
        return (
            f"after {self.warm_up} epochs of warm-up, epochs have as many steps as the labelled samples fill, and a "
            "step costs about three times as much: the time left is not known before",
        )

    @property
    def relative_cost(self) -> float:
        # For each network, in mini-batches of B labelled and B unlabelled samples in two views: 4B images forward and
        # backward, 4B forward, 2B forward by the other network; as many mini-batches as Default's where all are
        # labelled. And the losses of all samples.
        return 2 * (4 + 4 / 3 + 2 / 3 + 1 / 3)

    def memory(self, num_samples: int, num_classes: int) -> dict[str, np.ndarray]:
        if num_samples < 2:
            raise TrainerError(f"dividemix: {num_samples} training sample, which cannot be divided; take 2 or more")
        return {
            "clean_probability": np.zeros((num_samples, 2), np.float32),
            "recent_losses": np.full((num_samples, 2, self.loss_epochs), np.nan, np.float32),
            "labelled_share": np.zeros(2, np.float32),
        }

    def sample_values(self, memory: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        never_divided = np.isnan(memory["recent_losses"][:, :, -1]).any(axis=1)
        return {"clean_probability": np.where(never_divided, np.nan, memory["clean_probability"].mean(axis=1))}

    def schedule(self, epoch: int, batch_size: int, noise_rate: float) -> dict[str, float]:
        # as in the middle of the epoch; the authors' code goes up step by step
        risen = (epoch + 0.5 - self.warm_up) / self.unlabelled_ramp if self.unlabelled_ramp else 1.0
        return {"unlabelled_weight": self.unlabelled_weight * min(1.0, max(0.0, risen))}

    def draw(self, rng: np.random.Generator, batch_size: int) -> dict[str, np.ndarray]:
        share = rng.beta(self.concentration, self.concentration)
        return {
            "share": np.asarray(max(share, 1 - share), np.float32),
            # of both views of all samples
            "partner": rng.permutation(2 * batch_size).astype(np.int32),
        }

    # Between and before epochs

    def epoch_end(
        self, epoch: int, memory: dict[str, np.ndarray], labels: np.ndarray, predict: Predict
    ) -> dict[str, np.ndarray]:
        if epoch + 1 < self.warm_up:
            return memory
        losses = [normalised_losses(predict(k), labels) for k in (0, 1)]
        recent = np.concatenate([memory["recent_losses"][:, :, 1:], np.stack(losses, axis=1)[:, :, None]], axis=2)
        averages = np.nanmean(recent, axis=2)
        probability = np.stack([clean_probabilities(averages[:, k]) for k in (0, 1)], axis=1)
        share = (probability > self.clean_threshold).mean(axis=0)[::-1].astype(np.float32)
        return {"clean_probability": probability, "recent_losses": recent, "labelled_share": share}

    def epoch_passes(
        self, epoch: int, batches: np.ndarray, memory: Mapping[str, np.ndarray], rng: np.random.Generator
    ) -> Sequence[Pass]:
        probability = memory["clean_probability"]
        half = min(batches.shape[1], len(probability) // 2)
        passes = []
        for k in (0, 1):
            by_other = probability[:, 1 - k]
            if epoch < self.warm_up or not (by_other > self.clean_threshold).any():
                indices, stage = mini_batches(rng.permutation(len(by_other)), 2 * half), WARM_UP
            else:
                indices, stage = divided_batches(by_other, self.clean_threshold, half, rng), DIVIDED
            passes.append(Pass(indices.astype(np.int32), (k == 0, k == 1), stage))
        return passes

    # A mini-batch

    def full_step(
        self, batch: Batch, networks: tuple[Network, ...], rows: dict[str, Tensor], schedule: dict[str, Tensor]
    ) -> Step:
        losses: list[Tensor | None] = [None, None]
        logits: list[Tensor | None] = [None, None]
        none = ops.zeros_like(batch.labels, dtype="float32")
        clean_sets, labelled = [none > 0, none > 0], [none, none]
        for k in (0, 1):
            if not batch.learns[k]:
                continue
            if batch.stage == WARM_UP:
                logits[k], losses[k] = self._warm_up(batch, networks[k])
            else:
                by_other = rows["clean_probability"][:, 1 - k]
                logits[k], losses[k] = self._divided(batch, networks[k], networks[1 - k], by_other, schedule)
                in_first_half = ops.arange(ops.shape(batch.labels)[0]) < half_of(batch)
                clean_sets[k] = ops.logical_and(in_first_half, by_other > self.clean_threshold)
                labelled[k] = none + rows["labelled_share"][k]
        return Step(
            tuple(losses),
            rows={},
            clean_sets=tuple(clean_sets),
            tallies={"labelled": labelled[0], "labelled_2": labelled[1]},
            logits=tuple(logits),
        )

    def _warm_up(self, batch: Batch, network: Network) -> tuple[Tensor, Tensor]:
        """Logits and loss of plain training."""
        logits = network(batch.views[0])
        log_p = ops.log_softmax(logits)
        loss = ops.mean(cross_entropies(batch.labels, log_p))
        if self.confidence_penalty:
            loss = loss + ops.mean(ops.sum(ops.exp(log_p) * log_p, axis=-1))
        return logits, loss

    def _divided(
        self, batch: Batch, network: Network, other: Network, by_other: Tensor, schedule: dict[str, Tensor]
    ) -> tuple[Tensor, Tensor]:
        """Logits of the first view, as it is, and the loss of a labelled and an unlabelled half."""
        half = half_of(batch)
        labelled = [view[:half] for view in batch.views]
        unlabelled = [view[half:] for view in batch.views]
        # Targets, without a gradient
        of_unlabelled = [network.frozen(images) for images in unlabelled]
        by_both = [*of_unlabelled, *(other.evaluate(images) for images in unlabelled)]
        guessed = sharpened(mean_probability(by_both), self.temperature)
        of_labelled = [network.frozen(images) for images in labelled]
        p = mean_probability(of_labelled)
        given = ops.one_hot(batch.labels[:half], p.shape[-1], dtype=p.dtype)
        w = by_other[:half, None]
        refined = sharpened(w * given + (1 - w) * p, self.temperature)
        # Mixup over both views of both halves
        share, partner = batch.draws["share"], batch.draws["partner"]
        images = ops.concatenate([*labelled, *unlabelled])
        targets = ops.stop_gradient(ops.concatenate([refined, refined, guessed, guessed]))
        mixed = share * images + (1 - share) * ops.take(images, partner, axis=0)
        targets = share * targets + (1 - share) * ops.take(targets, partner, axis=0)
        log_p = ops.log_softmax(network(mixed))
        # Losses
        supervised = -ops.mean(ops.sum(targets[: 2 * half] * log_p[: 2 * half], axis=-1))
        unsupervised = ops.mean(ops.square(ops.exp(log_p[2 * half :]) - targets[2 * half :]))
        loss = supervised + schedule["unlabelled_weight"] * unsupervised + divergence_from_uniform(log_p)
        return ops.concatenate([of_labelled[0], of_unlabelled[0]]), loss


def half_of(batch: Batch) -> Tensor:
    """How many samples of a divided mini-batch are labelled."""
    return ops.shape(batch.labels)[0] // 2


def mean_probability(all_logits: Sequence[Tensor]) -> Tensor:
    """(B, K) mean of the probabilities of several passes."""
    return ops.mean(ops.stack([ops.softmax(logits) for logits in all_logits]), axis=0)


def sharpened(p: Tensor, temperature: float) -> Tensor:
    """(B, K) p^(1/T), made to sum to 1; by logarithms, since a power may be too small for float32."""
    return ops.softmax(ops.log(p) / temperature)


def divergence_from_uniform(log_p: Tensor) -> Tensor:
    """Kullback-Leibler divergence Σ_k 1/K log(1/K / mean p_k) of the mean prediction; log_p: (B, K)."""
    count = ops.cast(ops.shape(log_p)[0], log_p.dtype)
    log_mean = ops.logsumexp(log_p, axis=0) - ops.log(count)
    return -math.log(log_p.shape[-1]) - ops.mean(log_mean)


def divided_batches(probability: np.ndarray, threshold: float, half: int, rng: np.random.Generator) -> np.ndarray:
    """(steps, 2 half) int: labelled samples once each, filled up, and beside them unlabelled ones, again and again.

    Args:
        probability: (N,) clean probabilities; N is at least 2 half.
    """
    order = np.argsort(-probability, kind="stable")
    count = int(np.clip(np.sum(probability > threshold), half, len(order) - half))
    labelled = mini_batches(rng.permutation(order[:count]), half)
    unlabelled: list[np.ndarray] = []
    while len(unlabelled) < len(labelled):
        unlabelled += [*mini_batches(rng.permutation(order[count:]), half)]
    return np.concatenate([labelled, np.stack(unlabelled[: len(labelled)])], axis=1)


def mini_batches(order: np.ndarray, size: int) -> np.ndarray:
    """(steps, size): `order`, at least `size` long, in mini-batches, the last one filled up with its first ones."""
    steps = -(-len(order) // size)
    return np.concatenate([order, order[: steps * size - len(order)]]).reshape(steps, size)
