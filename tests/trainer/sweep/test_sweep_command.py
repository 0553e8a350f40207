"""`trainer sweep` as a command."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from pathlib import Path

import pytest

from cli import trainer
from datatools import open_dataset
from trainer.sweep.cell import environment

REPOSITORY = Path(__file__).parents[3]
TIMING = {"seconds", "images_per_second"}


def said(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as exit:
        trainer.main([*arguments], prog_name="trainer")
    out = capsys.readouterr()
    return int(exit.value.code or 0), out.out, out.err


def test_a_dry_run_prints_the_plan_with_its_cost_and_writes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("trainer.sweep.plan._probe", lambda cell, dataset, threads: (0.5, 2.0))
    arguments = [
        "--dataset",
        "digits",
        "--rates",
        "0,0.2",
        "--methods",
        "default,co-teaching,selfie",
        "--preset",
        "quick",
    ]
    code, out, err = said(capsys, "sweep", *arguments, "--epochs", "10", "--jobs", "2", "--dry-run")
    assert (code, err) == (0, "")
    assert out.count("to do") == 6
    # 1,442 images are 12 steps; 10 + 2 x 10 + 3 x 10 network epochs a rate; half a second each and 2 at the start
    assert "6 cells, 6 to be run, 100 epochs" in out
    assert "about 6 min 6 s here, 2 at a time" in out
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "arguments",
    [
        ["--methods", "default"],
        ["--dataset", "digits"],
        ["--dataset", "digits", "--methods", "selfy"],
        ["--dataset", "digits", "--methods", "default", "--rates", "1.5"],
        ["--file", "nowhere.toml"],
        [
            "--dataset",
            "digits",
            "--methods",
            "selfie",
            "--preset",
            "quick",
            "--epochs",
            "4",
            "--set",
            "selfie.warm-up=9",
        ],
    ],
)
def test_a_mistake_is_one_line(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    code, out, err = said(capsys, "sweep", *arguments)
    assert (code, out) == (1, "")
    assert err.count("\n") == 1
    assert err.startswith("trainer: error: ")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("arguments", [["--rates", "a,b"], ["--set", "restarts=1"], ["--executor", "slurm"]])
def test_wrong_usage_is_told_as_such(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = said(capsys, "sweep", "--dataset", "digits", "--methods", "default", *arguments)
    assert (code, out) == (2, "")
    assert "Traceback" not in err


def test_the_command_runs_a_sweep_that_equals_single_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    arguments = ["--dataset", "digits", "--limit", "60", "--rates", "0.2", "--methods", "default", "--preset", "quick"]
    code, out, err = said(capsys, "sweep", *arguments, "--epochs", "2")
    assert (code, err) == (0, "")
    assert "1 of 1 cells finished" in out
    cell = "digits-first60-pair-0.2/default-small-cnn-seed0"
    noisy = open_dataset(tmp_path / "data" / "digits-first60-pair-0.2-seed0")
    single = [
        sys.executable,
        "-c",
        "from cli import trainer; trainer(prog_name='trainer')",
        "run",
        "default",
        "--preset",
    ]
    single += ["quick", "--epochs", "2", "--data", str(noisy.path), "--run-dir", "single"]
    subprocess.run(
        single, env={**os.environ, **environment(1), "PYTHONPATH": str(REPOSITORY)}, check=True, capture_output=True
    )
    assert rows(tmp_path / "runs" / "sweep" / cell) == rows(tmp_path / "single")


def rows(directory: Path) -> list[dict[str, str]]:
    with (directory / "metrics.csv").open() as file:
        return [{k: v for k, v in row.items() if k not in TIMING} for row in csv.DictReader(file)]
