"""docs/add-a-method.md, done to the letter in a copy of the packages: one file and one line, and all else follows."""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tensorboard.backend.event_processing import event_accumulator

from tests.support.tiny import examples, write_dataset
from trainer.methods.base import Method

ROOT = Path(__file__).parents[3]
PAGE = ROOT / "docs" / "add-a-method.md"
EPOCHS = 3


def blocks() -> list[str]:
    """The page's Python: the method, its line in the registry, and what is shown of mixup and of DivideMix."""
    return re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL)


def run(checkout: Path, *arguments: str) -> str:
    """What `trainer …` of a checkout says."""
    environment = {**os.environ, "PYTHONPATH": str(checkout), "CUDA_VISIBLE_DEVICES": "-1"}
    done = subprocess.run(
        [sys.executable, "-c", "from cli import trainer; trainer()", *arguments],
        capture_output=True,
        text=True,
        cwd=checkout,
        env=environment,
        timeout=200,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the packages with the page's method in it."""
    copy = tmp_path_factory.mktemp("checkout")
    for package in ("datatools", "trainer"):
        shutil.copytree(ROOT / package, copy / package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "cli.py", copy)
    method, line, *_ = blocks()
    (copy / "trainer" / "methods" / "leave_out.py").write_text(method, encoding="utf-8")
    registry = copy / "trainer" / "methods" / "__init__.py"
    text = registry.read_text(encoding="utf-8")
    text = text.replace("from trainer.methods.selfie", f"{line}from trainer.methods.selfie")
    registry.write_text(text.replace("        Selfie,", "        Selfie,\n        LeaveOut,"), encoding="utf-8")
    return copy


@pytest.fixture(scope="module")
def output(checkout: Path) -> str:
    """What a run of the method says; the run is in `run`."""
    pytest.importorskip("tensorboard")
    ids, clean, pixels = examples(60)
    labels = (clean + (ids % 4 == 0)) % 3
    write_dataset(checkout / "noisy", (ids, labels, pixels), examples(9), labels="noisy", clean_labels=clean)
    settings = [
        "--preset",
        "quick",
        "--epochs",
        str(EPOCHS),
        "--batch-size",
        "20",
        "--floor",
        "0.4",
        "--ceiling",
        "0.5",
    ]
    return run(checkout, "run", "leave-out", "--data", "noisy", "--run-dir", "run", "--tensorboard", *settings)


def column(checkout: Path) -> list[float]:
    with (checkout / "run" / "metrics.csv").open(newline="", encoding="utf-8") as file:
        return [float(row["left_out_share"]) for row in csv.DictReader(file)]


def test_what_the_page_shows_of_methods_is_their_source() -> None:
    _, _, *shown = blocks()
    for name, parts in (("mixup", shown[:2]), ("dividemix", shown[2:])):
        source = (ROOT / "trainer" / "methods" / f"{name}.py").read_text(encoding="utf-8")
        lines = "\n".join(line.strip() for line in source.splitlines())
        assert len(parts) >= 2
        assert all("\n".join(line.strip() for line in part.splitlines()) in lines for part in parts)


def test_the_page_names_all_that_a_method_may_have() -> None:
    text = PAGE.read_text(encoding="utf-8")
    members = {name for name in vars(Method) if not name.startswith("_")} - {"from_settings"}
    assert {"step", "draw"} < members
    assert {name for name in members if not re.search(rf"`{name}\b", text)} == set()


def test_the_metric_is_in_metrics_csv(checkout: Path, output: str) -> None:
    shares = column(checkout)
    assert len(shares) == EPOCHS
    assert 0 < max(shares) < 1


def test_the_metric_is_on_the_screen(checkout: Path, output: str) -> None:
    lines = [line for line in output.splitlines() if line.startswith("epoch ")]
    assert [f"left out {share:.1%}" in line for share, line in zip(column(checkout), lines, strict=True)] == [
        True
    ] * EPOCHS


def test_the_metric_is_in_tensorboard(checkout: Path, output: str) -> None:
    events = event_accumulator.EventAccumulator(str(checkout / "run" / "tensorboard"))
    events.Reload()
    assert [event.value for event in events.Scalars("leave_out/share")] == pytest.approx(column(checkout))


def test_the_settings_are_options_and_in_config_json(checkout: Path, output: str) -> None:
    config = json.loads((checkout / "run" / "config.json").read_text(encoding="utf-8"))
    assert config["method_settings"] == {"floor": 0.4, "ceiling": 0.5}
    text = run(checkout, "run", "leave-out", "--help")
    assert "--floor" in text
    assert "--ceiling" in text
    assert "leave-out" in run(checkout, "list")


@pytest.fixture(scope="module")
def report(checkout: Path, output: str) -> Path:
    """The folder of a report of the run."""
    run(checkout, "report", "run", "--out", "report")
    return checkout / "report"


def test_the_run_is_in_the_report(report: Path) -> None:
    assert "leave-out" in (report / "report.html").read_text(encoding="utf-8")
    with (report / "results.csv").open(newline="", encoding="utf-8") as file:
        assert [row["method"] for row in csv.DictReader(file)] == ["leave-out"]


def test_the_metric_is_a_curve_of_the_report(checkout: Path, report: Path) -> None:
    text = (report / "report.html").read_text(encoding="utf-8")
    assert "<figcaption>Left out share<span>%, share of the samples that were left out</span>" in text
    last = column(checkout)[-1]
    assert 'aria-label="Left out share by epoch, tiny, pair noise, small-cnn, 3 epochs, noise 20 %' in text
    assert f"at the end leave-out {100 * last:.1f} %." in text
