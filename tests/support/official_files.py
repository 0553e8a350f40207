"""Tiny MNIST, Tiny-ImageNet, ANIMAL-10N and image folders in their official layouts."""

from __future__ import annotations

import gzip
import io
import struct
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
from PIL import Image

from tests.support.image_sets import Examples, ImageSet, image_set


def mnist_set(train: int = 30, test: int = 10, seed: int = 0) -> ImageSet:
    content = image_set(train, test, (1, 28, 28), {"fine": 10}, seed)
    return ImageSet(content.splits, {"fine": tuple("0123456789")})


def idx(array: np.ndarray) -> bytes:
    """A uint8 array as an idx file."""
    header = bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    return header + array.astype(np.uint8).tobytes()


def write_mnist(folder: Path, content: ImageSet, gzipped: bool = False) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for split, prefix in (("train", "train"), ("test", "t10k")):
        batch = content.splits[split]
        files = {"images-idx3-ubyte": idx(batch.pixels[:, 0]), "labels-idx1-ubyte": idx(batch.labels["fine"])}
        for name, data in files.items():
            packed = gzip.compress(data, mtime=0) if gzipped else data
            (folder / f"{prefix}-{name}{'.gz' * gzipped}").write_bytes(packed)
    return folder


# --- Tiny-ImageNet ---------------------------------------------------------------------------------------------------


def jpeg(pixels: np.ndarray) -> bytes:
    """(3, height, width) uint8 as a JPEG."""
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels.transpose(1, 2, 0))).save(buffer, "JPEG")
    return buffer.getvalue()


def tiny_imagenet_set(classes: int = 3, train_each: int = 4, test: int = 6, seed: int = 0) -> ImageSet:
    """Images as they look after a JPEG; the training images by class, as the official folders are."""
    content = image_set(classes * train_each, test, (3, 64, 64), {"fine": classes}, seed)
    content.splits["train"].labels["fine"].sort()
    return content


def write_tiny_imagenet(folder: Path, content: ImageSet) -> tuple[Path, ImageSet]:
    """Write the official folders; return what is in them, which after a JPEG is not quite `content`."""
    wnids = [f"n{number:08}" for number in range(len(content.names["fine"]))]
    files: dict[str, list[Path]] = {"train": [], "test": []}
    for split, batch in content.splits.items():
        for number, label in enumerate(batch.labels["fine"]):
            name = {"train": f"train/{wnids[label]}/images/{wnids[label]}_{number}", "test": f"val/images/val_{number}"}
            path = folder / f"{name[split]}.JPEG"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(jpeg(batch.pixels[number]))
            files[split].append(path)
    (folder / "wnids.txt").write_text("".join(f"{wnid}\n" for wnid in reversed(wnids)))
    words = zip(wnids, content.names["fine"], strict=True)
    (folder / "words.txt").write_text("".join(f"{wnid}\t{name}, other words\n" for wnid, name in words))
    test_labels = content.splits["test"].labels["fine"]
    lines = [f"val_{number}.JPEG\t{wnids[label]}\t0\t32\t44\t62\n" for number, label in enumerate(test_labels)]
    (folder / "val" / "val_annotations.txt").write_text("".join(lines))
    decoded = {split: np.stack([_decoded(path) for path in paths]) for split, paths in files.items()}
    splits = {split: Examples(decoded[split], content.splits[split].labels) for split in files}
    return folder, ImageSet(splits, content.names)


def _decoded(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB")).transpose(2, 0, 1)


# --- ANIMAL-10N ------------------------------------------------------------------------------------------------------

ANIMALS = ("cat", "lynx", "wolf", "coyote", "cheetah", "jaguar", "chimpanzee", "orangutan", "hamster", "guinea pig")


def animal10n_set(train: int = 30, test: int = 10, seed: int = 0) -> ImageSet:

    content = image_set(train, test, (3, 64, 64), {"fine": 10}, seed)
    return ImageSet(content.splits, {"fine": ANIMALS})


def record_bytes(batch: Examples, ids: np.ndarray) -> bytes:
    """Records as they stand in a batch file, put together by hand."""
    rows = zip(ids.tolist(), batch.labels["fine"].tolist(), batch.pixels, strict=True)
    return b"".join(struct.pack(">II", number, label) + pixels.tobytes() for number, label, pixels in rows)


def write_animal10n_binary(folder: Path, content: ImageSet, files: int = 3, first_id: int = 0) -> Path:
    """The released binary batches; ids run on over the files from `first_id`."""
    folder.mkdir(parents=True, exist_ok=True)
    train = content.splits["train"]
    edges = [len(train) * number // files for number in range(files + 1)]
    for number, (start, end) in enumerate(pairwise(edges), 1):
        ids = first_id + np.arange(start, end)
        (folder / f"data_batch_{number}.bin").write_bytes(record_bytes(train.part(start, end), ids))
    test = content.splits["test"]
    (folder / "test_batch.bin").write_bytes(record_bytes(test, first_id + np.arange(len(test))))
    return folder


def write_animal10n_images(folder: Path, content: ImageSet) -> tuple[Path, ImageSet]:
    """The released folders of JPEGs; return what is in them, which after a JPEG is not quite `content`."""
    splits = {}
    for split, name in (("train", "training"), ("test", "testing")):
        (folder / name).mkdir(parents=True)
        batch = content.splits[split]
        paths = [folder / name / f"{label}_{number}.jpg" for number, label in enumerate(batch.labels["fine"])]
        for path, pixels in zip(paths, batch.pixels, strict=True):
            path.write_bytes(jpeg(pixels))
        splits[split] = Examples(np.stack([_decoded(path) for path in paths]), batch.labels)
    return folder, ImageSet(splits, content.names)


# --- an image folder -------------------------------------------------------------------------------------------------


def image_folder_set(
    classes: int = 3, train_each: int = 4, test_each: int = 2, shape: tuple[int, int, int] = (3, 12, 10), seed: int = 0
) -> ImageSet:
    """Images by class, as the folders are."""
    content = image_set(classes * train_each, classes * test_each, shape, {"fine": classes}, seed)
    for batch in content.splits.values():
        batch.labels["fine"].sort()
    return content


def png(pixels: np.ndarray) -> bytes:
    """(3, height, width) uint8 as a PNG."""
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels.transpose(1, 2, 0))).save(buffer, "PNG")
    return buffer.getvalue()


def write_image_folder(folder: Path, content: ImageSet, splits: Sequence[str] = ("train", "test")) -> Path:
    """`<split>/<class>/<number>.png`; with one split the folder of its name is left out."""
    for split in splits:
        batch = content.splits[split]
        for number, (label, pixels) in enumerate(zip(batch.labels["fine"], batch.pixels, strict=True)):
            path = folder / (split if len(splits) > 1 else "") / content.names["fine"][label] / f"{number:06}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(png(pixels))
    return folder
