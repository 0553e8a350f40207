"""Claim: `corrupt` costs no more than copying the dataset and hashing what it changed (target: 1.5 times `cp -r`).

    DATATOOLS_REAL_DATA=… python bench/corrupt_speed.py [--repeats 9]

CIFAR-10, and random images in the shape and number of Tiny-ImageNet (1.3 GB); pair noise at 0.2, as a call of the
Python API (the command line adds the start of Python). Four programs take turns, and each target is removed before the
next is written: `cp -r`; `corrupt`; the SHA-256 of the training batches, a thread a processor; and a plain loop of
reading, hashing and writing, in as many threads. dataset.json must hold the SHA-256 of every changed batch, so what
`corrupt` takes beyond that loop is its own (docs/decisions/0014-hashing.md). All that is to and from the system's cache
of files. `to_the_disk` is `corrupt` over `cp -r` where both count until `sync` says that the files are on the disk; it
depends on the disk. `copied_by` is the call that copies a file that does not change.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from machine import real_data, report, seconds

from datatools import convert, corrupt
from datatools.files.copying import copy_file
from datatools.format.dataset import Dataset, open_dataset
from datatools.format.metadata import BatchFile, Metadata, write_metadata
from datatools.format.records import ImageShape, RecordWriter, file_sha256
from datatools.processors import usable_processors

BLOCK_BYTES = 1 << 18
TINY_IMAGENET = ImageShape(3, 64, 64)
TINY_IMAGENET_CLASSES = 200


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=9)
    repeats = parser.parse_args().repeats
    figures: dict[str, object] = {}
    with tempfile.TemporaryDirectory(dir=".") as name:
        folder = Path(name).resolve()
        for title, make in (("cifar10", cifar10), ("tiny_imagenet_size", tiny_imagenet_size)):
            parent = make(folder / title)
            figures[title] = ratios(parent, folder, repeats)
            way = copy_file(parent.path / "test_batch.bin", folder / "way")
            (folder / "way").unlink()
            shutil.rmtree(parent.path)
    report("corrupt_speed", {**figures, "copied_by": way, "threads": usable_processors(), "repeats": repeats})


def cifar10(out: Path) -> Dataset:
    return convert("cifar10", source=real_data() / "cifar-10-batches-bin", out=out).dataset


def tiny_imagenet_size(out: Path) -> Dataset:
    """Four training batches of 25,000 random images, a test batch of 10,000."""
    out.mkdir()
    pixels = np.random.default_rng(0).integers(0, 256, (1000, *TINY_IMAGENET), np.uint8)

    def batch(name: str, start: int, records: int) -> BatchFile:
        with RecordWriter(out / name, TINY_IMAGENET) as writer:
            for first in range(start, start + records, len(pixels)):
                ids = np.arange(first, first + len(pixels))
                writer.write(ids, ids % TINY_IMAGENET_CLASSES, pixels)
        return BatchFile(name, writer.records, writer.sha256)

    train = tuple(batch(f"data_batch_{number + 1}.bin", number * 25_000, 25_000) for number in range(4))
    metadata = Metadata(
        name=out.name,
        image_shape=TINY_IMAGENET,
        class_names=tuple(f"class {number}" for number in range(TINY_IMAGENET_CLASSES)),
        splits={"train": train, "test": (batch("test_batch.bin", 0, 10_000),)},
        source={"name": "tiny-imagenet", "location": "random images", "sha256": None},
        labels="clean",
    )
    write_metadata(out, metadata)
    return open_dataset(out)


def ratios(parent: Dataset, folder: Path, repeats: int) -> dict[str, float]:
    """What each of the programs takes, as a multiple of `cp -r`."""
    batches = [parent.path / file.name for file in parent.metadata.splits["train"]]

    def cp(out: Path) -> None:
        subprocess.run(["cp", "-r", str(parent.path), str(out)], check=True)

    def pair(out: Path) -> None:
        corrupt(parent, rate=0.2, noise="pair", out=out)

    def hashes(out: Path) -> None:
        with ThreadPoolExecutor(usable_processors()) as pool:
            list(pool.map(file_sha256, batches))

    def plain_loop(out: Path) -> None:
        out.mkdir()
        with ThreadPoolExecutor(usable_processors()) as pool:
            jobs = [pool.submit(copy_and_hash, batch, out / batch.name) for batch in batches]
            copy_file(parent.path / "test_batch.bin", out / "test_batch.bin")
            for job in jobs:
                job.result()

    tasks = {
        "cp": cp,
        "corrupt": pair,
        "sha256": hashes,
        "plain loop": plain_loop,
        "cp to the disk": to_the_disk(cp),
        "corrupt to the disk": to_the_disk(pair),
    }
    taken = seconds(tasks, folder, repeats)
    return {
        "corrupt_over_cp": round(taken["corrupt"] / taken["cp"], 2),
        "sha256_of_training_batches_over_cp": round(taken["sha256"] / taken["cp"], 2),
        "plain_loop_over_cp": round(taken["plain loop"] / taken["cp"], 2),
        "to_the_disk": round(taken["corrupt to the disk"] / taken["cp to the disk"], 2),
        "corrupt_over_plain_loop": round(taken["corrupt"] / taken["plain loop"], 2),
    }


def to_the_disk(task: Callable[[Path], None]) -> Callable[[Path], None]:
    def synced(out: Path) -> None:
        task(out)
        os.sync()

    return synced


def copy_and_hash(source: Path, target: Path) -> str:
    block = bytearray(BLOCK_BYTES)
    view, digest = memoryview(block), hashlib.sha256()
    with source.open("rb", buffering=0) as reader, target.open("xb", buffering=0) as writer:
        while count := reader.readinto(block):
            digest.update(view[:count])
            writer.write(view[:count])
    return digest.hexdigest()


if __name__ == "__main__":
    main()
