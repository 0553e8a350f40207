"""What a sweep is going to do, and what it will cost."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from datatools.format.dataset import Dataset, open_dataset
from datatools.format.metadata import DATASET_FILE
from trainer.features.file import open_features
from trainer.methods import METHODS
from trainer.runs.run import is_finished
from trainer.sweep.cell import environment
from trainer.sweep.grid import Cell, Grid, value_of


@dataclass(frozen=True)
class Cost:
    """What a cell trains: epochs of all its runs together, and how many times Default's an epoch costs."""

    epochs: int
    relative: float


def cost(cell: Cell) -> Cost:
    """The cost of a cell by its settings alone.

    Raises:
        TrainerError: settings that contradict each other.
    """
    epochs, variant = value_of(cell.settings, "epochs"), value_of(cell.settings, "variant")
    method = METHODS[cell.method].from_settings(epochs, cell.options, variant)
    return Cost(epochs * method.num_runs, method.relative_cost)


def steps_per_epoch(cell: Cell, samples: int) -> int:
    """Mini-batches of an epoch."""
    held_out = round(samples * value_of(cell.settings, "validation_fraction"))
    return math.ceil((samples - held_out) / value_of(cell.settings, "batch_size"))


def state(directory: Path) -> str:
    """How far the run of a cell is: "finished", "begun" or "to do"."""
    if is_finished(directory):
        return "finished"
    return "begun" if directory.is_dir() and any(directory.iterdir()) else "to do"


def estimate_seconds(grid: Grid, cells: Sequence[Cell], root: Path, threads: int) -> float | None:
    """Seconds the cells take one after the other, from a few steps of Default on each dataset and network here.

    Co-teaching's two networks count twice, and SELFIE's runs each. None where a dataset has yet to be converted, unless
    it is one that comes with the package.

    Raises:
        DataToolsError: the cells train on features, and there are none of a dataset.
    """
    total = 0.0
    measured: dict[tuple[str, str], tuple[float, float, int]] = {}
    with tempfile.TemporaryDirectory() as scratch:
        for cell in cells:
            key = (cell.dataset, cell.network)
            if key not in measured:
                dataset = _clean(grid, cell, root, Path(scratch))
                if dataset is None:
                    return None
                if "features" in cell.settings:  # what is wrong with them is told here, and not by a process
                    open_features(dataset, cell.settings["features"])
                step, start = _probe(cell, dataset.path, threads)
                measured[key] = step, start, dataset.metadata.num_records("train")
            step, start, samples = measured[key]
            needs = cost(cell)
            total += start + needs.epochs * needs.relative * steps_per_epoch(cell, samples) * step
    return total


def _clean(grid: Grid, cell: Cell, root: Path, scratch: Path) -> Dataset | None:
    path = root / cell.dataset
    if (path / DATASET_FILE).is_file():
        return open_dataset(path)
    if "features" not in cell.settings and "digits" in grid.datasets and cell.dataset == grid.directory("digits"):
        from datatools.conversion import convert

        made = scratch / cell.dataset
        return open_dataset(made) if made.is_dir() else convert("digits", out=made, limit=grid.limit).dataset
    return None


def _probe(cell: Cell, dataset: Path, threads: int) -> tuple[float, float]:
    """Seconds of a step of Default, evaluation included in proportion, and of a process's start."""
    started = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "trainer.sweep.plan"],
        input=json.dumps({"cell": cell.to_json(), "dataset": str(dataset.absolute())}),
        env={**os.environ, **environment(threads), "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    )
    step = float(done.stdout.splitlines()[-1])
    return step, time.monotonic() - started


def measure(request: dict[str, Any]) -> float:
    """Seconds of a step of Default with a cell's settings, evaluation included in proportion."""
    from trainer.config import resolve
    from trainer.data import load
    from trainer.engine import make_engine
    from trainer.training.passes import first_passes
    from trainer.training.probe import TEST_TO_TRAIN_COST, probe

    cell = Cell(**request["cell"])
    settings = {key: value for key, value in cell.settings.items() if key != "checkpoint_every"}
    dataset = open_dataset(Path(request["dataset"]))
    config = resolve("default", dataset, network=cell.network, seed=cell.seed, noise_rate=0.0, **settings)
    features = None if config.features is None else open_features(dataset, config.features)
    data = load(dataset, config.validation_fraction, config.seed, features)
    method = config.make_method()
    step = probe(make_engine(config, method, data), method, config, first_passes(config, method, data)[0])
    return step * (1 + TEST_TO_TRAIN_COST * len(data.test_labels) / data.num_samples)


if __name__ == "__main__":
    print(measure(json.loads(sys.stdin.read())))
