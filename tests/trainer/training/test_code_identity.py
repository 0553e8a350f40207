"""The code's identity: it changes with every module that a run imports, and with no other."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from datatools.format.dataset import Dataset
from tests.support.tiny import examples, write_dataset
from trainer.config import ENGINES
from trainer.methods import METHODS
from trainer.networks import NETWORKS
from trainer.training.code_identity import ROOT, code_sha256, imported_names, run_modules, source_sha256

COMPUTES = (
    "datatools/errors.py",
    "datatools/format/records.py",
    "datatools/seeding.py",
    "trainer/__init__.py",
    "trainer/data.py",
    "trainer/engine/compilation_cache.py",
    "trainer/engine/jax.py",
    "trainer/engine/tensorflow.py",
    "trainer/training/loop.py",
    "trainer/methods/selfie.py",
    "trainer/networks/layers.py",
    "trainer/networks/vgg.py",
)
AROUND_RUNS = (
    "datatools/conversion.py",
    "datatools/sources/digits.py",
    "trainer/commands/run.py",
    "trainer/reporters/console.py",
    "trainer/reporters/tensorboard.py",
    "trainer/reporters/json_lines.py",
    "trainer/audit/noise_estimate.py",
    "trainer/audit/output.py",
    "trainer/report/page.py",
    "trainer/sweep/cell.py",
)


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Both packages, to be changed."""
    folder = tmp_path_factory.mktemp("copy")
    for package in ("datatools", "trainer"):
        shutil.copytree(ROOT / package, folder / package, ignore=shutil.ignore_patterns("__pycache__"))
    return folder


def changed_sha256(copy: Path, name: str) -> str:
    """The hash with another comment in a file."""
    path = copy / name
    before = path.read_bytes()
    path.write_bytes(before + b"# changed\n")
    try:
        return source_sha256(copy)
    finally:
        path.write_bytes(before)


@pytest.mark.parametrize("name", COMPUTES)
def test_a_change_in_what_computes_a_run_is_another_code(name: str, copy: Path) -> None:
    assert changed_sha256(copy, name) != source_sha256(copy)


@pytest.mark.parametrize("name", AROUND_RUNS)
def test_a_change_in_what_shows_or_starts_runs_is_none(name: str, copy: Path) -> None:
    assert changed_sha256(copy, name) == source_sha256(copy)


def test_every_line_of_the_registries_is_in_it() -> None:
    modules = run_modules(ROOT)
    named = [*ENGINES.values(), *(spec.builder for spec in NETWORKS.values())]
    assert {entry.partition(":")[0] for entry in named} <= modules.keys()
    assert {method.__module__ for method in METHODS.values()} <= modules.keys()


def test_it_is_the_same_in_another_folder_and_another_order_of_files(copy: Path) -> None:
    assert code_sha256() == source_sha256(ROOT) == source_sha256(copy)


def test_a_module_of_another_name_is_another_code(copy: Path) -> None:
    before = source_sha256(copy)
    path = copy / "trainer" / "methods" / "default.py"
    registry = path.with_name("__init__.py")
    lines = registry.read_text()
    path.rename(path.with_name("plain.py"))
    registry.write_text(lines.replace("methods.default", "methods.plain"))
    try:
        assert "trainer.methods.plain" in run_modules(copy)
        assert source_sha256(copy) != before
    finally:
        path.with_name("plain.py").rename(path)
        registry.write_text(lines)


def test_imports_are_seen_wherever_they_stand(tmp_path: Path) -> None:
    path = tmp_path / "module.py"
    path.write_text(
        "from typing import TYPE_CHECKING\n"
        "import datatools.one\n"
        "if TYPE_CHECKING:\n"
        "    import datatools.types\n"
        "else:\n"
        "    import datatools.two\n"
        "class A:\n"
        "    def b(self):\n"
        "        try:\n"
        "            with open('x'):\n"
        "                from trainer import three\n"
        "        except OSError:\n"
        "            import trainer.four\n"
        "        finally:\n"
        "            import trainer.five\n"
        "        match self:\n"
        "            case None:\n"
        "                import trainer.six\n"
        "        return 'trainer.seven:function', 'trainer.eight', 'trainer.nine is no name'\n"
    )
    names = {name for name in imported_names(path) if name.startswith(("datatools.", "trainer."))}
    expected = ("three", "four", "five", "six", "seven", "eight")
    assert names == {"datatools.one", "datatools.two", *(f"trainer.{name}" for name in expected)}


RUN = """
import json, sys
from pathlib import Path
from datatools.format.dataset import open_dataset
from trainer.config import resolve
from trainer.training.loop import train
from trainer.reporters.base import Quiet

dataset = open_dataset(Path(sys.argv[1]))
settings = {"epochs": 1, "batch_size": 16, "validation_fraction": 0.2, "engine": sys.argv[3], "device": "cpu"}
config = resolve("selfie", dataset, network="densenet-10-12", seed=0, **settings)
for resume in (False, True):
    train(config, dataset, Path(sys.argv[2]), Quiet(), resume=resume)
print(json.dumps([name for name in sys.modules if name.partition(".")[0] in ("datatools", "trainer")]))
"""


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    ids, clean, pixels = examples(40)
    labels = np.where(ids % 4 == 0, (clean + 1) % 3, clean)
    directory = tmp_path_factory.mktemp("data") / "set"
    return write_dataset(directory, (ids, labels, pixels), examples(9, seed=1), labels="noisy", clean_labels=clean)


@pytest.mark.parametrize("engine", ENGINES)
def test_every_module_that_a_run_loads_is_in_it(engine: str, dataset: Dataset, tmp_path: Path) -> None:
    pytest.importorskip(engine)
    done = subprocess.run(
        [sys.executable, "-c", RUN, str(dataset.path), str(tmp_path / "run"), engine],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    loaded = set(json.loads(done.stdout.splitlines()[-1]))
    assert {"datatools.seeding", f"trainer.engine.{engine}", "trainer.networks.densenet"} <= loaded
    assert loaded <= run_modules(ROOT).keys()
