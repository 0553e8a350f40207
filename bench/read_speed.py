"""Claim: reading all of CIFAR-10 through the memory map is at least 100 times as fast as the documented TF reader.

    DATATOOLS_REAL_DATA=… python bench/read_speed.py [--repeats 3]

Both read every record of the 60,000 and sum ids, labels and all pixels, so both have touched every byte, and the sums
must agree. The sums are proof and not part of the claim, so each side adds up in the quickest way it has: NumPy in
16-bit numbers over 257 images at a time (in 64-bit ones its addition takes four fifths of the whole time), TensorFlow
in 32-bit ones. The TF reader is docs/reading.md's transcription of the official one: FixedLengthRecordDataset, then
decode_raw and strided slices on each record. It is timed as documented, one record at a time, and with parallel calls
on all cores, which is the most that can be asked of it. Files are in the page cache for all (a pass before the clock
starts). They take turns; each figure is the best of its repeats, as another program makes a run slower and never
faster.
"""

from __future__ import annotations

import argparse
import os
import re
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from machine import real_data, report

from datatools import convert
from datatools.format.dataset import Dataset
from datatools.format.metadata import SPLITS

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
PAGE = Path(__file__).parents[1] / "docs" / "reading.md"
Sums = tuple[int, int, int]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        dataset = convert("cifar10", source=real_data() / "cifar-10-batches-bin", out=Path(folder) / "cifar10").dataset
        readers: dict[str, Callable[[], Sums]] = {
            "memmap": lambda: by_memmap(dataset),
            "tf_reader": lambda: by_tensorflow(dataset, parallel=False),
            "tf_reader_parallel": lambda: by_tensorflow(dataset, parallel=True),
        }
        wanted = by_memmap(dataset)
        seconds: dict[str, list[float]] = {name: [] for name in readers}
        for _ in range(arguments.repeats):
            for name, read in readers.items():
                started = time.perf_counter()
                sums = read()
                seconds[name].append(time.perf_counter() - started)
                if sums != wanted:
                    raise SystemExit(f"{name} read {sums}, the memory map {wanted}")
    best = {name: min(values) for name, values in seconds.items()}
    report(
        "read_speed",
        {
            "records": 60_000,
            "tf_reader_over_memmap": round(best["tf_reader"] / best["memmap"], 1),
            "tf_reader_parallel_over_memmap": round(best["tf_reader_parallel"] / best["memmap"], 1),
            "repeats": arguments.repeats,
        },
    )


def by_memmap(dataset: Dataset) -> Sums:
    """Sums of ids, labels and pixels."""
    most = np.iinfo(np.uint16).max // np.iinfo(np.uint8).max  # so many pixels never overflow 16 bits
    ids = labels = pixels = 0
    for split in SPLITS:
        for batch in dataset.batches(split):
            ids += int(batch["id"].sum(dtype=np.int64))
            labels += int(batch["label"].sum(dtype=np.int64))
            images = batch["pixels"].reshape(len(batch), -1)
            for start in range(0, len(batch), most):
                pixels += int(images[start : start + most].sum(axis=0, dtype=np.uint16).sum(dtype=np.int64))
    return ids, labels, pixels


def documented_reader() -> dict[str, Any]:
    """What docs/reading.md defines under the official reader's heading, for CIFAR-10's shape."""
    section = PAGE.read_text(encoding="utf-8").partition("## The reader of the official")[2]
    block = re.findall(r"```python\n(.*?)```", section, flags=re.DOTALL)[0]
    code = block.replace("depth, height, width = 1, 8, 8", "depth, height, width = 3, 32, 32").partition(
        "\n\ndataset ="
    )[0]
    names: dict[str, Any] = {}
    exec(code, names)
    return names


def by_tensorflow(dataset: Dataset, parallel: bool) -> Sums:
    """The same sums, through the documented reader; each record's are taken inside the pipeline's map."""
    import tensorflow as tf

    reader = documented_reader()

    def sums(value: Any) -> Any:
        number, label, image = reader["take_apart"](value)
        pixels = tf.reduce_sum(tf.cast(image, tf.int32))
        return tf.stack([number, label, tf.cast(pixels, tf.int64)])

    files = [str(dataset.path / file.name) for split in SPLITS for file in dataset.metadata.splits[split]]
    records = tf.data.FixedLengthRecordDataset(files, reader["RECORD_BYTES"])
    parsed = records.map(sums, num_parallel_calls=tf.data.AUTOTUNE if parallel else None)
    total = parsed.reduce(np.zeros(3, np.int64), lambda before, now: before + now)
    return tuple(int(value) for value in total.numpy())  # type: ignore[return-value]


if __name__ == "__main__":
    main()
