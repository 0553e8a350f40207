"""Claim: converting 200,000 images takes the memory that 1,000 take, under 400 MB with 2 workers.

    python bench/conversion_memory.py [--images 1000 20000 200000] [--workers 2]

The images are JPEGs of 64x64 from random pixels, hard links to a few hundred files, in 200 class folders. The figure is
the largest sum, over time, of the resident memory of the command and all its processes; pages that they share count for
each of them.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from machine import report
from PIL import Image

CLASSES = 200
CONVERT = "import cli, sys; cli.datatools.main(['convert', '--dataset', 'image-folder', *sys.argv[1:]])"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, nargs="+", default=[1_000, 20_000, 200_000])
    parser.add_argument("--workers", type=int, default=2)
    arguments = parser.parse_args()
    peaks = {}
    for images in arguments.images:
        with tempfile.TemporaryDirectory() as folder:
            make_images(Path(folder) / "source", images)
            peaks[str(images)] = round(peak_memory(Path(folder), arguments.workers) / 2**20)
    report(
        "conversion_memory",
        {"workers": arguments.workers, "peak_memory_mib_by_images": peaks},
    )


def make_images(folder: Path, images: int) -> None:
    generator = np.random.default_rng(0)
    originals = []
    for number in range(min(images, 400)):
        path = folder / f"{number % CLASSES:03}" / f"{number}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(generator.integers(0, 256, (64, 64, 3), np.uint8)).save(path, quality=75)
        originals.append(path)
    for number in range(len(originals), images):
        original = originals[number % len(originals)]
        os.link(original, original.with_name(f"{number}.jpg"))


def peak_memory(folder: Path, workers: int) -> int:
    """Bytes: the largest sum of resident memory over the processes of a conversion, looked at every 20 ms."""
    command = [sys.executable, "-c", CONVERT, "--source", "source", "--out", "out", "--workers", str(workers)]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    child = subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.DEVNULL, start_new_session=True)
    peak = 0
    while child.poll() is None:
        peak = max(peak, sum(resident(path) for path in Path("/proc").glob("[0-9]*") if session(path) == child.pid))
        time.sleep(0.02)
    if child.returncode:
        raise SystemExit("the conversion failed")
    return peak


def session(process: Path) -> int:
    try:
        return int((process / "stat").read_text().rpartition(")")[2].split()[3])
    except OSError:  # it has ended
        return -1


def resident(process: Path) -> int:
    try:
        return int((process / "statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0


if __name__ == "__main__":
    main()
