"""A process of its own for an engine, since Keras runs on one framework a process.

    python -m tests.support.engine_child ENGINE SCENARIOS.json OUT.npz

SCENARIOS.json maps names to {"do": one of ACTIONS, …}; what a scenario gives is in OUT.npz as "name/…", and where it
raised, its traceback as "name/error".
"""

from __future__ import annotations

import dataclasses
import json
import sys
import traceback
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from tests.support.engine_play import FIRST, SEEN_DTYPES, Arrays, engine_for, one_epoch, play, shared_engine
from tests.support.tiny import batches, training_data
from trainer import ops
from trainer.engine import load_backend
from trainer.errors import TrainerError
from trainer.methods.base import Step, cross_entropy
from trainer.methods.default import Default


def train(name: str, scenario: dict[str, Any]) -> Arrays:
    """A whole `play`, and with "in_steps" another.

    "data": arguments of `training_data`; "tests": number of test images; "block": bytes of images that stream at a
    time; "evaluate": after each run.
    """
    SEEN_DTYPES.clear()
    feed: Any = import_module("trainer.engine.images")
    engine = shared_engine(name, scenario)
    if "block" in scenario:
        feed.STREAM_SHARE = engine.budget // scenario["block"]
    epochs, runs = scenario["epochs"], scenario.get("runs", 1)
    arrays = dict(play(engine, epochs, runs, evaluate=scenario.get("evaluate", False)))
    if scenario.get("in_steps"):
        arrays |= {f"in_steps/{key}": values for key, values in play(engine, epochs, runs, in_steps=True)}
    (inner,) = {str(network.layers[1].output.dtype) for network in engine.networks}
    (output,) = {str(network.output.dtype) for network in engine.networks}
    return {
        **arrays,
        "dtypes": [inner, output, *sorted(SEEN_DTYPES)],
        "streams": engine.streams,
        "device": engine.device,
        "parameters": engine.parameters(),
        "weights": sorted(engine.weights()),
        **(programs(engine) if name == "jax" else {}),
    }


def programs(engine: Any) -> Arrays:
    """How many programs JAX has compiled for an engine, and what the training program asks of a compiler."""
    indices = batches(engine.data, engine.config, 0, 0)
    scalars = engine._scalars(engine.method.schedule(0, indices.shape[1], 0.25))
    (program,) = engine._programs.values()
    with engine._arithmetic():
        piece = next(engine._pieces(indices, {}))
        text = program.lower(engine._state, engine._labels, scalars, *piece).as_text()
    return {
        "programs": program._cache_size(),
        "evaluation_programs": engine._test._cache_size(),
        "lowered": text,
    }


def prepared(name: str, scenario: dict[str, Any]) -> Arrays:
    """An epoch in an engine that was prepared for it, with the names of what was compiled, and in one that was not."""
    import jax

    engines = {title: engine_for(name, scenario, training_data()) for title in ("prepared", "unprepared")}
    arrays: Arrays = {}
    compiled: list[str] = []
    jax.monitoring.register_event_duration_secs_listener(
        lambda event, seconds, **more: (
            compiled.append(str(more.get("fun_name"))) if "backend_compile" in event else None
        )
    )
    for title, engine in engines.items():
        engine.begin_epoch(0, 0, 0.05)
        indices = batches(engine.data, engine.config, 0, 0)
        schedule = engine.method.schedule(0, indices.shape[1], 0.25)
        if title == "prepared":
            before = {**engine.state(), **engine.memory}
            compiled.clear()
            engine.prepare(indices, schedule)
            after = {**engine.state(), **engine.memory}
            arrays["changed"] = [key for key in before if not np.array_equal(before[key], after[key], equal_nan=True)]
        engine.train(indices, schedule)
        if title == "prepared":
            arrays["compiled"] = [program for program in compiled if "train" in program]
            arrays["program"] = "jit(_train_steps)" if engine._scan else "jit(_train_one)"
        arrays |= {f"{title}/{key}": values for key, values in {**engine.state(), **engine.memory}.items()}
    return arrays


def carried(name: str, scenario: dict[str, Any]) -> Arrays:
    """Two epochs in one engine; the third there, and in a new one that took up its state; then that one from anew."""
    first, second = shared_engine(name, scenario), engine_for(name, scenario, training_data())
    began = second.state()
    start = dict(play(first, 2))
    state, memory = first.state(), first.memory
    kept = {key: values.copy() for key, values in {**state, **memory}.items()}
    # as TensorFlow's checkpoint has them: its counters and seeds are int64
    second.load_state({key: v.astype(np.int64) if v.dtype.kind in "iu" else v for key, v in state.items()})
    second.memory = memory
    arrays: Arrays = {}
    for title, engine in (("stayed", first), ("moved", second)):
        arrays |= {f"{title}/{key}": values for key, values in one_epoch(engine, 0, 2)}
        arrays |= {f"{title}/state/{key}": values for key, values in engine.state().items()}
        arrays |= {f"{title}/weights/{key}": values for key, values in engine.weights().items()}
    arrays |= {f"start/{key}": values for key, values in start.items()}
    arrays |= {f"anew/{key}": values for key, values in play(second, 2)}
    arrays["untouched"] = all(np.array_equal(kept[key], v, equal_nan=True) for key, v in {**state, **memory}.items())
    arrays["moved_on"] = not np.array_equal(began["network_1/0000-kernel"], state["network_1/0000-kernel"])
    return arrays


@dataclasses.dataclass(frozen=True)
class Two(Default):
    """Two networks, each trained as Default does."""

    num_networks: ClassVar[int] = 2

    def step(self, labels: Any, logits: tuple[Any, ...], rows: dict[str, Any], schedule: dict[str, Any]) -> Step:
        losses = [ops.mean(cross_entropy(labels, ops.log_softmax(values))) for values in logits]
        return Step(losses=self.mixed(*losses), rows=rows)

    def mixed(self, first: Any, second: Any) -> tuple[Any, Any]:
        return first, second


class FirstOfTwo(Two):
    """The second is told nothing."""

    def mixed(self, first: Any, second: Any) -> tuple[Any, Any]:
        return first, 0.0 * second


class Coupled(Two):
    """Each loss holds the other, whose gradient is none of its network's business."""

    def mixed(self, first: Any, second: Any) -> tuple[Any, Any]:
        return first + 3.0 * second, second + 2.0 * first


def gradients(name: str, scenario: dict[str, Any]) -> Arrays:
    """The trainable weights of two networks before and after a step, under each of the methods above."""
    data = training_data()
    arrays: Arrays = {}
    for method in (Two(), FirstOfTwo(), Coupled()):
        engine = engine_for(name, {**scenario, "dropout": False}, data, method)
        for when in ("before", "after"):
            for number, network in enumerate(engine.networks):
                weights = list(engine.weights().values())
                weights = weights[number * len(network.weights) : (number + 1) * len(network.weights)]
                trainable = [w for w, v in zip(weights, network.weights, strict=True) if v.trainable]
                key = f"{type(method).__name__}/{number}/{when}"
                arrays[key] = np.concatenate([values.ravel() for values in trainable])
            if when == "before":
                engine.begin_epoch(0, 0, 0.1)
                engine.train(FIRST[None], {})
    return arrays


class Unreadable:
    """What the device still works on, out of the host's reach."""

    def __init__(self, content: Any) -> None:
        self.content = content

    def __array__(self, *_: Any, **__: Any) -> np.ndarray:
        raise AssertionError("the host read a value inside an epoch")

    __float__ = __int__ = __bool__ = __iter__ = __len__ = __getitem__ = __array__


def no_sync(name: str, scenario: dict[str, Any]) -> Arrays:
    """An epoch in which the host cannot read what steps give before the last one is under way."""
    import jax

    engine = shared_engine(name, scenario)
    expected = dict(play(engine, 2))
    events: list[str] = []
    ((learns, advance),) = engine._programs.items()
    get = jax.device_get

    def dispatch(state: Any, *others: Any) -> tuple[Any, Any]:
        events.append("dispatch")
        state, sums = advance(state.content if isinstance(state, Unreadable) else state, *others)
        return Unreadable(state), Unreadable(sums)

    def read(parts: list[Any]) -> Any:
        events.append("read")
        engine._state = engine._state.content
        return get([part.content for part in parts])

    dict(play(engine, 1))
    engine._compiled.clear()
    engine.begin_epoch(0, 1, engine.config.learning_rate_at(1))
    indices = batches(engine.data, engine.config, 0, 1)
    engine._programs[learns], jax.device_get = dispatch, read
    try:
        # nothing goes to the device unasked either, such as a number that a step would take from the host
        with jax.transfer_guard("disallow"):
            sums = engine.train(indices, engine.method.schedule(1, indices.shape[1], 0.25))
    finally:
        engine._programs[learns], jax.device_get = advance, get
    same = all(np.array_equal(values, expected[f"0/1/sums/{key}"]) for key, values in sums.items())
    return {"events": events, "steps": len(indices), "same": same, "keys": sorted(sums)}


def refusals(name: str, scenario: dict[str, Any]) -> Arrays:
    """The line that each mistake gives."""

    class Vast(Default):
        def step(self, labels: Any, logits: tuple[Any, ...], rows: dict[str, Any], schedule: dict[str, Any]) -> Step:
            step = super().step(labels, logits, rows, schedule)
            vast = ops.sort(ops.broadcast_to(logits[0][:, :1], (10, 2**44)), axis=1)  # 640 TiB
            return step._replace(losses=(step.losses[0] + 0.0 * ops.sum(vast),))

    data = training_data()
    engine = engine_for(name, scenario, data, Vast())
    calls: dict[str, Callable[[], Any]] = {
        "memory": lambda: engine.train(FIRST[None], {}),
        "state": lambda: engine.load_state({"network_1/0000-kernel": np.zeros(3)}),
        "backend": lambda: load_backend("tensorflow"),
        "gpu": lambda: engine_for(name, {"settings": {"device": "gpu"}}, data),
        "gpu:1": lambda: engine_for(name, {"settings": {"device": "gpu:1"}}, data),
    }
    lines = {}
    for title, call in calls.items():
        try:
            call()
        except TrainerError as error:
            lines[title] = str(error)
    return lines


ACTIONS = {action.__name__: action for action in (train, prepared, carried, gradients, no_sync, refusals)}


def main(name: str, scenarios: str, out: str) -> None:
    load_backend(name)
    arrays: Arrays = {}
    for title, scenario in json.loads(Path(scenarios).read_text(encoding="utf-8")).items():
        try:
            result = ACTIONS[scenario["do"]](name, scenario)
        except Exception:
            result = {"error": traceback.format_exc()}
        arrays |= {f"{title}/{key}": np.asarray(values) for key, values in result.items()}
    np.savez(out, **arrays)


if __name__ == "__main__":
    main(*sys.argv[1:])
