"""Claims: what a method costs beside Default, what Default costs beside Keras' own `fit`, and how soon training starts.

    python bench/method_costs.py [--engine tensorflow|jax] [--network small-cnn] [--images 1024] [--epochs 17]

- An epoch of a method with one network costs at most 1.1 times one of Default, with two networks at most 2.2 times;
  of ELR+ and DivideMix, which pass more images through their networks, at most 1.1 times what they declare.
- Default trains at least 0.95 times as many images a second as a bare `keras.Model.fit`.
- `trainer run` comes to its first training step within 15 s of the start of its process.

All live in one process, on the CPU, and train on the same random 32x32 images. Every timed epoch of a method has an
epoch of Default of its own beside it, in turn before and after it. Epochs are short and pairs many, so what else the
machine does meets both of a pair; the ratio is the median over the pairs. Methods are in the middle of their training,
past their warm-up, with their default settings: SELFIE with one pass a step, forward correction with a matrix that it
was told.

The bare fit has the same network, optimizer and batch size, no weight decay, no metrics, no log, and images that are
standardised floats in memory already, where Default starts from uint8. It is compiled without XLA, which is slower for
these networks on a CPU. Of four ways of feeding it the fastest one is taken: arrays that fit shuffles itself, or a
tf.data pipeline of mini-batches made beforehand; each a step or a whole epoch per call into the graph. An epoch of it
is timed from its begin to its end, so without what fit does around it.

The last claim is measured on the embedded digits, from the start of the process to the line of the first epoch, which
is a single step: so more than what is claimed; the soonest of three. With --engine jax there are the ratios to Default
alone.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from machine import report

from trainer.config import RunConfig
from trainer.data import TrainingData, epoch_order
from trainer.engine import load_backend, make_engine
from trainer.methods import METHODS
from trainer.methods.base import Method
from trainer.training.passes import passes_of

AT_MOST_A_NETWORK = 1.1
"""Times an epoch of Default, for each pass through a network that a method declares (`Method.relative_cost`)."""
AT_MOST = {
    name: AT_MOST_A_NETWORK * method.from_settings(100, {}).relative_cost
    for name, method in METHODS.items()
    if name != "default"
}
AT_LEAST_OF_FIT = 0.95
FIRST_STEP_SECONDS = 15.0
BATCH_SIZE = 128
LEARNING_RATE = 0.01
FITS = {
    "arrays, a step a call": (False, 1),
    "arrays, an epoch a call": (False, None),
    "tf.data, a step a call": (True, 1),
    "tf.data, an epoch a call": (True, None),
}
"""How the bare fit is fed: through tf.data, and steps per call into the graph (None: all of an epoch)."""

Epoch = Callable[[], float]
"""Trains an epoch; gives the seconds it took."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--engine", choices=["tensorflow", "jax"], default="tensorflow", help="default tensorflow")
    parser.add_argument("--network", default="small-cnn", help="default small-cnn")
    parser.add_argument("--images", type=int, default=1024, help="a multiple of 128; default 1024")
    parser.add_argument("--epochs", type=int, default=17, help="timed pairs of each; default 17")
    arguments = parser.parse_args()
    if arguments.images < BATCH_SIZE or arguments.images % BATCH_SIZE:
        parser.error(f"--images {arguments.images}: a multiple of {BATCH_SIZE} is expected")
    data = random_data(arguments.images)
    epochs = {name: method_epoch(name, arguments.engine, arguments.network, data) for name in ("default", *AT_MOST)}
    fed = None
    if arguments.engine == "tensorflow":
        fed, epochs["fit"] = fastest_fit(arguments.network, data)
    figures = {"images": arguments.images, "pairs_timed": arguments.epochs, "engine": arguments.engine}
    before = os.getloadavg()[0]
    figures |= claims(in_pairs(epochs, arguments.epochs))
    figures["load_average"] = [round(before, 1), round(os.getloadavg()[0], 1)]  # before and after, for the reader
    if fed is not None:
        figures |= {"fit_is_fed_by": fed, "first_step_under_15_s": first_step_seconds() < FIRST_STEP_SECONDS}
    suffix = "" if arguments.engine == "tensorflow" else f"-{arguments.engine}"
    report(f"method_costs-{arguments.network}{suffix}", figures)


def random_data(count: int) -> TrainingData:
    """Random images and labels of CIFAR-10's form; what is in them does not matter to the time."""
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (count, 32, 32, 3), np.uint8)
    labels = random.integers(0, 10, count).astype(np.int32)
    return TrainingData(images, labels, images[:100], labels[:100], labels, 10)


def run_config(method: str, engine: str, network: str) -> RunConfig:
    return RunConfig.from_json(
        {
            "method": method,
            "network": network,
            "preset": "quick",
            "epochs": 100,
            "batch_size": BATCH_SIZE,
            "learning_rate": LEARNING_RATE,
            "drop_epochs": [],
            "noise_rate": 0.4,
            "noise_rate_from": "bench",
            "seed": 0,
            "engine": engine,
            "device": "cpu",
            "method_settings": {},
        }
    )


def method_epoch(name: str, engine: str, network: str, data: TrainingData) -> Epoch:
    """Epochs of a method, from the middle of its training on."""
    config = run_config(name, engine, network)
    method = config.make_method()
    made = make_engine(config, method, data)
    epoch = config.epochs // 2
    kind = type(method)
    looks_back = kind.epoch_end is not Method.epoch_end
    memory_matters = looks_back or kind.epoch_passes is not Method.epoch_passes

    def end_epoch() -> None:
        """What the method does on the host after an epoch, and so before the first one that is timed."""
        made.memory = {**made.memory, **method.epoch_end(epoch - 1, made.memory, data.train_labels, made.predict)}

    def train() -> float:
        nonlocal epoch
        batches = epoch_order(data.num_samples, config.batch_size, config.seed, 0, epoch)
        made.begin_epoch(0, epoch, config.learning_rate)
        started, done = time.perf_counter(), 0
        for part in passes_of(config, method, 0, epoch, batches, made.memory if memory_matters else {}):
            schedule = method.schedule(epoch, part.indices.shape[1], config.noise_rate)
            made.train(part.indices, schedule, done, part.learns, part.stage)
            done += len(part.indices)
        epoch += 1
        if looks_back:
            end_epoch()
        return time.perf_counter() - started

    if looks_back:
        end_epoch()

    return train


def fastest_fit(network: str, data: TrainingData) -> tuple[str, Epoch]:
    """The way of feeding the bare fit whose epochs are the shortest of three, and its epochs."""
    candidates = {name: fit_epoch(network, data, *how) for name, how in FITS.items()}
    seconds = take_turns(candidates, 3)
    best = min(seconds, key=lambda name: statistics.median(seconds[name]))
    return best, candidates[best]


def fit_epoch(network: str, data: TrainingData, through_tf_data: bool, steps_per_call: int | None) -> Epoch:
    """Epochs of a bare `keras.Model.fit`."""
    keras = load_backend("tensorflow")
    import tensorflow as tf

    from trainer.engine.step import standardise
    from trainer.networks import build_network

    images = np.asarray(standardise(np.asarray(data.train_images)))
    model = build_network(network, data.image_shape, data.num_classes, np.random.default_rng(0))
    model.compile(
        optimizer=keras.optimizers.SGD(LEARNING_RATE, momentum=0.9, nesterov=True),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        jit_compile=False,
        steps_per_execution=steps_per_call or data.num_samples // BATCH_SIZE,
    )
    given: dict[str, Any] = {"x": images, "y": data.train_labels, "batch_size": BATCH_SIZE, "shuffle": True}
    if through_tf_data:
        pairs = tf.data.Dataset.from_tensor_slices((images, data.train_labels))
        given = {"x": pairs.batch(BATCH_SIZE).cache().prefetch(tf.data.AUTOTUNE), "shuffle": False}
    began = ended = 0.0

    def begin(epoch: int, logs: Any) -> None:
        nonlocal began
        began = time.perf_counter()

    def end(epoch: int, logs: Any) -> None:
        nonlocal ended
        ended = time.perf_counter()

    clock = keras.callbacks.LambdaCallback(on_epoch_begin=begin, on_epoch_end=end)

    def train() -> float:
        model.fit(**given, epochs=1, verbose=0, callbacks=[clock])
        return ended - began

    return train


def take_turns(epochs: dict[str, Epoch], count: int) -> dict[str, list[float]]:
    """Seconds of `count` epochs each, one after the other in turn; a first one compiles and does not count."""
    turns = [{name: train() for name, train in epochs.items()} for _ in range(count + 1)]
    return {name: [turn[name] for turn in turns[1:]] for name in epochs}


def in_pairs(epochs: dict[str, Epoch], count: int) -> dict[str, list[float]]:
    """By name, seconds of `count` epochs over those of the epoch of Default beside each.

    Default comes first in every other pair. A first round compiles and does not count.
    """
    default = epochs["default"]
    others = {name: train for name, train in epochs.items() if name != "default"}
    ratios: dict[str, list[float]] = {name: [] for name in others}
    for turn in range(count + 1):
        for name, train in others.items():
            if turn % 2:
                of_default, seconds = default(), train()
            else:
                seconds, of_default = train(), default()
            if turn:
                ratios[name].append(seconds / of_default)
    return ratios


def claims(ratios: dict[str, list[float]]) -> dict[str, Any]:
    """Median ratio, whether its claim holds, and smallest and largest ratio of each method, and of fit."""
    over_default = {name: _figures(ratios[name], "at_most", limit) for name, limit in AT_MOST.items()}
    figures: dict[str, Any] = {"over_default": over_default}
    if "fit" in ratios:
        # fit's time over Default's is Default's throughput over fit's
        figures["default_throughput_over_fit"] = _figures(ratios["fit"], "at_least", AT_LEAST_OF_FIT)
    return figures


def _figures(ratios: list[float], kind: str, limit: float) -> dict[str, Any]:
    median = statistics.median(ratios)
    return {
        "ratio": round(median, 3),
        kind: limit,
        "holds": median <= limit if kind == "at_most" else median >= limit,
        "range": [round(min(ratios), 3), round(max(ratios), 3)],
    }


def first_step_seconds() -> float:
    """Seconds from the start of a `trainer run` of its own to the line of its first epoch, a single step."""
    with tempfile.TemporaryDirectory() as folder:
        call("datatools", "convert", "--dataset", "digits", "--root", folder, "--limit", str(BATCH_SIZE))
        call("datatools", "corrupt", "--rate", "0.4", "--type", "pair", "--root", folder)
        return min(first_epoch_line(Path(folder), Path(folder) / f"run{number}") for number in range(3))


def first_epoch_line(root: Path, run: Path) -> float:
    """Seconds until a fresh `trainer run` on the only noisy dataset under `root` tells of its first epoch."""
    arguments = ["default", "--network", "small-cnn", "--epochs", "1", "--root", str(root), "--device", "cpu"]
    arguments += ["--log-format", "json", "--run-dir", str(run)]
    started = time.perf_counter()
    with subprocess.Popen(command("trainer", "run", *arguments), stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        seconds = [time.perf_counter() - started for line in child.stdout if '"event": "epoch"' in line]
    if child.returncode or len(seconds) != 1:
        raise SystemExit(f"trainer run: ended with status {child.returncode} after {len(seconds)} epochs")
    return seconds[0]


def command(group: str, *arguments: str) -> list[str]:
    """`datatools` or `trainer`, in this Python."""
    return [sys.executable, "-c", f"import cli; cli.{group}()", *arguments]


def call(group: str, *arguments: str) -> None:
    subprocess.run(command(group, *arguments), check=True, capture_output=True)


if __name__ == "__main__":
    main()
