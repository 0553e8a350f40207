"""Makes tiny image sets in their official layouts, and datasets from them.

Everything is a function of an explicit seed. Adding a source to the registry: a factory here, and a line in
SOURCE_FACTORIES.
"""

from __future__ import annotations

import gzip
import io
import os
import pickle
import struct
import tarfile
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
from PIL import Image

from datatools import conversion
from datatools.conversion import Converted, convert
from datatools.corruption import corrupt
from datatools.decoding.chunks import Chunk
from datatools.format.dataset import Dataset
from datatools.format.records import ImageShape
from datatools.sources import SOURCES, SourceSpec
from datatools.sources.base import Source, SourceSplit

CIFAR10_TRAIN = tuple(f"data_batch_{number}" for number in range(1, 6))


@dataclass(frozen=True)
class Examples:
    """Images with their labels: pixels (N, depth, height, width) uint8, labels (N,) int64 for each label set."""

    pixels: np.ndarray
    labels: dict[str, np.ndarray]

    def __len__(self) -> int:
        return len(self.pixels)

    def part(self, start: int, end: int) -> Examples:
        return Examples(self.pixels[start:end], {name: values[start:end] for name, values in self.labels.items()})


@dataclass(frozen=True)
class ImageSet:
    """What a factory wrote: both splits, and the class names of each label set."""

    splits: dict[str, Examples]
    names: dict[str, tuple[str, ...]]


def examples(records: int, shape: tuple[int, int, int], classes: dict[str, int], seed: int) -> Examples:
    """Random pixels; labels go round the classes, so that every class is there when `records` allows."""
    generator = np.random.default_rng(seed)
    pixels = generator.integers(0, 256, (records, *shape), np.uint8)
    labels = {name: generator.permutation(np.arange(records) % count) for name, count in classes.items()}
    return Examples(pixels, labels)


def image_set(train: int, test: int, shape: tuple[int, int, int], classes: dict[str, int], seed: int) -> ImageSet:
    return ImageSet(
        {"train": examples(train, shape, classes, seed), "test": examples(test, shape, classes, seed + 1)},
        {name: tuple(f"{name}_{number}" for number in range(count)) for name, count in classes.items()},
    )


REAL_DATA = "DATATOOLS_REAL_DATA"


def real(*names: str) -> Path:
    """A file or folder of real data; skips the test where it is not there."""
    if not os.environ.get(REAL_DATA):
        pytest.skip(
            f"set {REAL_DATA} to a folder with cifar-10-batches-bin, cifar-100-binary, cifar-n, mnist, truncated"
        )
    path = Path(os.environ[REAL_DATA], *names)
    if not path.exists():
        pytest.skip(f"{REAL_DATA} has no {Path(*names)}")
    return path


def close_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lead every download, of child processes too, to a port of this machine where nobody answers."""
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
        monkeypatch.delenv(name.upper(), raising=False)
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)


# --- CIFAR -----------------------------------------------------------------------------------------------------------


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


def pack(folder: Path, archive: Path, mode: str = "w:gz") -> Path:
    """`folder` as a tar archive that unpacks to a folder of its name."""
    with tarfile.open(archive, mode) as tar:  # type: ignore[call-overload]
        tar.add(folder, folder.name)
    return archive


def add_member(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(data)
    tar.addfile(member, io.BytesIO(data))


def tar_header(name: bytes, size: bytes, kind: bytes = b"0") -> bytes:
    """A tar header whose fields are written as given, with a good checksum."""
    header = bytearray(512)
    header[: len(name)] = name
    header[100:108], header[108:116], header[116:124] = b"0000644\0", b"0000000\0", b"0000000\0"
    header[124:136], header[136:148], header[148:156] = size, b"00000000000\0", b" " * 8
    header[156:157], header[257:265] = kind, b"ustar\x0000"
    header[148:156] = b"%06o\0 " % sum(header)
    return bytes(header)


# --- MNIST -----------------------------------------------------------------------------------------------------------


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


def zipped(folder: Path, archive: Path, packing: int = zipfile.ZIP_STORED) -> Path:
    """`folder` as a zip archive that unpacks to a folder of its name."""
    with zipfile.ZipFile(archive, "w", packing) as file:
        for path in sorted(folder.rglob("*")):
            file.write(path, Path(folder.name) / path.relative_to(folder))
    return archive


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


# --- one factory a source --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class MadeSource:
    """What the contract test gets: where to convert from (None: the source needs no file), and what should be in it.

    `content` is None where the source's content is not of the factory's making.
    """

    location: Path | None
    content: ImageSet | None


def _made(write: Callable[[Path, ImageSet], Path], content: ImageSet) -> Callable[[Path], MadeSource]:
    return lambda folder: MadeSource(write(folder / "source", content), content)


SOURCE_FACTORIES: dict[str, Callable[[Path], MadeSource]] = {
    "digits": lambda folder: MadeSource(None, None),
    "cifar10": _made(write_cifar10_binary, cifar10_set()),
    "cifar100": _made(write_cifar100_binary, cifar100_set()),
    "mnist": _made(write_mnist, mnist_set()),
    "tiny-imagenet": lambda folder: MadeSource(
        *write_tiny_imagenet(folder / "tiny-imagenet-200", tiny_imagenet_set()),
    ),
    "animal-10n": lambda folder: MadeSource(*write_animal10n_images(folder / "ANIMAL-10N", animal10n_set())),
    "image-folder": _made(write_image_folder, image_folder_set()),
}
"""One line for every line of `datatools.sources.SOURCES`; each gets an empty folder to write to."""


# --- datasets --------------------------------------------------------------------------------------------------------


def source_split(labels: np.ndarray, pixels: np.ndarray, chunk: int = 7) -> SourceSplit:
    """A split that comes in chunks which fit no batch file's size."""

    def chunks() -> Iterator[Chunk]:
        for start in range(0, len(labels), chunk):
            yield Chunk(labels[start : start + chunk], partial(np.asarray, pixels[start : start + chunk]))

    return SourceSplit(len(labels), chunks)


def made_up_source(
    train_labels: Sequence[int] | np.ndarray,
    test_labels: Sequence[int] | np.ndarray,
    num_classes: int,
    shape: tuple[int, int, int] = (3, 8, 8),
    seed: int = 0,
) -> Source:
    """A source of random pixels with the labels given."""
    splits = {}
    for number, (split, values) in enumerate((("train", train_labels), ("test", test_labels))):
        labels = np.asarray(values, np.int64)
        pixels = np.random.default_rng([seed, number]).integers(0, 256, (len(labels), *shape), np.uint8)
        splits[split] = source_split(labels, pixels)
    names = tuple(f"class {number}" for number in range(num_classes))
    return Source(ImageShape(*shape), names, splits, "made up")


def convert_source(source: Source, out: Path, *, train_files: int = 3, labels: str = "clean", **more: Any) -> Converted:
    """Run `convert` on a source that stands in no registry."""
    spec = SourceSpec("made up", "nowhere:nothing", train_files=train_files, labels=labels)
    with (
        mock.patch.dict(SOURCES, {"made-up": spec}),
        mock.patch.object(conversion, "open_source", return_value=source),
    ):
        return convert("made-up", out=out, **more)


def clean_dataset(
    out: Path,
    *,
    train: int = 40,
    test: int = 10,
    num_classes: int = 4,
    shape: tuple[int, int, int] = (3, 8, 8),
    seed: int = 0,
    train_files: int = 3,
    labels: str = "clean",
) -> Dataset:
    """A dataset directory with classes as even as can be, in an order that the seed decides."""
    generator = np.random.default_rng([seed, 2])
    train_labels = generator.permutation(np.arange(train) % num_classes)
    source = made_up_source(train_labels, np.arange(test) % num_classes, num_classes, shape, seed)
    return convert_source(source, out, train_files=train_files, labels=labels).dataset


def noisy_dataset(parent: Dataset, *, rate: float = 0.4, noise: str = "pair", **more: Any) -> Dataset:
    """A noisy copy of `parent`, beside it."""
    return corrupt(parent, rate=rate, noise=noise, **more).dataset


def tree(folder: Path) -> dict[str, bytes | None]:
    """Every path under `folder` with its content (None for folders), to compare before and after."""
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in sorted(folder.rglob("*"))
    }
