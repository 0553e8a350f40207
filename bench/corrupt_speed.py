"""Claim: `corrupt` costs no more than copying the dataset and hashing what it changed (target: 1.5 times `cp -r`).

    DATATOOLS_REAL_DATA=… python bench/corrupt_speed.py [--repeats 9]

CIFAR-10, pair noise at 0.2, as a call of the Python API (the command line adds the start of Python). `cp -r`,
`corrupt`, and SHA-256 of the training batches in as many threads take turns, and each target is removed before the next
is written. dataset.json must hold the SHA-256 of every changed batch: where `cp` runs at the speed of memory and there
are two cores, that hash alone takes longer than `cp`, and 1.5 times `cp` is the floor of copying and hashing in
parallel (docs/decisions/0014-hashing.md). The figures show all of them. `copied_by` is the call that copies a file that
does not change.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from machine import real_data, report

from datatools import convert, corrupt
from datatools.copying import copy_file
from datatools.processors import usable_processors
from datatools.records import file_sha256


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=9)
    repeats = parser.parse_args().repeats
    with tempfile.TemporaryDirectory(dir=".") as name:
        folder = Path(name).resolve()
        parent = convert("cifar10", source=real_data() / "cifar-10-batches-bin", out=folder / "cifar10").dataset
        batches = [parent.path / file.name for file in parent.metadata.splits["train"]]

        def cp(out: Path) -> None:
            subprocess.run(["cp", "-r", str(parent.path), str(out)], check=True)

        def pair(out: Path) -> None:
            corrupt(parent, rate=0.2, noise="pair", out=out)

        def hashes(out: Path) -> None:
            with ThreadPoolExecutor(usable_processors()) as pool:
                list(pool.map(file_sha256, batches))

        tasks = {"cp": cp, "corrupt": pair, "sha256": hashes}
        taken = seconds(tasks, folder, repeats)
        way = copy_file(batches[0], folder / "way")
    report(
        "corrupt_speed",
        {
            "corrupt_over_cp": round(taken["corrupt"] / taken["cp"], 2),
            "sha256_of_training_batches_over_cp": round(taken["sha256"] / taken["cp"], 2),
            "corrupt_over_cp_and_sha256": round(taken["corrupt"] / (taken["cp"] + taken["sha256"]), 2),
            "copied_by": way,
            "threads": usable_processors(),
            "repeats": repeats,
        },
    )


def seconds(tasks: Mapping[str, Callable[[Path], None]], folder: Path, repeats: int) -> dict[str, float]:
    """Seconds of each task, the best of its repeats, as another program makes a run slower and never faster."""
    taken: dict[str, list[float]] = {name: [] for name in tasks}
    for number in range(repeats + 1):
        for name, task in tasks.items():
            out = folder / f"{name}-{number}"
            started = time.perf_counter()
            task(out)
            if number:  # the first round warms up
                taken[name].append(time.perf_counter() - started)
            shutil.rmtree(out, ignore_errors=True)
    return {name: min(values) for name, values in taken.items()}


if __name__ == "__main__":
    main()
