"""ANIMAL-10N (Song, Kim & Lee, ICML 2019; https://dm.kaist.ac.kr/datasets/animal-10n): real label noise, about 8%.

Ten animals that come in pairs which people confuse, 50,000 training and 5,000 test images of 64x64. It is given out on
request in two forms, and both are read: the binary one, whose batches are records of this project's own format
(`records`), and the images, `training/` and `testing/` with files named `<label>_<id>.jpg`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np

from datatools.decoding.chunks import Chunk
from datatools.decoding.images import Decoding, image_chunks
from datatools.errors import DataToolsError, listed
from datatools.files.trees import Tree, open_tree
from datatools.format.records import ImageShape, read_records, records_per_chunk
from datatools.sources.base import Request, Source, SourceSplit
from datatools.sources.locate import Located, locate

CLASS_NAMES = (
    "cat",
    "lynx",
    "wolf",
    "coyote",
    "cheetah",
    "jaguar",
    "chimpanzee",
    "orangutan",
    "hamster",
    "guinea pig",
)
SHAPE = ImageShape(3, 64, 64)
ADDRESS = "https://dm.kaist.ac.kr/datasets/animal-10n"
FOLDER = "ANIMAL-10N"
INNER_ARCHIVE = "raw_image.zip"
RAW_NAMES = (FOLDER, "animal-10n", INNER_ARCHIVE, "animal-10n.zip", "raw_image_ver.zip")
MAX_IMAGE_BYTES = 1 << 20
IMAGE = re.compile(r"(?:[^/]+/)*(training|testing)/(\d{1,9})_(\d{1,12})\.jpe?g", re.IGNORECASE)
FOLDERS = {"train": "training", "test": "testing"}


def open_animal10n(request: Request) -> Source:
    """ANIMAL-10N from the folder of its binary batches, or from the folder or zip archive of its images."""
    hint = (
        f"it has no public address: ask for it at {ADDRESS}, then put the archive of images ({INNER_ARCHIVE}) or the "
        f"folder of binary batches as {FOLDER} there, or name it with --source"
    )
    located = locate(request, RAW_NAMES, "ANIMAL-10N", (), hint)
    folder = _batch_folder(located.path)
    if folder is not None:
        if request.size is not None:
            raise DataToolsError(
                f"--size {request.size}: the binary batches of ANIMAL-10N are 64x64; leave --size out, or give "
                "--source the images"
            )
        return _binary(folder, located)
    return _images(request, located)


# --- the binary form -------------------------------------------------------------------------------------------------


def _batch_folder(location: Path) -> Path | None:
    """The folder of binary batches at `location` or directly in it."""
    if not location.is_dir():
        return None
    for folder in (location, *sorted(path for path in location.iterdir() if path.is_dir())):
        if any(folder.glob("data_batch_*.bin")) or (folder / "test_batch.bin").exists():
            return folder
    return None


def _binary(folder: Path, located: Located) -> Source:
    numbers = {int(match[1]): path for path in folder.iterdir() if (match := _batch_number(path.name))}
    files = {"train": [numbers[number] for number in sorted(numbers)], "test": [folder / "test_batch.bin"]}
    if not files["train"]:
        raise DataToolsError(
            f"{folder}: no data_batch_*.bin beside test_batch.bin; the set is incomplete: fetch it again"
        )
    notices = list(located.notices)
    splits = {}
    for split, paths in files.items():
        ids = np.concatenate([_checked_ids(path) for path in paths])
        if not np.array_equal(ids, np.arange(len(ids))):
            first = int(np.flatnonzero(ids != np.arange(len(ids)))[0])
            notices.append(
                f"{folder}: {split} ids are not 0..{len(ids) - 1} in order (record {first} has id {ids[first]}): "
                "numbered anew in the order of the records"
            )
        splits[split] = SourceSplit(len(ids), partial(_binary_chunks, paths))
    return Source(SHAPE, CLASS_NAMES, splits, str(located.path), notices=tuple(notices))


def _batch_number(name: str) -> re.Match[str] | None:
    return re.fullmatch(r"data_batch_(\d{1,6})\.bin", name)


def _checked_ids(path: Path) -> np.ndarray:
    """(N,) ids of a batch file, once every label of it has been checked."""
    records = read_records(path, SHAPE)
    labels = records["label"].astype(np.int64)
    wrong = np.flatnonzero(labels >= len(CLASS_NAMES))
    if len(wrong):
        raise DataToolsError(
            f"{path}: record {wrong[0]} has label {labels[wrong[0]]}, 0..{len(CLASS_NAMES) - 1} expected; this is no "
            "batch of ANIMAL-10N, or it is damaged"
        )
    return records["id"].astype(np.int64)


def _binary_chunks(paths: list[Path]) -> Iterator[Chunk]:
    step = records_per_chunk(SHAPE)
    for path in paths:
        records = read_records(path, SHAPE)
        for start in range(0, len(records), step):
            part = np.array(records[start : start + step])
            yield Chunk(part["label"].astype(np.int64), partial(np.asarray, part["pixels"]))


# --- the images ------------------------------------------------------------------------------------------------------


def _images(request: Request, located: Located) -> Source:
    location = located.path
    tree = open_tree(location, FOLDER)
    names = tree.names()
    splits = {split: _files(names, folder, location) for split, folder in FOLDERS.items()}
    if not splits["train"] and not splits["test"]:
        inner = [name for name in names if Path(name).name == INNER_ARCHIVE]
        remedy = f"unpack it and give --source the {INNER_ARCHIVE} in it" if inner else f"ask for the set at {ADDRESS}"
        raise DataToolsError(
            f"{location}: neither data_batch_*.bin nor images training/<label>_<id>.jpg in it; {remedy}"
        )
    side = request.size or SHAPE.height
    shape = ImageShape(3, side, side)
    decoding = Decoding(("JPEG",), shape, resize=request.size is not None, limit=MAX_IMAGE_BYTES)
    return Source(
        image_shape=shape,
        class_names=CLASS_NAMES,
        splits={
            split: SourceSplit(len(files), partial(_image_chunks, tree, files, decoding))
            for split, files in splits.items()
        },
        location=str(location),
        archive=location if location.is_file() else None,
        notices=located.notices,
        decodes=True,
    )


def _files(names: list[str], folder: str, location: Path) -> list[tuple[str, int]]:
    """(name, label) of the images of a split, by the id in their name."""
    matches = [match for name in names if (match := IMAGE.fullmatch(name)) and match[1].lower() == folder]
    matches.sort(key=lambda match: (int(match[3]), int(match[2]), match[0]))
    wrong = [match[0] for match in matches if int(match[2]) >= len(CLASS_NAMES)]
    if wrong:
        raise DataToolsError(
            f"{location}: {listed(wrong, 3)}: labels 0..{len(CLASS_NAMES) - 1} expected before the underscore; this is "
            "not ANIMAL-10N, or a file was renamed"
        )
    return [(match[0], int(match[2])) for match in matches]


def _image_chunks(tree: Tree, files: list[tuple[str, int]], decoding: Decoding) -> Iterator[Chunk]:
    return image_chunks(files, lambda name: tree.encoded(name, decoding.limit), tree.location, decoding)
