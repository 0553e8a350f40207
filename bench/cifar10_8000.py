"""Claim: on 8,000 real CIFAR-10 images with pair noise 0.4, Default memorises the wrong labels and SELFIE does better.

    DATATOOLS_REAL_DATA=… python bench/cifar10_8000.py [--epochs 30] [--seeds 0]

small-cnn, the paper's protocol else (batch 128, learning rate 0.1). Minutes to an hour on a CPU.
"""

from __future__ import annotations

import argparse
import csv
import tempfile
from pathlib import Path
from typing import Any

from machine import real_data, report

from datatools import convert, corrupt, open_dataset
from trainer.config import resolve
from trainer.console import Console
from trainer.loop import train


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--limit", type=int, default=8000)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        convert("cifar10", root=root, source=real_data() / "cifar-10-batches-bin", limit=arguments.limit)
        clean = open_dataset(root / f"cifar10-first{arguments.limit}")
        figures = []
        for seed in arguments.seeds:
            noisy = corrupt(clean, rate=0.4, noise="pair", seed=seed).dataset.path
            figures += [measure(method, root, noisy, seed, arguments.epochs) for method in ("default", "selfie")]
    report(
        "cifar10_8000", {"images": arguments.limit, "epochs": arguments.epochs, "noise": "pair 0.4", "runs": figures}
    )


def measure(method: str, root: Path, path: Path, seed: int, epochs: int) -> dict[str, Any]:
    """Train one method; its errors and, for SELFIE, its final refurbishment accuracy."""
    dataset = open_dataset(path)
    config = resolve(method, dataset, network="small-cnn", epochs=epochs, seed=seed)
    directory = root / "runs" / method / str(seed)
    result = train(config, dataset, directory, Console())
    with (directory / "metrics.csv").open() as file:
        last = list(csv.DictReader(file))[-1]
    return {
        "method": method,
        "seed": seed,
        **{key: round(result[key], 4) for key in ("best_test_error", "last_test_error", "mean_last10_test_error")},
        "clean_train_error_last": round(float(last["clean_train_error"]), 4),
        "refurbished": int(last["refurbished"]) if "refurbished" in last else None,
        "refurbishment_accuracy": round(float(last["refurbishment_accuracy"]), 4) if "refurbished" in last else None,
        "runs": result["runs"],
    }


if __name__ == "__main__":
    main()
