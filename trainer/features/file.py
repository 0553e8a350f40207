"""The features file of this package, HDF5, and the files of any other model's features.

/train, /test          (N, D) and (M, D) float16 or float32, those of id i at i
/train_id, /test_id    (N,) and (M,) uint32, 0, 1, 2, …
attributes of /        kind ("features"), format_version, backbone, size (pixels), weights_sha256, images_sha256
                       (`images.images_sha256`), created_by (JSON)

It lies beside the dataset, in the folder `features`, and its name tells backbone, size and the digest of the images: so
every noisy version of the same images finds it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from datatools.errors import listed
from datatools.files.output import atomic_hdf5
from datatools.format.dataset import Dataset
from datatools.format.metadata import SPLITS, package_version
from trainer.config import FEATURE_SUFFIXES, is_feature_file
from trainer.data import TrainingData, load
from trainer.errors import TrainerError
from trainer.features.arrays import checked, read_npy, read_npz, sha256_of
from trainer.features.backbones import BACKBONES, is_backbone
from trainer.features.images import images_sha256
from trainer.runs.reading import plain_dataset
from trainer.vectors import Features

FOLDER = "features"
KIND = "features"
FORMAT_VERSION = 1
NAME_DIGITS = 12
"""Of the images' digest, in a file's name."""
DTYPES = ("float16", "float32")


@dataclass(frozen=True)
class Facts:
    """What a features file tells of its numbers.

    Attributes:
        size: side of the images that the backbone saw, in pixels. dtype: one of DTYPES.
    """

    backbone: str
    size: int
    weights_sha256: str
    images_sha256: str
    dtype: str


def default_path(dataset: Dataset, backbone: str, size: int, digest: str) -> Path:
    """Where the features of a dataset's images go: FOLDER beside the dataset, BACKBONE-SIZE-DIGEST.h5."""
    return _folder(dataset) / f"{_slug(backbone)}-{size}-{digest[:NAME_DIGITS]}.h5"


def _folder(dataset: Dataset) -> Path:
    return dataset.path.absolute().parent / FOLDER


def _slug(backbone: str) -> str:
    return backbone.replace(":", "-")


def write_features(path: Path, facts: Facts, features: dict[str, np.ndarray]) -> None:
    """Write a features file, whole or not at all.

    Args:
        features: (N, D) of each split, in id order, of the dtype that `facts` tells.

    Raises:
        TrainerError: a number is not finite, also where float16 cannot hold it.
    """
    for split, values in features.items():
        if not np.isfinite(values).all():
            raise TrainerError(
                f"{path}: the {split} features are not all finite numbers in {facts.dtype}; "
                + ("pass --dtype float32" if facts.dtype == "float16" else "choose other weights or another backbone")
            )
    with atomic_hdf5(path) as file:
        file.attrs["kind"], file.attrs["format_version"] = KIND, FORMAT_VERSION
        for name, value in asdict(facts).items():
            if name != "dtype":
                file.attrs[name] = value
        file.attrs["created_by"] = json.dumps(package_version())
        for split, values in features.items():
            file.create_dataset(split, data=values, track_times=False)
            file.create_dataset(f"{split}_id", data=np.arange(len(values), dtype=np.uint32), track_times=False)


def read_facts(path: Path) -> Facts | None:
    """What a features file tells of its numbers; None for an HDF5 file that is not of this package.

    Raises:
        TrainerError: it is damaged, or of a later version.
    """
    with _readable(path), h5py.File(path, "r") as file:
        return _facts(file)


def open_features(dataset: Dataset, name: str) -> Features:
    """The features of a dataset's images.

    Args:
        name: of the backbone that made them, for a file of `embed`; or a file of any model's, those of id i at row i:
            .npz (arrays "train" (N, D) and "test" (M, D)), .npy ((N + M, D), the training samples first) or .h5
            (datasets "train" and "test").

    Raises:
        DataToolsError: there are none, they are of other images, of another number of samples, or not finite, or the
            file is damaged.
    """
    data = load(dataset)
    if is_feature_file(name):
        return _read(Path(name), dataset, data, None)
    if not is_backbone(name):
        raise TrainerError(
            f"--features {name:.200}: neither a backbone ({', '.join(BACKBONES)}) nor a file that ends in "
            f"{', '.join(FEATURE_SUFFIXES)}; see docs/features.md"
        )
    digest = images_sha256(data)
    return _read(_made_by(dataset, name, digest), dataset, data, digest)


def _made_by(dataset: Dataset, backbone: str, digest: str) -> Path:
    """The only features file of these images by a backbone."""
    folder = _folder(dataset)
    pattern = re.compile(rf"{re.escape(_slug(backbone))}-[0-9]+-{digest[:NAME_DIGITS]}\.h5")
    files = sorted(path for path in folder.glob("*.h5") if pattern.fullmatch(path.name))
    if not files:
        raise TrainerError(
            f"{folder}: no features of {backbone} of the images of {dataset.path}; make them with `trainer embed "
            f"--data {dataset.path} --backbone {backbone}`"
        )
    if len(files) > 1:
        raise TrainerError(
            f"{folder}: {len(files)} files of {backbone} of these images ({listed([path.name for path in files])}); "
            "name one of them with --features FILE"
        )
    return files[0]


def _read(path: Path, dataset: Dataset, data: TrainingData, digest: str | None) -> Features:
    counts = dict(zip(SPLITS, (data.num_samples, len(data.test_labels)), strict=True))
    backbone: dict[str, Any] | None = None
    with _readable(path):
        if path.suffix.lower() == ".npy":
            arrays = read_npy(path, counts)
        elif path.suffix.lower() == ".npz":
            arrays = read_npz(path, counts)
        else:
            with h5py.File(path, "r") as file:
                facts = _facts(file)
                if facts is not None:
                    if facts.images_sha256 != (digest or images_sha256(data)):
                        raise TrainerError(
                            f"{path}: features of other images than those of {dataset.path}; make them with `trainer "
                            f"embed --data {dataset.path}`"
                        )
                    backbone = {name: value for name, value in asdict(facts).items() if name != "dtype"}
                arrays = {split: _array(file, split, counts[split], path) for split in SPLITS}
    features = {split: checked(values, split, path) for split, values in arrays.items()}
    train, test = (features[split] for split in SPLITS)
    if train.shape[1] != test.shape[1]:
        raise TrainerError(
            f"{path}: {train.shape[1]:,} numbers for each training sample and {test.shape[1]:,} for each test sample; "
            "make both with one model"
        )
    return Features(train, test, sha256_of(features), path, backbone)


def _array(file: h5py.File, split: str, count: int, path: Path) -> np.ndarray:
    values = plain_dataset(file, split)
    if values.ndim != 2 or values.shape[0] != count:
        raise TrainerError(
            f"{path}: '{split}' is {values.dtype}{values.shape}, ({count:,}, D) is expected: a row a {split} sample"
        )
    if values.dtype.kind not in "biuf":
        raise ValueError(f"'{split}' is {values.dtype}, numbers are expected")
    return np.asarray(values[()])


def _facts(file: h5py.File) -> Facts | None:
    if file.attrs.get("kind") != KIND:
        return None
    version = int(file.attrs["format_version"])
    if version > FORMAT_VERSION:
        raise ValueError(f"format_version {version}, up to {FORMAT_VERSION} is known; update this package")
    texts = {name: file.attrs[name] for name in ("backbone", "weights_sha256", "images_sha256")}
    if not all(isinstance(text, str) for text in texts.values()):
        raise ValueError("an attribute is no text")
    return Facts(**texts, size=int(file.attrs["size"]), dtype=str(plain_dataset(file, "train").dtype))


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    """Turn what a damaged file causes while it is read into one line."""
    if not path.is_file():
        raise TrainerError(f"{path}: no such file of features; make one with `trainer embed`, or name another")
    try:
        yield
    except TrainerError:
        raise
    # h5py raises whatever the HDF5 library met
    except (OSError, LookupError, RuntimeError, ValueError, TypeError, AttributeError, MemoryError, EOFError) as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise TrainerError(
            f"{path}: cannot be read ({reason}); make it anew (`trainer embed --overwrite`), or name another"
        ) from None
