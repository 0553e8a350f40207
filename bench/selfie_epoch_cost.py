"""Claim: an epoch of SELFIE costs at most 1.15 times an epoch of Default (one forward pass a step).

    python bench/selfie_epoch_cost.py [--network small-cnn] [--images 4096] [--epochs 7]

Both engines live in one process and take turns, epoch by epoch, on the same random 32x32 images; SELFIE is past its
warm-up. The ratio is that of the median epochs.
"""

from __future__ import annotations

import argparse
import statistics
import time

import numpy as np
from machine import report

from trainer.config import RunConfig
from trainer.data import TrainingData, epoch_order
from trainer.engine import Engine, make_engine
from trainer.methods import METHODS


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", default="small-cnn")
    parser.add_argument("--images", type=int, default=4096)
    parser.add_argument("--epochs", type=int, default=7)
    arguments = parser.parse_args()
    data = random_data(arguments.images)
    runs = {name: prepare(name, arguments.network, data) for name in ("default", "selfie")}
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for epoch in range(arguments.epochs + 1):
        for name, (config, engine) in runs.items():
            took = one_epoch(config, engine, data, config.epochs // 2 + epoch)
            if epoch:  # the first one compiles
                seconds[name].append(took)
    median = {name: statistics.median(values) for name, values in seconds.items()}
    spread = {name: [round(min(v) / median[name], 3), round(max(v) / median[name], 3)] for name, v in seconds.items()}
    report(
        f"selfie_epoch_cost-{arguments.network}",
        {
            "images": arguments.images,
            "epochs_timed": arguments.epochs,
            "selfie_over_default": round(median["selfie"] / median["default"], 3),
            "range_over_median": spread,
        },
    )


def random_data(count: int) -> TrainingData:
    """Random images and labels of CIFAR-10's form; what is in them does not matter to the time."""
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (count, 32, 32, 3), np.uint8)
    labels = random.integers(0, 10, count).astype(np.int32)
    return TrainingData(images, labels, images[:100], labels[:100], labels, 10)


def prepare(method: str, network: str, data: TrainingData) -> tuple[RunConfig, Engine]:
    config = RunConfig(
        method=method,
        network=network,
        preset="quick",
        epochs=100,
        batch_size=128,
        learning_rate=0.01,
        drop_epochs=(),
        noise_rate=0.4,
        noise_rate_from="bench",
        seed=0,
        engine="tensorflow",
        method_settings={},
    )
    return config, make_engine(config, METHODS[method].from_options(config.epochs, {}), data)


def one_epoch(config: RunConfig, engine: Engine, data: TrainingData, epoch: int) -> float:
    """Seconds of one epoch."""
    method = config.make_method()
    engine.begin_epoch(0, epoch, config.learning_rate)
    started = time.perf_counter()
    for indices in epoch_order(data.num_samples, config.batch_size, config.seed, 0, epoch):
        engine.train(indices, method.knobs(epoch, indices.shape[1], config.noise_rate))
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
