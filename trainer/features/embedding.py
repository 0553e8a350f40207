"""Images -> features, by a backbone, on either engine."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from datatools.errors import DataToolsError
from datatools.files.output import check_file
from datatools.format.dataset import Dataset
from datatools.format.metadata import SPLITS
from datatools.progress import Progress, no_progress
from trainer.data import Images, load
from trainer.engine import load_backend, quiet_stderr
from trainer.errors import TrainerError
from trainer.features.backbones import Backbone, check_backbone, load_backbone
from trainer.features.file import DTYPES, Facts, default_path, read_facts, write_features
from trainer.features.images import batches, check_channels, images_sha256, split_images

DEFAULT_BACKBONE = "efficientnet-lite0"
DEFAULT_SIZE = 160
DEFAULT_BATCH = 64
MIN_SIZE, MAX_SIZE = 32, 1024


class Made(NamedTuple):
    """What became of `make_features`: the file, and whether it was made or stood there already."""

    path: Path
    is_new: bool


def embed(dataset: Dataset, backbone: str = DEFAULT_BACKBONE, size: int = DEFAULT_SIZE) -> Path:
    """Make the features of a dataset's images, unless they are there: `make_features` with its defaults.

    Returns:
        The features file.

    Raises:
        DataToolsError: as `make_features`.
    """
    return make_features(dataset, backbone, size).path


def make_features(
    dataset: Dataset,
    backbone: str = DEFAULT_BACKBONE,
    size: int = DEFAULT_SIZE,
    *,
    weights: Path | None = None,
    dtype: str = "float16",
    batch_size: int = DEFAULT_BATCH,
    engine: str = "tensorflow",
    out: Path | None = None,
    overwrite: bool = False,
    progress: Progress = no_progress,
) -> Made:
    """Make the features of both splits of a dataset by a backbone, and write them to a features file.

    Args:
        size: side of the square that each image is resized to, in pixels. weights: a file; None for the backbone's own.
        dtype: of the numbers in the file, one of file.DTYPES. out: the file; None for `file.default_path`.
        overwrite: replace a file of other features; one of the same is left as it is.
        progress: called with (images done, in all).

    Raises:
        DataToolsError: no such backbone, no weights, images that it does not take, or other features stand there.
    """
    check_backbone(backbone)
    if not MIN_SIZE <= size <= MAX_SIZE:
        raise TrainerError(f"--size {size}: {MIN_SIZE} to {MAX_SIZE} pixels are expected")
    if dtype not in DTYPES:
        raise TrainerError(f"--dtype {dtype}: {' or '.join(DTYPES)} is expected")
    if batch_size < 1:
        raise TrainerError(f"--batch-size {batch_size}: at least 1 is expected")
    data = load(dataset)
    check_channels(data.image_shape)
    digest = images_sha256(data)
    path = default_path(dataset, backbone, size, digest) if out is None else out
    load_backend(engine)
    with quiet_stderr():
        network = load_backbone(backbone, size, weights)
    facts = Facts(backbone, size, network.weights_sha256, digest, dtype)
    if path.is_file() and _same(path, facts):
        return Made(path, is_new=False)
    check_file(path, (".h5",), overwrite)
    total = sum(split_images(data, split).shape[0] for split in SPLITS)
    features, done = {}, 0
    for split in SPLITS:
        images = split_images(data, split)

        def report(count: int, before: int = done) -> None:
            progress(before + count, total)

        with np.errstate(over="ignore"):  # what float16 cannot hold is refused as it is written
            features[split] = _embedded(network, images, batch_size, report).astype(dtype)
        done += images.shape[0]
    write_features(path, facts, features)
    return Made(path, is_new=True)


def _same(path: Path, facts: Facts) -> bool:
    try:
        return read_facts(path) == facts
    except DataToolsError:  # it is damaged, and replaced where that is asked for
        return False


def embed_images(
    images: Images,
    backbone: str = DEFAULT_BACKBONE,
    size: int = DEFAULT_SIZE,
    *,
    weights: Path | None = None,
    batch_size: int = DEFAULT_BATCH,
) -> np.ndarray:
    """(N, D) float32 features of images in memory, as `make_features` makes them; Keras has been loaded.

    Args:
        images: (N, H, W, 1 or 3) uint8.

    Raises:
        DataToolsError: no such backbone, no weights, or images that it does not take.
    """
    check_channels(images.shape[1:])
    return _embedded(load_backbone(backbone, size, weights), images, batch_size, lambda count: None)


def _embedded(backbone: Backbone, images: Images, batch_size: int, progress: Callable[[int], None]) -> np.ndarray:
    """(N, D) float32 features; `progress` is called with the number of images done."""
    count = images.shape[0]
    features = np.empty((count, backbone.network.output_shape[-1]), np.float32)
    size = max(1, min(batch_size, count))
    for start, pixels in zip(range(0, count, size), batches(images, backbone.size, size), strict=True):
        part = np.asarray(backbone.network.predict_on_batch(backbone.preprocess(pixels)))
        end = min(start + size, count)
        features[start:end] = part[: end - start]
        progress(end)
    return features
