"""Class probabilities of images, by a Keras network on either engine."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from trainer.data import Images
from trainer.methods.base import Tensor

PREDICTION_BATCH = 500


def predict(networks: Sequence[Any], images: Images, batch_size: int = PREDICTION_BATCH) -> np.ndarray:
    """(N, K) float32 probabilities: the softmax of the mean of networks' logits, in inference mode.

    Args:
        networks: one or more, each a keras.Model from (B, H, W, C) standardised float32 images to (B, K) logits, as
            `weights.load_network` gives it.
        images: (N, H, W, C) uint8, as the records have them, read `batch_size` at a time; they are standardised here as
            in training.
    """
    from trainer import ops

    together = zip(*(logits(network, images, batch_size) for network in networks), strict=True)
    batches = [
        np.asarray(ops.convert_to_numpy(ops.softmax(sum(parts[1:], parts[0]) / len(parts), axis=-1)))
        for parts in together
    ]
    return np.concatenate([np.empty((0, int(networks[0].output_shape[-1])), np.float32), *batches])


def logits(network: Any, images: Images, batch_size: int = PREDICTION_BATCH) -> Iterator[Tensor]:
    """Yields (B, K) float32 logits of `batch_size` images after the other, as `predict` has its arguments."""
    from trainer import ops
    from trainer.engine.step import standardise

    for start in range(0, images.shape[0], batch_size):
        rows = np.arange(start, min(start + batch_size, images.shape[0]))
        yield ops.cast(network(standardise(images[rows]), training=False), "float32")


def network_of(weights: dict[str, np.ndarray], network: Any, number: int = 1) -> Any:
    """Put a trained engine's weights into a network of the same kind, and return it.

    Args:
        weights: as `Engine.weights` gives them. network: built by `networks.build_network`. number: which of the
            engine's networks, from 1.
    """
    names = sorted(name for name in weights if name.startswith(f"network_{number}/"))
    network.set_weights([weights[name] for name in names])
    return network
