"""What a training step is, in `keras.ops`: the parts that do not depend on how an engine differentiates or loops."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from trainer import ops
from trainer.methods.base import Method, Step, Tensor, Update, cross_entropy, mean_over

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
        images: (B, H, W, C) uint8.

    Returns:
        (B, H, W, C) float32.
    """
    images = ops.cast(images, "float32")
    count = float(np.prod(images.shape[1:]))
    mean = ops.mean(images, axis=(1, 2, 3), keepdims=True)
    centred = images - mean
    stddev = ops.sqrt(ops.mean(ops.square(centred), axis=(1, 2, 3), keepdims=True))
    return centred / ops.maximum(stddev, 1.0 / float(np.sqrt(count)))


def run_method(
    method: Method,
    labels: Tensor,
    clean_labels: Tensor | None,
    logits: tuple[Tensor, ...],
    rows: dict[str, Tensor],
    schedule: dict[str, Tensor],
) -> tuple[Step, dict[str, Tensor], dict[str, Tensor]]:
    """One mini-batch through the method, and what is logged of it.

    Args:
        labels, clean_labels: (B,) int32; the method sees only the given ones. logits: (B, K) per network.
        rows: the batch's rows of the method's and of the engine's memory.

    Returns:
        What the method made of it; rows to write back, the engine's among them; sums over the batch as float32 scalars.
    """
    logits = tuple(ops.cast(values, "float32") for values in logits)
    method_rows = {key: rows[key] for key in rows if key not in ENGINE_ROWS}
    step = method.step(labels, logits, method_rows, schedule)
    predictions = tuple(ops.cast(ops.argmax(values, axis=-1), "int32") for values in logits)
    rows = {**step.rows, **_remember(rows, labels, logits[0], predictions[0])}
    return step, rows, _sums(step, labels, clean_labels, predictions)


def update_loss(update: Update, logits: Tensor) -> Tensor:
    """The scalar loss of a second forward pass. logits: (B, K), of that pass."""
    log_p = ops.log_softmax(ops.cast(logits, "float32"))
    return mean_over(update.samples, cross_entropy(update.targets, log_p))


def with_update_losses(sums: dict[str, Tensor], losses: Iterable[Tensor]) -> dict[str, Tensor]:
    """The sums, with the losses that a second pass was differentiated by in place of the first one's."""
    return {**sums, **{f"loss{suffix(number)}": loss * sums["samples"] for number, loss in enumerate(losses)}}


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
    step: Step, labels: Tensor, clean_labels: Tensor | None, predictions: tuple[Tensor, ...]
) -> dict[str, Tensor]:
    count = ops.cast(ops.shape(labels)[0], "float32")
    sums = {"samples": count}
    # What the method counts, and the labels that it puts in the place of the given ones
    sums |= {name: _count(values) for name, values in step.tallies.items()}
    for name, replacing in step.labels.items():
        sums[name] = _count(replacing >= 0)
        if clean_labels is not None:
            sums[f"{name}_right"] = _count(ops.equal(replacing, clean_labels))
    # Each network's loss and errors
    for number, (loss, prediction) in enumerate(zip(step.losses, predictions, strict=True)):
        mark = suffix(number)
        sums[f"loss{mark}"] = loss * count
        sums[f"errors{mark}"] = _count(ops.not_equal(prediction, labels))
        if clean_labels is not None:
            sums[f"clean_errors{mark}"] = _count(ops.not_equal(prediction, clean_labels))
    # How many of the samples that the method takes for clean are
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
