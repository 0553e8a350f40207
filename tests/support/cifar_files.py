"""Tiny CIFAR sets in every one of their official forms."""

from __future__ import annotations

import pickle
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from tests.support.image_sets import Examples, ImageSet, image_set

CIFAR10_TRAIN = tuple(f"data_batch_{number}" for number in range(1, 6))


def cifar10_set(train: int = 50, test: int = 10, seed: int = 0) -> ImageSet:
    return image_set(train, test, (3, 32, 32), {"fine": 10}, seed)


def cifar100_set(train: int = 100, test: int = 20, seed: int = 0) -> ImageSet:
    return image_set(train, test, (3, 32, 32), {"coarse": 20, "fine": 100}, seed)


def binary_batch(batch: Examples) -> bytes:
    """An official binary batch: the label bytes of a record (CIFAR-100: coarse, fine), then its pixels."""
    labels = np.stack([batch.labels[name] for name in sorted(batch.labels)], axis=1).astype(np.uint8)
    return np.concatenate([labels, batch.pixels.reshape(len(batch), -1)], axis=1).tobytes()


def cifar10_batches(content: ImageSet) -> Iterator[tuple[str, Examples]]:
    """(name, content) of the five training batches and the test batch."""
    train = content.splits["train"]
    edges = [len(train) * number // 5 for number in range(6)]
    for name, start, end in zip(CIFAR10_TRAIN, edges[:-1], edges[1:], strict=True):
        yield name, train.part(start, end)
    yield "test_batch", content.splits["test"]


def write_cifar10_binary(folder: Path, content: ImageSet) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, batch in cifar10_batches(content):
        (folder / f"{name}.bin").write_bytes(binary_batch(batch))
    (folder / "batches.meta.txt").write_text("\n".join(content.names["fine"]) + "\n\n")
    return folder


def write_cifar100_binary(folder: Path, content: ImageSet) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for split, batch in content.splits.items():
        (folder / f"{split}.bin").write_bytes(binary_batch(batch))
    for label_set, names in content.names.items():
        (folder / f"{label_set}_label_names.txt").write_text("\n".join(names) + "\n")
    return folder


Pickler = Callable[[dict[str, Any]], bytes]


def python3_pickle(values: dict[str, Any]) -> bytes:
    """Protocol 2 with bytes keys, as Python 3 writes it."""
    return pickle.dumps({key.encode(): value for key, value in values.items()}, protocol=2)


def python2_pickle(values: dict[str, Any]) -> bytes:
    """Protocol 2 as Python 2 wrote the official batches: strings as SHORT_BINSTRING, array bytes as BINSTRING."""
    items = b"".join(_python2(key) + _python2(value) for key, value in values.items())
    return b"\x80\x02}q\x01(" + items + b"u."


def _python2(value: Any) -> bytes:
    match value:
        case str():
            return b"U" + bytes([len(value)]) + value.encode()
        case int():
            return b"K" + bytes([value]) if value < 256 else b"J" + struct.pack("<i", value)
        case list():
            return b"](" + b"".join(map(_python2, value)) + b"e"
        case np.ndarray():
            return _python2_array(value)
    raise TypeError(f"no Python 2 form for {type(value).__name__}")


def _python2_array(array: np.ndarray) -> bytes:
    shape = b"(" + b"".join(map(_python2, array.shape)) + b"t"
    dtype = b"cnumpy\ndtype\nq\x07(U\x02u1K\x00K\x01tR(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
    empty = b"cnumpy.core.multiarray\n_reconstruct\nq\x05(cnumpy\nndarray\nq\x06(K\x00tU\x01btR"
    return empty + b"(K\x01" + shape + dtype + b"\x89T" + struct.pack("<i", array.nbytes) + array.tobytes() + b"tb"


def _pickled_examples(batch: Examples, keys: dict[str, str]) -> dict[str, Any]:
    labels = {keys[name]: values.tolist() for name, values in batch.labels.items()}
    return {"batch_label": "a batch", **labels, "data": batch.pixels.reshape(len(batch), -1)}


def write_cifar10_python(folder: Path, content: ImageSet, pickler: Pickler = python2_pickle) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, batch in cifar10_batches(content):
        (folder / name).write_bytes(pickler(_pickled_examples(batch, {"fine": "labels"})))
    meta = {"num_cases_per_batch": len(content.splits["train"]) // 5, "label_names": list(content.names["fine"])}
    (folder / "batches.meta").write_bytes(pickler(meta))
    return folder


def write_cifar100_python(folder: Path, content: ImageSet, pickler: Pickler = python2_pickle) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    keys = {"fine": "fine_labels", "coarse": "coarse_labels"}
    for split, batch in content.splits.items():
        (folder / split).write_bytes(pickler(_pickled_examples(batch, keys)))
    meta = {f"{label_set}_label_names": list(names) for label_set, names in content.names.items()}
    (folder / "meta").write_bytes(pickler(meta))
    return folder
