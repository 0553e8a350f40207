"""Engines for scenarios, and epochs played in them as the training loop does; `engine_child` has the scenarios."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from importlib import import_module
from typing import Any

import numpy as np

from tests.support.tiny import batches, run_config, training_data
from trainer import ops
from trainer.config import ENGINES
from trainer.data import TrainingData
from trainer.methods.base import Method, Step

Arrays = dict[str, Any]
FIRST = np.arange(10, dtype=np.int32)
"""A mini-batch of the first ten samples."""
SHARED: dict[str, Any] = {}
SEEN_DTYPES: set[str] = set()
"""Of the logits that methods were given."""


def recorded(method: Method) -> Method:
    """The method, which also remembers each sample's last choice: in each network's clean set, and trained label."""
    kind: Any = type(method)

    class Recorded(kind):
        def memory(self, num_samples: int, num_classes: int) -> dict[str, np.ndarray]:
            memory = super().memory(num_samples, num_classes)
            picked = np.full((num_samples, self.num_networks), -1, np.int32)
            return {**memory, "picked": picked, "replaced": np.full(num_samples, -1, np.int32)}

        def step(self, labels: Any, logits: tuple[Any, ...], rows: dict[str, Any], schedule: dict[str, Any]) -> Step:
            SEEN_DTYPES.update(str(values.dtype.name) for values in logits)
            rows = dict(rows)
            picked, replaced = rows.pop("picked"), rows.pop("replaced")
            step = super().step(labels, logits, rows, schedule)
            if step.clean_sets:
                picked = ops.stack([ops.cast(chosen, "int32") for chosen in step.clean_sets], axis=1)
            if "refurbished" in step.labels:
                replaced = ops.cast(step.labels["refurbished"], "int32")
            return step._replace(rows={**step.rows, "picked": picked, "replaced": replaced})

    made: Method = Recorded(**dataclasses.asdict(method))
    return made


def engine_for(name: str, scenario: dict[str, Any], data: TrainingData, method: Method | None = None) -> Any:
    """A new engine; with "dropout": false, without dropout."""
    config = run_config(
        scenario.get("method", "default"),
        scenario.get("network", "small-cnn"),
        epochs=scenario.get("epochs", 2),
        engine=name,
        method_settings=scenario.get("options", {}),
        **scenario.get("settings", {}),
    )
    module, kind = ENGINES[name].split(":")
    extra = {"scan": scenario["scan"]} if "scan" in scenario else {}
    engine = getattr(import_module(module), kind)(config, method or recorded(config.make_method()), data, **extra)
    if not scenario.get("dropout", True):
        for layer in (layer for network in engine.networks for layer in network.layers):
            if type(layer).__name__ == "Dropout":
                layer.rate = 0.0
    return engine


def shared_engine(name: str, scenario: dict[str, Any]) -> Any:
    """An engine that scenarios of the same settings share, since compiling takes seconds; `play` starts it afresh."""
    settings = {key: value for key, value in scenario.items() if key not in ("do", "runs", "in_steps", "evaluate")}
    key = json.dumps(settings, sort_keys=True)
    if key not in SHARED:
        data = training_data(**scenario.get("data", {}))
        tests = scenario.get("tests", len(data.test_labels))
        data = dataclasses.replace(
            data,
            test_images=np.resize(data.test_images, (tests, *data.image_shape)),
            test_labels=np.resize(data.test_labels, tests),
        )
        SHARED[key] = engine_for(name, scenario, data)
    return SHARED[key]


def play(
    engine: Any, epochs: int, runs: int = 1, in_steps: bool = False, evaluate: bool = False
) -> Iterator[tuple[str, Any]]:
    """Train as `trainer.training.loop` does; sums a step, the memory after each epoch, the state around each run.

    Args:
        in_steps: a call of the engine for each step. evaluate: after each run.
    """
    data, config, tau = engine.data, engine.config, engine.config.noise_rate
    memory = engine.method.memory(data.num_samples, data.num_classes)
    for run in range(runs):
        engine.reset(run)
        engine.memory = {**engine.start_memory(), **memory}
        yield from ((f"{run}/began/{name}", values) for name, values in engine.state().items())
        for epoch in range(epochs):
            for key, values in one_epoch(engine, run, epoch, tau, in_steps):
                yield f"{run}/{epoch}/{key}", values
        if evaluate:
            totals = engine.evaluate()
            yield from ((f"{run}/{key}", [network[key] for network in totals]) for key in totals[0])
        yield from ((f"{run}/state/{name}", values) for name, values in engine.state().items())
        yield f"{run}/tau", tau
        remembered = {key: values for key, values in engine.memory.items() if key in memory}
        memory, tau = engine.method.restart(remembered, tau)
    assert config.epochs >= epochs


def one_epoch(
    engine: Any, run: int, epoch: int, noise_rate: float = 0.25, in_steps: bool = False
) -> Iterator[tuple[str, Any]]:
    engine.begin_epoch(run, epoch, engine.config.learning_rate_at(epoch))
    indices = batches(engine.data, engine.config, run, epoch)
    schedule = engine.method.schedule(epoch, indices.shape[1], noise_rate)
    parts = [engine.train(part, schedule) for part in (indices[:, None] if in_steps else [indices])]
    for key in parts[0]:
        yield f"sums/{key}", np.concatenate([part[key] for part in parts])
    yield from ((f"memory/{key}", values) for key, values in engine.memory.items())
