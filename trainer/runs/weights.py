"""weights.h5 -> a network that classifies: what a finished run has learned, for use outside of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np

from datatools.format.dataset import Dataset, open_dataset
from trainer.engine import load_backend
from trainer.engine.prediction import PREDICTION_BATCH, logits
from trainer.errors import TrainerError
from trainer.networks import build_network
from trainer.runs.config_file import read_config_file
from trainer.runs.directory import SCALING, WEIGHTS_FILE
from trainer.runs.reading import plain_dataset, plain_group, readable
from trainer.vectors import Scaling

IF_MISSING = "weights are written when a run is finished, go on with --resume"
WHICH = ("last", "selected")
"""Of which epoch: the final run's last, or the one that was selected on held-out samples."""


def load_network(
    directory: Path, which: str = "last", number: int = 1, dataset: Dataset | None = None, engine: str | None = None
) -> Any:
    """The network of a finished run, as a keras.Model from (B, H, W, C) standardised float32 images to (B, K) logits.

    Of a run on features it takes (B, D) of them, standardised by `read_scaling`.

    Args:
        directory: the run's. which: one of WHICH. number: which of the method's networks, from 1.
        dataset: any of the run's image shape and classes; None for the run's own, from the path in its config.json.
        engine: what Keras is to run on, "tensorflow" or "jax"; None for the run's. The weights fit both.

    Raises:
        DataToolsError: the dataset is not where it was.
        TrainerError: the run is not finished, has no such weights, or they are not of this network and dataset; or the
            engine is not installed, or Keras runs on another one in this process.
    """
    config_file = read_config_file(directory)
    config = config_file.run_config()
    values = read_weights(directory, which, number)
    metadata = (dataset or open_dataset(config_file.dataset_path())).metadata
    shape = metadata.image_shape
    taken: tuple[int, ...] = (shape.height, shape.width, shape.depth)
    what = f"{shape.height}x{shape.width}x{shape.depth} images"
    if config.features is not None:
        taken = read_scaling(directory).mean.shape
        what = f"{taken[0]:,} features"
    load_backend(engine or config.engine)
    network = build_network(config.network, taken, metadata.num_classes, np.random.default_rng(0), config.precision)
    if [weight.shape for weight in network.weights] != [value.shape for value in values]:
        raise TrainerError(
            f"{directory / WEIGHTS_FILE}: not the weights of {config.network} for {metadata.num_classes} classes of "
            f"{what}; name the dataset the run was trained on"
        )
    network.set_weights(values)
    return network


def read_scaling(directory: Path) -> Scaling:
    """What the features of a finished run on features were standardised by.

    Raises:
        TrainerError: the run is not finished, or its weights.h5 has no scaling, or is damaged.
    """
    path = directory / WEIGHTS_FILE
    with readable(path, IF_MISSING), h5py.File(path, "r") as file:
        arrays = plain_group(file, SCALING)
        mean, stddev = _array(arrays, "mean"), _array(arrays, "stddev")
        if mean.ndim != 1 or mean.shape != stddev.shape or not (stddev > 0).all() or not np.isfinite(mean).all():
            raise ValueError(f"'{SCALING}' is no scaling")
        return Scaling(mean, stddev)


def read_weights(directory: Path, which: str = "last", number: int = 1) -> list[np.ndarray]:
    """The arrays of a network of a finished run, in the order of `keras.Model.weights`.

    Args:
        directory: the run's. which: one of WHICH. number: which of the method's networks, from 1.

    Raises:
        TrainerError: the run is not finished, has no such weights, or the file is damaged.
    """
    path = directory / WEIGHTS_FILE
    if which not in WHICH:
        raise TrainerError(f"weights '{which}': not known; known are {', '.join(WHICH)}")
    with readable(path, IF_MISSING), h5py.File(path, "r") as file:
        if which not in file:
            raise TrainerError(
                f"{path}: has no weights of a selected epoch; a run with --validation-fraction selects one"
            )
        networks = plain_group(file, which)
        if f"network_{number}" not in networks:
            raise TrainerError(f"{path}: has no network {number}, but {len(networks)}, numbered from 1")
        arrays = plain_group(networks, f"network_{number}")
        return [_array(arrays, name) for name in sorted(arrays)]


def _array(arrays: h5py.Group, name: str) -> np.ndarray:
    values = plain_dataset(arrays, name)
    if values.dtype != np.float32:
        raise ValueError(f"'{name}' is {values.dtype}, expected float32")
    return np.asarray(values[()])


def classify(network: Any, images: np.ndarray) -> np.ndarray:
    """The class that a network takes each image for: (N,) int32.

    Args:
        network: as `load_network` gives it. images: (N, H, W, C) uint8, as the records have them; they are
            standardised here as in training.
    """
    from trainer import ops

    parts = logits(network, images, PREDICTION_BATCH)
    classes = [ops.convert_to_numpy(ops.argmax(part, axis=-1)).astype(np.int32) for part in parts]
    return np.concatenate([np.empty(0, np.int32), *classes])
