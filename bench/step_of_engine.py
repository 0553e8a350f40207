"""Seconds of a method's epochs on one of the trainer's engines, in a process of its own; `gpu_step.py` starts it.

    python bench/step_of_engine.py device jax
    python bench/step_of_engine.py '{"method": "selfie", "settings": {}, "network": …}'

The first form prints what the engine would train on. The second prints a line of JSON: device, seconds of each timed
epoch, parameters, and with JAX operations and bytes of a step. Images and labels are random and lie on the device; an
epoch that compiles and warms up comes first and does not count; an engine's epoch ends when the device is done.
"""

from __future__ import annotations

import json
import sys
import time
from functools import partial
from typing import Any

import numpy as np
from program_bytes import program_bytes

from trainer.config import RunConfig
from trainer.data import TrainingData, epoch_order
from trainer.engine import make_engine

RUN_EPOCHS = 100
"""Of the run that the timed epochs are in the middle of: past the warm-up of every method."""
NOISE_RATE = 0.4


def main() -> None:
    if sys.argv[1] == "device":
        case = {"network": "small-cnn", "batch_size": 4, "steps": 1, "image_size": 8, "engine": sys.argv[2]}
        print(json.dumps({"device": make(case)[0].device}))
        return
    print(json.dumps(measure(json.loads(sys.argv[1]))))


def make(case: dict[str, Any]) -> tuple[Any, RunConfig, TrainingData]:
    """The engine with random data: as many samples as the steps of an epoch take."""
    config = RunConfig.from_json(
        {
            "method": case.get("method", "default"),
            "network": case["network"],
            "preset": "paper",
            "epochs": RUN_EPOCHS,
            "batch_size": case["batch_size"],
            "learning_rate": 0.01,
            "drop_epochs": [],
            "noise_rate": NOISE_RATE,
            "noise_rate_from": "bench",
            "seed": 0,
            "engine": case["engine"],
            "device": case.get("device", "auto"),
            "precision": case.get("precision", "float32"),
            "deterministic": case.get("deterministic", False),
            "method_settings": case.get("settings", {}),
        }
    )
    random = np.random.default_rng(0)
    count, size = case["steps"] * case["batch_size"], case["image_size"]
    images = random.integers(0, 256, (count, size, size, 3), np.uint8)
    labels = random.integers(0, 10, count).astype(np.int32)
    data = TrainingData(images, labels, images[:4], labels[:4], labels, 10)
    return make_engine(config, config.make_method(), data), config, data


def measure(case: dict[str, Any]) -> dict[str, Any]:
    engine, config, data = make(case)
    first = RUN_EPOCHS // 2
    seconds = []
    for epoch in range(first, first + case["epochs"] + 1):
        indices = epoch_order(data.num_samples, config.batch_size, config.seed, 0, epoch)
        schedule = engine.method.schedule(epoch, indices.shape[1], NOISE_RATE)
        if epoch == first:
            engine.prepare(indices, schedule)
        engine.begin_epoch(0, epoch, config.learning_rate)
        started = time.perf_counter()
        engine.train(indices, schedule)
        seconds.append(time.perf_counter() - started)
    found = {"device": engine.device, "parameters": engine.parameters(), "seconds": seconds[1:]}
    return found | (step_costs(engine, indices.shape[1], schedule) if config.engine == "jax" else {})


def step_costs(engine: Any, size: int, schedule: dict[str, float]) -> dict[str, float]:
    """Operations of a step by XLA's analysis of the program as written, bytes by that of what is compiled of it.

    As written, since XLA does not count the operations of a library's convolution.
    """
    import jax

    from trainer.engine.base import Kind

    rows = jax.ShapeDtypeStruct((1, size), np.int32)
    images = jax.ShapeDtypeStruct((1, size, *engine.data.image_shape), np.uint8)
    everyone = (True,) * engine.method.num_networks
    inputs = {name: jax.ShapeDtypeStruct(part.shape, part.dtype) for name, part in engine._inputs(0, 1, size).items()}
    with engine._arithmetic():
        step = jax.jit(partial(engine._train_one, Kind(everyone)), donate_argnums=0)
        lowered = step.lower(engine._state, engine._labels, engine._scalars(schedule), inputs, rows, images)
        return {
            "operations": float(lowered.cost_analysis()["flops"]),
            "bytes": float(program_bytes(lowered.compile().as_text())),
        }


if __name__ == "__main__":
    main()
