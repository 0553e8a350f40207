"""The image sets that `datatools convert` reads.

Adding one: a module with a function `(Request) -> Source`, and a line in SOURCES.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import cast

from datatools.errors import DataToolsError
from datatools.sources.base import Request, Source


@dataclass(frozen=True)
class SourceSpec:
    """A line of the registry.

    Attributes:
        opener: "module:function"; imported when the source is used, so that `--help` stays fast.
        train_files: in how many batch files the training split is written.
        label_sets: the label sets it offers, the default first; empty where there is just one.
        resizes: whether images can be resampled to another size.
        own_images: whether it is the user's own folder: it takes a test fraction, a seed, skip_bad and fit.
        labels: "clean" for a benchmark whose labels are taken as the truth, else "unknown".
        official: number of training and of test images of the complete set, or None where there is no such number.
    """

    title: str
    opener: str
    train_files: int = 1
    label_sets: tuple[str, ...] = ()
    resizes: bool = False
    own_images: bool = False
    labels: str = "clean"
    official: tuple[int, int] | None = None


SOURCES: dict[str, SourceSpec] = {
    "digits": SourceSpec(
        "UCI handwritten digits, 8x8 grey, carried by scikit-learn; needs no file",
        "datatools.sources.digits:open_digits",
    ),
    "cifar10": SourceSpec(
        "CIFAR-10, python or binary version, archive or folder",
        "datatools.sources.cifar:open_cifar10",
        train_files=5,
        official=(50_000, 10_000),
    ),
    "cifar100": SourceSpec(
        "CIFAR-100, python or binary version, archive or folder",
        "datatools.sources.cifar:open_cifar100",
        label_sets=("fine", "coarse"),
        official=(50_000, 10_000),
    ),
    "tiny-imagenet": SourceSpec(
        "Tiny-ImageNet, the official zip or its folder",
        "datatools.sources.tiny_imagenet:open_tiny_imagenet",
        train_files=4,
        resizes=True,
        official=(100_000, 10_000),
    ),
    "animal-10n": SourceSpec(
        "ANIMAL-10N, the released binary folder, or the zip or folder of images",
        "datatools.sources.animal10n:open_animal10n",
        resizes=True,
        labels="unknown",
        official=(50_000, 5_000),
    ),
    "mnist": SourceSpec(
        "MNIST, a folder with the four idx files, gzipped or not",
        "datatools.sources.mnist:open_mnist",
        official=(60_000, 10_000),
    ),
    "image-folder": SourceSpec(
        "your own images, a folder or zip of class folders, with or without train/ and test/",
        "datatools.sources.image_folder:open_image_folder",
        resizes=True,
        own_images=True,
        labels="unknown",
    ),
}


def source_spec(name: str) -> SourceSpec:
    """The registry's line for `name`.

    Raises:
        DataToolsError: there is none.
    """
    try:
        return SOURCES[name]
    except KeyError:
        raise DataToolsError(f"dataset '{name}': not known; known are {', '.join(SOURCES)}") from None


def open_source(name: str, request: Request) -> Source:
    """Find and look over the image set `name`.

    Raises:
        DataToolsError: it is not there, or not what it should be.
    """
    spec = source_spec(name)
    if request.label_set is not None and request.label_set not in spec.label_sets:
        choice = f"has {' and '.join(spec.label_sets)}" if spec.label_sets else "has one label set; leave --labels out"
        raise DataToolsError(f"--labels {request.label_set}: {name} {choice}")
    if request.size is not None and not spec.resizes:
        raise DataToolsError(f"--size {request.size}: the images of {name} have one size; leave --size out")
    folder_options = {
        "--test-fraction": request.test_fraction,
        "--seed": request.seed,
        "--skip-bad": request.skip_bad or None,
        "--fit": request.fit,
    }
    if not spec.own_images and (unwanted := [option for option, value in folder_options.items() if value is not None]):
        raise DataToolsError(f"{unwanted[0]}: for image-folder alone; leave it out, {name} is read as it was published")
    module, function = spec.opener.split(":")
    return cast(Callable[[Request], Source], getattr(import_module(module), function))(request)
