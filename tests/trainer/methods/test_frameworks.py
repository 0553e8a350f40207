"""Every method's step and gradients are the same in TensorFlow and JAX, and finite for logits of any size."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.method_steps import LOGITS, STEPS, Arrays, play
from trainer.methods import METHODS

REPOSITORY = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def played(tf: Any, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Arrays]:
    """What each framework made of the same steps."""
    out = tmp_path_factory.mktemp("steps") / "jax.npz"
    command = [sys.executable, "-m", "tests.support.method_steps", "jax", str(out)]
    environment = {key: value for key, value in os.environ.items() if key != "KERAS_BACKEND"}
    environment |= {"CUDA_VISIBLE_DEVICES": "-1", "PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, timeout=400)
    assert done.returncode == 0, done.stderr
    with np.load(out) as arrays:
        return {"jax": dict(arrays), "tensorflow": play("tensorflow")}


def part(arrays: Arrays, prefix: str) -> Arrays:
    return {key.removeprefix(prefix): values for key, values in arrays.items() if key.startswith(prefix)}


@pytest.mark.parametrize("kind", LOGITS)
@pytest.mark.parametrize("method", METHODS)
def test_both_frameworks_take_the_same_steps_and_gradients(method: str, kind: str, played: dict[str, Arrays]) -> None:
    ours, theirs = (part(played[engine], f"{method}/{kind}/") for engine in ("jax", "tensorflow"))
    assert ours.keys() == theirs.keys()
    for key, expected in theirs.items():
        if expected.dtype.kind == "f":
            # JoCoR's gradient by huge logits is a difference of numbers as huge
            size = max(1.0, float(np.abs(expected).max(where=np.isfinite(expected), initial=0.0)))
            np.testing.assert_allclose(ours[key], expected, rtol=1e-4, atol=1e-5 * size, err_msg=key)
        else:
            np.testing.assert_array_equal(ours[key], expected, err_msg=key)


@pytest.mark.parametrize("engine", ["tensorflow", "jax"])
@pytest.mark.parametrize("method", METHODS)
def test_losses_and_gradients_of_huge_logits_are_finite(method: str, engine: str, played: dict[str, Arrays]) -> None:
    huge = part(played[engine], f"{method}/huge/")
    learned = {key: values for key, values in huge.items() if "loss" in key or "gradient" in key}
    networks, stages = METHODS[method].num_networks, len(METHODS[method].stages)
    assert len(learned) == stages * STEPS * (networks + networks**2)
    assert {key for key, values in learned.items() if not np.isfinite(values).all()} == set()
