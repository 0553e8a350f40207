"""Every method's steps and the gradients of its losses, in one framework.

    python -m tests.support.method_steps ENGINE OUT.npz

A process has one framework, so the other one's come from a process of their own.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from tests.support.contract import step_of
from trainer.engine import load_backend
from trainer.methods import METHODS
from trainer.methods.base import Method, Step

Arrays = dict[str, np.ndarray]
Taken = tuple[Step, list[Any]]
"""A step, and for each of its losses the gradient by each network's logits."""
LOGITS = ("ordinary", "huge")
EPOCHS, STEPS = 12, 3
SAMPLES, CLASSES = 8, 4


def play(engine: str) -> Arrays:
    """A few steps of every method on the same samples, by "method/logits/step/what"."""
    compiled = {"tensorflow": _in_tensorflow, "jax": _in_jax}[engine]
    load_backend(engine)
    played: Arrays = {}
    for name, method_type in METHODS.items():
        method = method_type.from_settings(EPOCHS, {})
        for stage, kind in itertools.product(method.stages, LOGITS):
            step_and_gradients = compiled(method, stage)
            random = np.random.default_rng(0)
            labels = random.integers(0, CLASSES, SAMPLES).astype(np.int32)
            rows = method.memory(SAMPLES, CLASSES)
            for number in range(STEPS):
                epoch = EPOCHS - STEPS + number
                schedule = {k: np.float32(v) for k, v in method.schedule(epoch, SAMPLES, 0.3).items()}
                logits = tuple(_logits(random, kind) for _ in range(method.num_networks))
                step, gradients = step_and_gradients(labels, logits, rows, schedule)
                rows |= {key: np.asarray(values) for key, values in step.rows.items()}
                arrays = _arrays(step, gradients)
                place = f"{name}/{kind}/{stage}{number}"
                played |= {f"{place}/{what}": values for what, values in arrays.items()}
    return played


def _logits(random: np.random.Generator, kind: str) -> np.ndarray:
    """(B, K) float32."""
    if kind == "huge":
        return random.choice([-1e4, 0.0, 1e4], (SAMPLES, CLASSES)).astype(np.float32)
    return random.normal(0.0, 3.0, (SAMPLES, CLASSES)).astype(np.float32)


def _in_tensorflow(method: Method, stage: str) -> Callable[..., Taken]:
    import tensorflow as tf

    @tf.function
    def graph(labels: Any, logits: Any, rows: Any, schedule: Any) -> Any:
        with tf.GradientTape(persistent=True) as tape:
            tape.watch(logits)
            step = step_of(method, labels, logits, rows, schedule, stage)
        zero = tf.UnconnectedGradients.ZERO
        gradients = [tape.gradient(loss, logits, unconnected_gradients=zero) for loss in step.losses]
        # of rows that are taken several times a gradient comes row by row
        return step, tf.nest.map_structure(tf.convert_to_tensor, gradients)

    return lambda *arguments: graph(*tf.nest.map_structure(tf.constant, arguments))


def _in_jax(method: Method, stage: str) -> Callable[..., Taken]:
    import jax

    def losses(logits: Any, labels: Any, rows: Any, schedule: Any) -> tuple[Any, Step]:
        step = step_of(method, labels, logits, rows, schedule, stage)
        return step.losses, step

    compiled = jax.jit(jax.jacrev(losses, has_aux=True))

    def step_and_gradients(labels: Any, logits: Any, rows: Any, schedule: Any) -> Taken:
        gradients, step = compiled(logits, labels, rows, schedule)
        return step, list(gradients)

    return step_and_gradients


def _arrays(step: Step, gradients: list[Any]) -> Arrays:
    named: dict[str, Any] = {f"loss {number}": loss for number, loss in enumerate(step.losses)}
    for number, by_logits in enumerate(gradients):
        named |= {f"gradient of {number} by {network}": values for network, values in enumerate(by_logits)}
    named |= {f"rows {key}": values for key, values in step.rows.items()}
    named |= {f"clean set {number}": values for number, values in enumerate(step.clean_sets)}
    named |= {f"tally {key}": values for key, values in step.tallies.items()}
    named |= {f"labels {key}": values for key, values in step.labels.items()}
    return {key: np.asarray(values) for key, values in named.items()}


if __name__ == "__main__":
    np.savez(sys.argv[2], **play(sys.argv[1]))  # type: ignore[arg-type]
