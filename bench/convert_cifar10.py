"""Claim: CIFAR-10 converts from its binary folder within 3 s and 400 MB, and within twice a copy of the same bytes.

    DATATOOLS_REAL_DATA=… python bench/convert_cifar10.py [--repeats 9]

Time and memory are those of the command, a process of its own each time. The ratio is one of two calls in one process
that take turns, `convert` and `shutil.copytree`: reading, writing and hashing against reading and writing. The command
over a Python process that copies stands beside it; the difference is that the one loads NumPy, click and the rest, and
the other nothing, which is the same for every set and says nothing about conversion.
"""

from __future__ import annotations

import argparse
import resource
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from machine import real_data, report, seconds

from datatools import convert

COPY = "import shutil, sys; shutil.copytree(sys.argv[1], sys.argv[2])"
CONVERT = "import cli, sys; cli.datatools.main(['convert', '--dataset', 'cifar10', *sys.argv[1:]])"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=9)
    repeats = parser.parse_args().repeats
    source = real_data() / "cifar-10-batches-bin"

    def run(code: str, *arguments: Path | str) -> None:
        subprocess.run([sys.executable, "-c", code, *map(str, arguments)], check=True, capture_output=True)

    tasks: dict[str, Callable[[Path], object]] = {
        "copy": lambda out: shutil.copytree(source, out),
        "convert": lambda out: convert("cifar10", source=source, out=out),
        "copy_command": lambda out: run(COPY, source, out),
        "convert_command": lambda out: run(CONVERT, "--source", source, "--out", out),
    }
    with tempfile.TemporaryDirectory() as folder:
        taken = seconds(tasks, Path(folder), repeats)
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    report(
        "convert_cifar10",
        {
            "seconds": round(taken["convert_command"], 2),
            "over_copy_of_the_same_bytes": round(taken["convert"] / taken["copy"], 2),
            "command_over_a_process_that_copies": round(taken["convert_command"] / taken["copy_command"], 2),
            "peak_memory_mib": round(peak),
            "repeats": repeats,
        },
    )


if __name__ == "__main__":
    main()
