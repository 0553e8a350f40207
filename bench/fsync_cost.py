"""Claim: waiting until the files are on the disk costs `convert` and `corrupt` at most half of their time again.

    DATATOOLS_REAL_DATA=… python bench/fsync_cost.py [--repeats 15]

Calls of the Python API, with fsync and without (DATATOOLS_FSYNC=off), in turns and in changing order; the disk is
idle before each. The figure is the median of the ratios of the pairs, beside it the median of the milliseconds between
the two. CIFAR-10 (180 MB in six files) and digits (0.1 MB in two) stand for large and small datasets, export of digits
to an image folder for many files (1,797). All of it depends on the disk: one that has to turn waits longer.
"""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from statistics import median

from machine import real_data, report

from datatools import convert, corrupt
from datatools.export import export_dataset
from datatools.files.syncing import no_fsync


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=15)
    repeats = parser.parse_args().repeats
    source = real_data() / "cifar-10-batches-bin"
    with tempfile.TemporaryDirectory(dir=".") as name:
        folder = Path(name).resolve()
        cifar10 = convert("cifar10", source=source, out=folder / "cifar10").dataset
        digits = convert("digits", out=folder / "digits").dataset
        tasks: dict[str, Callable[[Path], object]] = {
            "convert_cifar10": lambda out: convert("cifar10", source=source, out=out),
            "corrupt_cifar10": lambda out: corrupt(cifar10, rate=0.2, noise="pair", out=out),
            "convert_digits": lambda out: convert("digits", out=out),
            "corrupt_digits": lambda out: corrupt(digits, rate=0.2, noise="pair", out=out),
            "export_digits_image_folder": lambda out: export_dataset(digits, "image-folder", out),
        }
        figures = {title: compare(task, folder / "out", repeats) for title, task in tasks.items()}
    report("fsync_cost", {**figures, "repeats": repeats})


def compare(task: Callable[[Path], object], out: Path, repeats: int) -> dict[str, float]:
    """The median ratio of a task with fsync to one without, and the median of the milliseconds between them."""
    pairs = []
    for number in range(repeats + 1):
        order = (True, False) if number % 2 else (False, True)
        taken = {fsync: seconds(task, out, fsync) for fsync in order}
        if number:  # the first pair warms up
            pairs.append((taken[True], taken[False]))
    return {
        "ratio": round(median(synced / plain for synced, plain in pairs), 2),
        "milliseconds": round(median(1000 * (synced - plain) for synced, plain in pairs), 1),
    }


def seconds(task: Callable[[Path], object], out: Path, fsync: bool) -> float:
    os.sync()  # or the disk would be busy with what came before
    with nullcontext() if fsync else no_fsync():
        started = time.perf_counter()
        task(out)
        taken = time.perf_counter() - started
    shutil.rmtree(out)
    return taken


if __name__ == "__main__":
    main()
