"""What a training step is, in `keras.ops`: the parts that do not hang on how an engine differentiates or loops."""

from __future__ import annotations

from typing import Any

import numpy as np

from trainer import ops
from trainer.methods.base import Method, Step, Tensor, cross_entropy

LAST_LOSS = "last_loss"
LAST_PREDICTION = "last_prediction"


def engine_memory(num_samples: int) -> dict[str, np.ndarray]:
    """What every run remembers per sample beside the method's own memory, by the first network's forward pass."""
    return {
        LAST_LOSS: np.full(num_samples, np.nan, np.float32),
        LAST_PREDICTION: np.full(num_samples, -1, np.int32),
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
    knobs: dict[str, Tensor],
) -> tuple[tuple[Tensor, ...], dict[str, Tensor], dict[str, Tensor]]:
    """One mini-batch through the method, and what is logged of it.

    Args:
        labels, clean_labels: (B,) int32; the method sees only the given ones. logits: (B, K) per network.
        rows: the batch's rows of the method's and of the engine's memory.

    Returns:
        losses to differentiate; rows to write back; sums over the batch as float32 scalars.
    """
    logits = tuple(ops.cast(own, "float32") for own in logits)
    own_rows = {key: rows[key] for key in rows if key not in (LAST_LOSS, LAST_PREDICTION)}
    step = method.step(labels, logits, own_rows, knobs)
    prediction = ops.cast(ops.argmax(logits[0], axis=-1), "int32")
    rows = {
        **step.rows,
        LAST_LOSS: cross_entropy(labels, ops.log_softmax(logits[0])),
        LAST_PREDICTION: prediction,
    }
    return step.losses, rows, _sums(step, labels, clean_labels, prediction)


def _sums(step: Step, labels: Tensor, clean_labels: Tensor | None, prediction: Tensor) -> dict[str, Tensor]:
    count = ops.cast(ops.shape(labels)[0], "float32")
    sums = {
        "samples": count,
        "loss": step.losses[0] * count,
        "errors": _count(ops.not_equal(prediction, labels)),
    }
    if step.refurbishable is not None:
        sums["refurbishable"] = _count(step.refurbishable)
    if step.refurbished_labels is not None:
        sums["refurbished"] = _count(step.refurbished_labels >= 0)
    if clean_labels is None:
        return sums
    truly_clean = ops.equal(labels, clean_labels)
    sums["clean_errors"] = _count(ops.not_equal(prediction, clean_labels))
    sums["truly_clean"] = _count(truly_clean)
    if step.clean_set is not None:
        sums["clean_set"] = _count(step.clean_set)
        sums["clean_set_right"] = _count(ops.logical_and(step.clean_set, truly_clean))
    if step.refurbished_labels is not None:
        sums["refurbished_right"] = _count(ops.equal(step.refurbished_labels, clean_labels))
    return sums


def _count(mask: Tensor) -> Tensor:
    return ops.sum(ops.cast(mask, "float32"))


def test_sums(labels: Tensor, logits: Tensor) -> dict[str, Tensor]:
    """Sums over a batch of test images: samples, loss, errors. labels: (B,) int32; logits: (B, K)."""
    logits = ops.cast(logits, "float32")
    return {
        "samples": ops.cast(ops.shape(labels)[0], "float32"),
        "loss": ops.sum(cross_entropy(labels, ops.log_softmax(logits))),
        "errors": _count(ops.not_equal(ops.cast(ops.argmax(logits, axis=-1), "int32"), labels)),
    }


def dropout_seeds(network: Any) -> list[Any]:
    """The seed generators of a network's dropout layers, in order."""
    return [layer.seed_generator for layer in network.layers if hasattr(layer, "seed_generator")]
