"""The scripts for a GPU train a toy where TensorFlow is not installed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.bench_scripts import BENCH


@pytest.fixture
def without_tensorflow(tmp_path: Path) -> dict[str, str]:
    """The environment of a Python, and of all that it starts, in which TensorFlow is not installed."""
    folder = tmp_path / "site"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text("import sys\nsys.modules['tensorflow'] = None\n", encoding="utf-8")
    path = [str(folder), str(BENCH.parent), str(BENCH), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(path)}


def test_gpu_step_makes_a_toy_without_tensorflow(without_tensorflow: dict[str, str], tmp_path: Path) -> None:
    pytest.importorskip("jax")
    out = tmp_path / "toy.json"
    given = ["--toy", "--networks", "small-cnn", "--methods", "selfie", "--batch-sizes", "8", "--out", str(out)]
    given += ["--precisions", "float32", "--steps", "2", "--epochs", "1", "--image-size", "8"]
    command = [sys.executable, str(BENCH / "gpu_step.py"), *given]
    done = subprocess.run(command, capture_output=True, text=True, env=without_tensorflow)
    assert done.returncode == 0, done.stderr
    found = json.loads(out.read_text(encoding="utf-8"))
    case = found["measured"][0]["cases"]["small-cnn 8 float32 selfie"]
    assert "failed" not in case, case
    assert case["gigaoperations_per_step"] > 0
    assert case["gigabytes_per_step"] > 0
    assert not {"images_per_second", "step_milliseconds"} & set(case), "absolute times are for a GPU alone"
    assert (found["complete"], found["bench"]) == (True, "gpu_step-toy-jax")


def test_paper_gpu_trains_without_tensorflow(without_tensorflow: dict[str, str], tmp_path: Path) -> None:
    pytest.importorskip("jax")
    script = """
import sys
from pathlib import Path
import paper_gpu
from slices import Slice
from datatools import convert, corrupt
from trainer.config import resolve
from trainer.reporters.console import Console
from trainer.training.loop import train

folder = Path(sys.argv[1])
clean = convert("digits", out=folder / "clean", limit=64).dataset
noisy = corrupt(clean, noise="pair", rate=0.4, seed=0, out=folder / "noisy").dataset
config = resolve("default", noisy, network="small-cnn", epochs=1, batch_size=32, engine="jax", device="cpu")
train(config, noisy, folder / "run", Slice(None, Console(1)))
assert sys.modules["tensorflow"] is None
"""
    command = [sys.executable, "-c", script, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, env=without_tensorflow)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "run" / "result.json").is_file()
