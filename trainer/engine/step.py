"""What a training step is, in `keras.ops`: the parts that do not depend on how an engine differentiates or loops."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from trainer import ops
from trainer.methods.base import Batch, Learned, Method, Network, Step, Tensor, cross_entropy

LAST_LOSS = "last_loss"
LAST_PREDICTION = "last_prediction"
MEAN_LOSS = "mean_loss"
MEAN_PROBABILITY = "mean_probability"
VISITS = "visits"
ENGINE_ROWS = (LAST_LOSS, LAST_PREDICTION, MEAN_LOSS, MEAN_PROBABILITY, VISITS)


def engine_memory(num_samples: int, num_classes: int) -> dict[str, np.ndarray]:
    """What every run remembers per sample beside the method's own memory, by the first network's forward passes.

    The last loss against the given label and the last prediction, and over all `visits` since the run's start the mean
    loss and the mean probabilities (N, K): a network memorises wrong labels late, so the means tell more of them.
    """
    return {
        LAST_LOSS: np.full(num_samples, np.nan, np.float32),
        LAST_PREDICTION: np.full(num_samples, -1, np.int32),
        MEAN_LOSS: np.zeros(num_samples, np.float32),
        MEAN_PROBABILITY: np.zeros((num_samples, num_classes), np.float32),
        VISITS: np.zeros(num_samples, np.int32),
    }


def standardise(images: Tensor) -> Tensor:
    """Per-image standardisation: (x - mean) / max(stddev, 1 / sqrt(numbers per image)).

    Args:
        images: (B, H, W, C) uint8; or (B, D) features, which stay as they are: they are standardised once, each number
            over all samples (`trainer.vectors.Scaling`).

    Returns:
        (B, H, W, C) or (B, D) float32.
    """
    images = ops.cast(images, "float32")
    if len(images.shape) == 2:
        return images
    count = float(np.prod(images.shape[1:]))
    mean = ops.mean(images, axis=(1, 2, 3), keepdims=True)
    centred = images - mean
    stddev = ops.sqrt(ops.mean(ops.square(centred), axis=(1, 2, 3), keepdims=True))
    return centred / ops.maximum(stddev, 1.0 / float(np.sqrt(count)))


def run_method(
    method: Method,
    batch: Batch,
    clean_labels: Tensor | None,
    networks: tuple[Network, ...],
    rows: dict[str, Tensor],
    schedule: dict[str, Tensor],
) -> tuple[Step, dict[str, Tensor], dict[str, Tensor]]:
    """One mini-batch through the method, and what is logged of it.

    Args:
        clean_labels: (B,) int32; the method does not see them.
        rows: the batch's rows of the method's and of the engine's memory, and what is learned beside the networks.

    Returns:
        What the method made of it; rows to write back, the engine's among them; sums over the batch as float32 scalars.
    """
    step = method.full_step(batch, networks, {key: rows[key] for key in rows if key not in ENGINE_ROWS}, schedule)
    predictions = tuple(
        None if logits is None else ops.cast(ops.argmax(logits, axis=-1), "int32") for logits in step.logits
    )
    new_rows = dict(step.rows)
    if predictions[0] is not None:
        new_rows |= _remember(rows, batch.labels, step.logits[0], predictions[0])
    sums = _sums(step, batch.labels, clean_labels, predictions)
    if type(method).epoch_passes is not Method.epoch_passes:
        # An epoch has mini-batches from which not all networks learn: each has a number of samples of its own
        for name in ("samples", "truly_clean"):
            count = sums.pop(name, None)
            if count is not None:
                sums |= {f"{name}{suffix(number)}": count * learns for number, learns in enumerate(batch.learns)}
    return step, new_rows, sums


def averaged(average: Tensor, value: Tensor, decay: float) -> Tensor:
    """A moving average with one value more."""
    return average + (value - average) * (1 - decay)


def descended(values: Tensor, gradient: Tensor, learning_rate: Tensor, declared: Learned) -> Tensor:
    """Learned numbers after a step of plain gradient descent, clipped to their range."""
    values = values - learning_rate * gradient
    values = values if declared.low is None else ops.maximum(values, declared.low)
    return values if declared.high is None else ops.minimum(values, declared.high)


def _remember(rows: dict[str, Tensor], labels: Tensor, logits: Tensor, prediction: Tensor) -> dict[str, Tensor]:
    """The engine's own rows with one visit more."""
    log_p = ops.log_softmax(logits)
    loss = cross_entropy(labels, log_p)
    visits = rows[VISITS] + 1
    share = 1.0 / ops.cast(visits, "float32")
    mean = rows[MEAN_PROBABILITY]
    return {
        LAST_LOSS: loss,
        LAST_PREDICTION: prediction,
        MEAN_LOSS: rows[MEAN_LOSS] + (loss - rows[MEAN_LOSS]) * share,
        MEAN_PROBABILITY: mean + (ops.exp(log_p) - mean) * share[:, None],
        VISITS: visits,
    }


def _sums(
    step: Step, labels: Tensor, clean_labels: Tensor | None, predictions: tuple[Tensor | None, ...]
) -> dict[str, Tensor]:
    count = ops.cast(ops.shape(labels)[0], "float32")
    none = 0.0 * count
    sums = {"samples": count}
    sums |= {name: _count(values) for name, values in step.tallies.items()}
    for name, replacing in step.labels.items():
        sums[name] = _count(replacing >= 0)
        if clean_labels is not None:
            sums[f"{name}_right"] = _count(ops.equal(replacing, clean_labels))
    for number, (loss, prediction) in enumerate(zip(step.losses, predictions, strict=True)):
        mark = suffix(number)
        sums[f"loss{mark}"] = none if loss is None else loss * count
        skipped = loss is None or prediction is None
        sums[f"errors{mark}"] = none if skipped else _count(ops.not_equal(prediction, labels))
        if clean_labels is not None:
            sums[f"clean_errors{mark}"] = none if skipped else _count(ops.not_equal(prediction, clean_labels))
    if clean_labels is not None:
        truly_clean = ops.equal(labels, clean_labels)
        sums["truly_clean"] = _count(truly_clean)
        for number, chosen in enumerate(step.clean_sets):
            sums[f"clean_set{suffix(number)}"] = _count(chosen)
            sums[f"clean_set_right{suffix(number)}"] = _count(ops.logical_and(chosen, truly_clean))
    return sums


def suffix(network: int) -> str:
    """What marks a network's figures: nothing for the first, which is the headline, "_2" for the second."""
    return f"_{network + 1}" if network else ""


def _count(mask: Tensor) -> Tensor:
    return ops.sum(ops.cast(mask, "float32"))


def evaluation_suffixes(method: Method | type[Method]) -> tuple[str, ...]:
    """What marks the figures of an evaluation, the headline's first, as `evaluations` has them."""
    if method.tested_together:
        return ("", *(f"_{number + 1}" for number in range(method.num_networks)))
    return tuple(map(suffix, range(method.num_networks)))


def evaluations(
    method: Method, labels: Tensor, all_logits: Sequence[Tensor], num_classes: int
) -> list[dict[str, Tensor]]:
    """`evaluation_sums` of each network, and before them of all together where the method is `tested_together`.

    Together they have the mean of their logits, which predicts what the sum predicts; the loss is the mean's, as in the
    authors' code of ELR+.

    Args:
        all_logits: (B, K) of each network.
    """
    together = [sum(all_logits[1:], all_logits[0]) / len(all_logits)] if method.tested_together else []
    return [evaluation_sums(labels, logits, num_classes) for logits in (*together, *all_logits)]


def evaluation_sums(labels: Tensor, logits: Tensor, num_classes: int) -> dict[str, Tensor]:
    """Sums over a batch of held-out images.

    Args:
        labels: (B,) int32, -1 for an image that does not count. logits: (B, K).

    Returns:
        "loss": scalar, the summed cross-entropy; "confusion": (K, K) float32, how many images of the class in the
        row were taken for the class in the column.
    """
    logits = ops.cast(logits, "float32")
    truth = ops.one_hot(labels, num_classes, dtype="float32")
    prediction = ops.one_hot(ops.argmax(logits, axis=-1), num_classes, dtype="float32")
    return {
        "loss": ops.sum(cross_entropy(labels, ops.log_softmax(logits))),
        "confusion": ops.matmul(ops.transpose(truth), prediction),
    }
