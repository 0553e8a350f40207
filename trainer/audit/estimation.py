"""Noise rate and transition matrix of a dataset nobody knows, from out-of-sample predictions.

Each fold's images are predicted by a network that was trained on the other folds, and only so long as it becomes better
on the fold: a network that has memorised wrong labels, or seen the fold, would find nothing wrong. The epoch is chosen
by the cross-entropy on the fold's given labels, so no clean label is needed.

Two figures come out. The confident joint counts how many samples with label i are confidently of class j, scaled to the
numbers of the given labels (Northcutt, Jiang, Chuang: "Confident Learning: Estimating Uncertainty in Dataset Labels",
JAIR 2021, eq. 1 to 3; computed by cleanlab): it gives a rate and a transition matrix, and is the headline. A mixture of
two components on the losses of the given labels, less that of the likeliest other label, is fitted as a second opinion:
the weight of the component of larger loss (Arazo et al.: "Unsupervised Label Noise Modeling and Loss Correction", ICML
2019; with Gaussians as in Li, Socher, Hoi: "DivideMix", ICLR 2020). The intervals are 95% percentile intervals of a
bootstrap over samples, with the predictions held fixed: they tell how much is chance of the sample, and nothing of the
network's own mistakes.
docs/decisions/0017-noise-estimate.md
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from datatools.format.dataset import Dataset
from datatools.seeding import stream, uniforms
from trainer.config import RunConfig, resolve
from trainer.data import RecordImages, TrainingData, epoch_order, load
from trainer.engine import make_engine
from trainer.engine.prediction import network_of, predict
from trainer.errors import TrainerError
from trainer.networks import build_network

Progress = Callable[[int, int], None]
PATIENCE = 4
"""Training of a fold ends after so many epochs without a lower loss on the held-out fold."""
INTERVAL = (2.5, 97.5)
"""Percentiles of the bootstrap."""
SMALLEST_PROBABILITY = 1e-4
"""Below this a probability's loss says nothing more."""


@dataclass(frozen=True)
class Predictions:
    """Out-of-sample predictions, a row a training sample, in id order.

    Attributes:
        labels: (N,) int64 given labels. probability: (N, K) float64. folds: (N,) int64, which fold held a sample out.
        epochs: how many epochs the network of each fold was trained.
    """

    labels: np.ndarray
    probability: np.ndarray
    folds: np.ndarray
    epochs: tuple[int, ...]


@dataclass(frozen=True)
class Estimate:
    """A figure and its 95% interval."""

    value: float
    low: float
    high: float


def fold_numbers(labels: np.ndarray, folds: int, seed: int) -> np.ndarray:
    """(N,) int64 fold of each sample, 0..folds-1: each label spread as evenly as can be, a function of (seed, id).

    Raises:
        TrainerError: fewer than two folds, or a label with fewer samples than folds.
    """
    if folds < 2:
        raise TrainerError(f"--folds {folds}: at least 2 are expected")
    counts = np.bincount(labels)
    small = np.flatnonzero((counts > 0) & (counts < folds))
    if len(small):
        raise TrainerError(
            f"--folds {folds}: too few samples for so many, label {small[0]} has {counts[small[0]]}; lower --folds, to "
            "2 at the least, or leave classes that are smaller out of the dataset"
        )
    lots = uniforms(seed, "noise estimate folds", np.arange(len(labels)))
    order = np.lexsort((lots, labels))
    place = np.empty(len(labels), np.int64)
    # dealt on from one label to the next, so that the folds' sizes differ by at most one
    place[order] = np.arange(len(labels))
    return place % folds


def predict_out_of_sample(
    dataset: Dataset, config: RunConfig, folds: int, progress: Progress = lambda done, total: None
) -> Predictions:
    """Train on all folds but one, predict that one, for each.

    Args:
        config: of the method "default"; `epochs` is how many at most. progress: called with (epochs done, in all).

    Raises:
        TrainerError: as `fold_numbers`, and as an engine.
    """
    whole = load(dataset)
    numbers = fold_numbers(whole.train_labels.astype(np.int64), folds, config.seed)
    probability = np.empty((whole.num_samples, whole.num_classes))
    epochs = []
    for fold in range(folds):

        def report(done: int, fold: int = fold) -> None:
            progress(fold * config.epochs + done, folds * config.epochs)

        held_out = np.flatnonzero(numbers == fold)
        data = _without(dataset, whole, held_out)
        weights, best = _train(data, config, fold, report)
        network = network_of(weights, _empty_network(config, data))
        probability[held_out] = predict([network], data.test_images)
        epochs.append(best)
    probability /= probability.sum(axis=1, keepdims=True)
    return Predictions(whole.train_labels.astype(np.int64), probability, numbers, tuple(epochs))


def estimate_settings(dataset: Dataset, **settings: Any) -> RunConfig:
    """The settings with which `predict_out_of_sample` trains: Default, told no noise.

    Raises:
        TrainerError: as `config.resolve`.
    """
    return resolve("default", dataset, preset="quick", noise_rate=0.0, **settings)


def _without(dataset: Dataset, whole: TrainingData, held_out: np.ndarray) -> TrainingData:
    """The training data without the ids `held_out`, which stand in the place of the test split."""
    batches = list(dataset.batches("train"))
    places = np.argsort(dataset.ids("train"), kind="stable")
    kept = np.setdiff1d(np.arange(whole.num_samples), held_out)
    return TrainingData(
        train_images=RecordImages(batches, places[kept]),
        train_labels=whole.train_labels[kept],
        test_images=RecordImages(batches, places[held_out]),
        test_labels=whole.train_labels[held_out],
        clean_labels=None,
        num_classes=whole.num_classes,
    )


def _train(
    data: TrainingData, config: RunConfig, fold: int, report: Callable[[int], None]
) -> tuple[dict[str, np.ndarray], int]:
    """Weights of the epoch with the lowest loss on the fold, and its number."""
    method = config.make_method()
    engine = make_engine(config, method, data)
    engine.reset(fold)
    lowest, best, weights = np.inf, 0, engine.weights()
    for epoch in range(config.epochs):
        engine.begin_epoch(fold, epoch, config.learning_rate_at(epoch))
        indices = epoch_order(data.num_samples, config.batch_size, config.seed, fold, epoch)
        engine.train(indices, method.schedule(epoch, indices.shape[1], config.noise_rate))
        loss = engine.evaluate()[0]["loss"]
        if not np.isfinite(loss):
            raise TrainerError(
                f"fold {fold + 1}, epoch {epoch + 1}: the loss is not finite; lower --learning-rate "
                f"{config.learning_rate:g}"
            )
        if loss < lowest:
            lowest, best, weights = loss, epoch + 1, engine.weights()
        report(epoch + 1)
        if epoch + 1 - best >= PATIENCE:
            break
    return weights, best


def _empty_network(config: RunConfig, data: TrainingData) -> Any:
    rng = np.random.default_rng(0)
    return build_network(config.network, data.image_shape, data.num_classes, rng, config.precision)


# --- from predictions to figures -------------------------------------------------------------------------------------


def joint_distribution(labels: np.ndarray, probability: np.ndarray) -> np.ndarray:
    """(K, K) float64 estimate of P(given label = row, true label = column), by cleanlab's confident joint.

    Args:
        labels: (N,) int64. probability: (N, K) float64, out of sample.

    Raises:
        TrainerError: cleanlab is not installed.
    """
    cleanlab_count = load_cleanlab()
    counts = np.asarray(cleanlab_count.compute_confident_joint(labels, probability, calibrate=True), np.float64)
    return np.asarray(counts / counts.sum())


def load_cleanlab() -> Any:
    """cleanlab.count, or one line that says how to get it."""
    try:
        from cleanlab import count
    except ImportError as error:
        raise TrainerError(
            f"the confident joint needs cleanlab, which cannot be loaded ({error}); install it with pip install "
            "'selfie-noisy-labels[estimate]'"
        ) from None
    return count


def rate_of(joint: np.ndarray) -> float:
    """The noise rate of a joint distribution: what is off its diagonal."""
    return float(1 - np.trace(joint))


def transition_matrix(joint: np.ndarray) -> np.ndarray:
    """(K, K) float64 T[i, j] = P(given = j | true = i); an identity row for a class that nothing is estimated to be."""
    true = joint.sum(axis=0)[:, None]
    return np.where(true > 0, joint.T / np.where(true > 0, true, 1), np.eye(len(joint)))


def relative_losses(labels: np.ndarray, probability: np.ndarray) -> np.ndarray:
    """(N,) cross-entropy of the given label less that of the likeliest other one; above 0 where that is likelier.

    Probabilities count as at least SMALLEST_PROBABILITY.
    """
    loss = -np.log(np.maximum(probability, SMALLEST_PROBABILITY))
    rows = np.arange(len(labels))
    label_loss = loss[rows, labels]
    loss[rows, labels] = np.inf
    return np.asarray(label_loss - loss.min(axis=1))


def mixture_rate(values: np.ndarray, start: np.ndarray | None = None) -> tuple[float, np.ndarray]:
    """Weight of the component of larger mean of two Gaussians, and both means, ascending, to start the next fit from.

    Args:
        values: (N,) relative losses. start: (2,) means to start from; None for the 10th and the 90th percentile.
    """
    from sklearn.mixture import GaussianMixture

    means = np.percentile(values, (10, 90)) if start is None else start
    model = GaussianMixture(2, means_init=means[:, None], init_params="k-means++", random_state=0, reg_covar=1e-4)
    model.fit(values[:, None])
    order = np.argsort(model.means_[:, 0])
    return float(model.weights_[order[1]]), model.means_[order, 0]


def bootstrap_rows(count: int, seed: int, number: int) -> np.ndarray:
    """(count,) int64 rows drawn with replacement: a function of (seed, number)."""
    raw = np.asarray(stream(seed, "noise estimate bootstrap", number).random_raw(count), np.uint64)
    return (raw % np.uint64(count)).astype(np.int64)


def estimate(
    predictions: Predictions, seed: int, repeats: int = 200, progress: Progress = lambda done, total: None
) -> tuple[Estimate, Estimate, np.ndarray]:
    """The confident joint's and the mixture's noise rate, and the joint distribution (K, K).

    Args:
        repeats: of the bootstrap. progress: called with (repeats done, in all).
    """
    joint = joint_distribution(predictions.labels, predictions.probability)
    losses = relative_losses(predictions.labels, predictions.probability)
    mixture, means = mixture_rate(losses)
    rates = np.empty((repeats, 2))
    for number in range(repeats):
        rows = bootstrap_rows(len(predictions.labels), seed, number)
        rates[number, 0] = rate_of(joint_distribution(predictions.labels[rows], predictions.probability[rows]))
        rates[number, 1] = mixture_rate(losses[rows], means)[0]
        progress(number + 1, repeats)
    low, high = np.percentile(rates, INTERVAL, axis=0)
    return (
        Estimate(rate_of(joint), float(low[0]), float(high[0])),
        Estimate(mixture, float(low[1]), float(high[1])),
        joint,
    )
