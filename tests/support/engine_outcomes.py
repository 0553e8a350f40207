"""What engines give in processes of their own (`engine_child`), and programs that train there."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

REPOSITORY = Path(__file__).parents[2]
CHILD = [sys.executable, "-m", "tests.support.engine_child"]
CHILDREN = {
    "CUDA_VISIBLE_DEVICES": "-1",
    "COLUMNS": "100",
    # what XLA compiles here runs for a second: with less care it compiles faster
    "XLA_FLAGS": "--xla_backend_optimization_level=0",
}


Outcome = Callable[..., dict[str, np.ndarray]]


def environment(**more: str) -> dict[str, str]:
    """Of a child process, in which nothing that this process has set quietens or chooses a framework."""
    left_out = ("TF_CPP_MIN_LOG_LEVEL", "KERAS_BACKEND", "XLA_PYTHON_CLIENT_PREALLOCATE", "JAX_PLATFORMS")
    kept = {key: value for key, value in os.environ.items() if key not in left_out}
    return {**kept, "PYTHONPATH": str(REPOSITORY), **CHILDREN, **more}


def start(command: list[str], **more: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        command, cwd=REPOSITORY, env=environment(**more), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def finish(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=400)
    return process.returncode, out, err


def outcomes_of(directory: Path, started: Sequence[tuple[str, dict[str, Any]]]) -> dict[str, dict[str, np.ndarray]]:
    """By engine the arrays of all scenarios; each of the (engine, scenarios) has a process, and all run at once."""
    processes = []
    for number, (engine, scenarios) in enumerate(started):
        file, out = directory / f"{number}.json", directory / f"{number}.npz"
        file.write_text(json.dumps(scenarios))
        processes.append((engine, out, start([*CHILD, engine, str(file), str(out)])))
    outcomes: dict[str, dict[str, np.ndarray]] = {}
    for engine, out, process in processes:
        code, _, err = finish(process)
        assert code == 0, err
        with np.load(out) as arrays:
            outcomes[engine] = dict(arrays)
    return outcomes


def outcome_of(outcomes: dict[str, dict[str, np.ndarray]]) -> Outcome:
    """What gives a scenario's arrays, by name."""

    def get(scenario: str, engine: str = "jax") -> dict[str, np.ndarray]:
        arrays = part(outcomes[engine], f"{scenario}/")
        assert "error" not in arrays, str(arrays["error"])
        return arrays

    return get


def part(outcome: dict[str, np.ndarray], prefix: str) -> dict[str, np.ndarray]:
    arrays = {key.removeprefix(prefix): value for key, value in outcome.items() if key.startswith(prefix)}
    assert arrays, prefix
    return arrays


def assert_same(actual: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> None:
    """Bit for bit; not-a-number equals itself."""
    assert actual.keys() == expected.keys()
    for key, values in expected.items():
        assert actual[key].dtype == values.dtype, key
        np.testing.assert_array_equal(actual[key], values, err_msg=key)


def trained(outcome: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Sums, memory, evaluation and state, without what a scenario tells beside them."""
    return {key: value for key, value in outcome.items() if key[0].isdigit()}
