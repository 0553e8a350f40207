"""Makes datasets from tiny image sets, and those in their official layouts: one factory a source.

Everything is a function of an explicit seed. Adding a source to the registry: what writes its files goes into
official_files.py, and a line into SOURCE_FACTORIES.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest

from datatools import conversion
from datatools.conversion import Converted, convert
from datatools.corruption import corrupt
from datatools.decoding.chunks import Chunk
from datatools.format.dataset import Dataset
from datatools.format.records import ImageShape
from datatools.sources import SOURCES, SourceSpec
from datatools.sources.base import Source, SourceSplit
from tests.support.cifar_files import cifar10_set, cifar100_set, write_cifar10_binary, write_cifar100_binary
from tests.support.image_sets import ImageSet
from tests.support.official_files import (
    animal10n_set,
    image_folder_set,
    mnist_set,
    tiny_imagenet_set,
    write_animal10n_images,
    write_image_folder,
    write_mnist,
    write_tiny_imagenet,
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
