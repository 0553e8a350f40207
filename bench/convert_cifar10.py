"""Claim: CIFAR-10 converts from its binary folder within 3 s and 400 MB.

    DATATOOLS_REAL_DATA=… python bench/convert_cifar10.py [--repeats 3]

Each repeat is a process of its own, so that the peak of memory is the command's. Beside it, in the same run, a copy of
the same bytes: the ratio is what carries over to other machines.
"""

from __future__ import annotations

import argparse
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from machine import real_data, report


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    source = real_data() / "cifar-10-batches-bin"
    convert, copy = [], []
    for _ in range(arguments.repeats):
        with tempfile.TemporaryDirectory() as folder:
            copy.append(seconds_of([sys.executable, "-c", COPY, str(source), str(Path(folder) / "copy")]))
            out = str(Path(folder) / "cifar10")
            convert.append(seconds_of([sys.executable, "-c", CONVERT, "--source", str(source), "--out", out]))
            shutil.rmtree(folder, ignore_errors=True)
            Path(folder).mkdir(exist_ok=True)
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    report(
        "convert_cifar10",
        {
            "seconds": round(statistics.median(convert), 2),
            "over_copy_of_the_same_bytes": round(statistics.median(convert) / statistics.median(copy), 2),
            "peak_memory_mib": round(peak),
            "repeats": arguments.repeats,
        },
    )


COPY = "import shutil, sys; shutil.copytree(sys.argv[1], sys.argv[2])"
CONVERT = "import cli, sys; cli.datatools.main(['convert', '--dataset', 'cifar10', *sys.argv[1:]])"


def seconds_of(command: list[str]) -> float:
    started = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
