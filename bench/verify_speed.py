"""Claim: `verify` takes at most twice as long as SHA-256 of the same bytes.

    DATATOOLS_REAL_DATA=… python bench/verify_speed.py [--repeats 7]

CIFAR-10 with pair noise at 0.2, its clean parent beside it (so labels, pixels and test split are compared with the
parent's), as a call of the Python API. SHA-256 of the batch files one after the other, in one thread, in the same run.
The two take turns; each figure is the best of its repeats, as another program makes a run slower and never faster.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

from machine import real_data, report

from datatools import convert, corrupt, open_dataset, verify
from datatools.format.records import file_sha256


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=7)
    repeats = parser.parse_args().repeats
    verified, hashed = [], []
    with tempfile.TemporaryDirectory(dir=".") as name:
        folder = Path(name).resolve()
        parent = convert("cifar10", source=real_data() / "cifar-10-batches-bin", out=folder / "cifar10").dataset
        noisy = corrupt(parent, rate=0.2, noise="pair").dataset
        for _ in range(repeats):
            started = time.perf_counter()
            for path in sorted(noisy.path.glob("*.bin")):
                file_sha256(path)
            hashed.append(time.perf_counter() - started)
            started = time.perf_counter()
            checks = list(verify(open_dataset(noisy.path)))
            verified.append(time.perf_counter() - started)
            assert all(check.passed for check in checks), checks
    report(
        "verify_speed",
        {
            "verify_over_sha256": round(min(verified) / min(hashed), 2),
            "checks": len(checks),
            "repeats": repeats,
        },
    )


if __name__ == "__main__":
    main()
