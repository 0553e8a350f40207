"""Claim: on a CPU, crop-flip and Cutout cost little beside training, RandAugment less than training itself.

    python bench/augmentation_cost.py [--engine tensorflow|jax] [--images 4096] [--epochs 9]

An epoch of each augmentation is what a step does to its images, mini-batch by mini-batch, with the standardisation
that follows: a compiled call each (a plain graph on TensorFlow, as an engine does on a CPU). Its cost is what it takes
longer than an epoch of `none`, which standardises alone, as a share of an epoch of Default with small-cnn on the same
images: at most 0.05 for crop-flip, 0.1 for Cutout and 0.5 for RandAugment. The numbers that augmentations take are
drawn beforehand; drawing those of 50,000 images, ten each, takes less than 0.1 s.

All live in one process and take turns, epoch by epoch, on random 32x32 images. Each share is of median epochs, and
images a second are given beside those of `none`.
"""

from __future__ import annotations

import argparse
import dataclasses
import statistics
import time
from typing import Any

import numpy as np
from machine import report
from method_costs import BATCH_SIZE, Epoch, method_epoch, random_data, take_turns

from trainer.augmentation import AUGMENTATIONS, Augmentation, draw
from trainer.data import TrainingData
from trainer.engine.step import standardise

AT_MOST = {"crop-flip": 0.05, "cutout": 0.1, "randaugment": 0.5}
"""Of an epoch of Default."""
DRAW_SECONDS = 0.1
TRAINING = "training"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--engine", choices=["tensorflow", "jax"], default="tensorflow", help="default tensorflow")
    parser.add_argument("--images", type=int, default=4096, help="a multiple of 128; default 4096")
    parser.add_argument("--epochs", type=int, default=9, help="timed ones of each; default 9")
    arguments = parser.parse_args()
    if arguments.images < BATCH_SIZE or arguments.images % BATCH_SIZE:
        parser.error(f"--images {arguments.images}: a multiple of {BATCH_SIZE} is expected")
    data = random_data(arguments.images)
    epochs = {TRAINING: method_epoch("default", arguments.engine, "small-cnn", data)}
    epochs |= {name: augmenting_epoch(one, arguments.engine, data) for name, one in AUGMENTATIONS.items()}
    figures: dict[str, Any] = {"images": arguments.images, "epochs_timed": arguments.epochs, "engine": arguments.engine}
    figures |= shares(take_turns(epochs, arguments.epochs))
    figures["draw_under_0.1_s"] = draw_seconds() < DRAW_SECONDS
    report("augmentation_cost" + ("" if arguments.engine == "tensorflow" else f"-{arguments.engine}"), figures)


def augmenting_epoch(augmentation: Augmentation, engine: str, data: TrainingData) -> Epoch:
    """Augmenting and standardising all images once."""

    def step(images: Any, numbers: Any) -> Any:
        return standardise(augmentation.apply(images, numbers))

    steps = data.num_samples // BATCH_SIZE
    batches = np.asarray(data.train_images, np.float32).reshape(steps, BATCH_SIZE, *data.image_shape)
    numbers = draw(augmentation, seed=0, run=0, epoch=0, steps=steps, batch_size=BATCH_SIZE)
    if engine == "jax":
        import jax

        compiled, put, done = jax.jit(step), jax.device_put, jax.block_until_ready
    else:
        import tensorflow as tf

        compiled, put, done = tf.function(step, autograph=False), tf.constant, lambda images: images.numpy()
    inputs = [(put(one), put(other)) for one, other in zip(batches, numbers, strict=True)]

    def augment() -> float:
        started = time.perf_counter()
        for pair in inputs:
            done(compiled(*pair))
        return time.perf_counter() - started

    return augment


def shares(seconds: dict[str, list[float]]) -> dict[str, Any]:
    """What each augmentation adds to an epoch, and its images a second beside those of `none`."""
    median = {name: statistics.median(values) for name, values in seconds.items()}
    figures: dict[str, Any] = {}
    for name, limit in AT_MOST.items():
        share = (median[name] - median["none"]) / median[TRAINING]
        images = median["none"] / median[name]
        figures[name] = {"share_of_training": round(share, 4), "at_most": limit, "holds": share <= limit}
        figures[name]["images_per_second_over_none"] = round(images, 4)
    figures["none_over_training"] = round(median["none"] / median[TRAINING], 4)
    figures["range_over_median"] = {
        name: [round(min(own) / median[name], 3), round(max(own) / median[name], 3)] for name, own in seconds.items()
    }
    return figures


def draw_seconds() -> float:
    """Seconds to draw ten numbers for each of 50,000 images; the best of five."""
    ten = dataclasses.replace(AUGMENTATIONS["none"], numbers=10)
    taken = []
    for _ in range(5):
        started = time.perf_counter()
        draw(ten, seed=0, run=0, epoch=0, steps=-(-50_000 // BATCH_SIZE), batch_size=BATCH_SIZE)
        taken.append(time.perf_counter() - started)
    return min(taken)


if __name__ == "__main__":
    main()
