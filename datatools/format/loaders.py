"""A dataset for the input pipelines of TensorFlow and PyTorch; either is loaded when its function is called."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from datatools.errors import DataToolsError
from datatools.format.records import records_per_piece

if TYPE_CHECKING:
    from datatools.format.dataset import Dataset


def to_tf(dataset: Dataset, split: str = "train") -> Any:
    """The records of a split as a `tf.data.Dataset`, in record order; shuffling and batching are the caller's.

    The batch files are read through memory maps, about 1 MiB at a time, so a set larger than the memory will do.

    Returns:
        A dataset of (image, label): (height, width, depth) uint8 and a scalar int32. It knows its cardinality.

    Raises:
        DataToolsError: TensorFlow is not installed.
    """
    try:
        import tensorflow as tf
    except ModuleNotFoundError:
        raise DataToolsError("to_tf: TensorFlow is not installed; install tensorflow") from None

    shape = dataset.metadata.image_shape

    def pieces() -> Iterator[tuple[np.ndarray, np.ndarray]]:
        step = records_per_piece(shape)
        for batch in dataset.batches(split):
            for start in range(0, len(batch), step):
                piece = batch[start : start + step]
                images = np.ascontiguousarray(piece["pixels"].transpose(0, 2, 3, 1))
                yield images, piece["label"].astype(np.int32)

    signature = (
        tf.TensorSpec((None, shape.height, shape.width, shape.depth), tf.uint8),
        tf.TensorSpec((None,), tf.int32),
    )
    # a generator costs much for each element that it gives: whole pieces, and TensorFlow takes them apart
    records = tf.data.Dataset.from_generator(pieces, output_signature=signature).unbatch()
    return records.apply(tf.data.experimental.assert_cardinality(dataset.metadata.num_records(split)))


def to_torch(dataset: Dataset, split: str = "train") -> Any:
    """The records of a split as a map-style `torch.utils.data.Dataset`, in record order.

    Each image is read through a memory map when it is asked for. It pickles as a path, so a DataLoader may read it in
    several processes.

    Returns:
        A dataset of (image, label): a (depth, height, width) uint8 tensor and an int.

    Raises:
        DataToolsError: PyTorch is not installed.
    """
    try:
        from datatools.format.torch_records import TorchRecords
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        raise DataToolsError("to_torch: PyTorch is not installed; install torch") from None
    return TorchRecords(dataset.split(split))
