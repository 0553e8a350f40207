"""What a run reports; what is refused at its start, and what is left behind where it ends early."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from datatools.errors import DataToolsError
from datatools.format.dataset import Dataset, open_dataset
from tests.support.digit_runs import EPOCHS, FILES, RUNS, Run, Runs, Witness, config_for, read_rows
from tests.support.tiny import examples, run_config, write_dataset
from trainer.config import RunConfig
from trainer.metrics import EpochRow
from trainer.reporters.base import Quiet
from trainer.training.loop import train


@pytest.fixture(params=["default", "selfie"])
def run(request: pytest.FixtureRequest, run_of: Runs) -> Run:
    return run_of(request.param)


# What is reported


def test_the_start_tells_what_is_to_be_done(run: Run) -> None:
    (plan,) = run.witness.plans
    runs = RUNS if run.config.method == "selfie" else 1
    assert (plan.runs, plan.steps_per_epoch, plan.steps) == (runs, 8, runs * EPOCHS * 8)
    assert plan.seconds is not None
    assert plan.seconds > 0


def test_progress_reaches_the_number_of_steps_in_every_epoch(run: Run) -> None:
    done = [done for done, _ in run.witness.progress]
    assert {total for _, total in run.witness.progress} == {8}
    assert done.count(8) == len(run.rows)
    assert all(later > before or before == 8 for before, later in pairwise(done))


def test_every_row_is_reported_as_it_is_written(run: Run) -> None:
    assert [(row.run, row.epoch, row.value("test_error")) for row in run.witness.rows] == [
        (int(row["run"]), int(row["epoch"]), float(row["test_error"])) for row in run.rows
    ]
    assert run.witness.seconds_left[-1] == 0
    assert all(left > 0 for left in run.witness.seconds_left[:-1])


# What is refused, and what is left behind


def content(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir()}


def refusal(config: RunConfig, dataset: Dataset, directory: Path, overwrite: bool = False) -> str:
    with pytest.raises(DataToolsError) as error:
        train(config, dataset, directory, Quiet(), overwrite=overwrite)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_a_run_that_stands_there_is_not_replaced_unasked(run_of: Runs) -> None:
    run = run_of("default")
    before = content(run.directory)
    message = refusal(run.config, run.dataset, run.directory)
    assert str(run.directory) in message
    assert "--overwrite" in message
    assert "(finished)" in message
    assert content(run.directory) == before


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_directory_that_is_no_run_is_never_overwritten(run_of: Runs, tmp_path: Path, overwrite: bool) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    (tmp_path / "metrics.csv").write_text("of something else")
    before = content(tmp_path)
    message = refusal(run_of("default").config, run_of("default").dataset, tmp_path, overwrite)
    assert str(tmp_path) in message
    assert "--run-dir" in message
    assert content(tmp_path) == before


@pytest.fixture
def broken(digits: Dataset, tmp_path: Path) -> Dataset:
    """A noisy dataset that has lost its manifest."""
    for path in digits.path.iterdir():
        if path != digits.manifest_path:
            (tmp_path / "set").mkdir(exist_ok=True)
            (tmp_path / "set" / path.name).write_bytes(path.read_bytes())
    return open_dataset(tmp_path / "set")


def test_a_dataset_that_cannot_be_read_leaves_no_run_directory(tf: Any, broken: Dataset, tmp_path: Path) -> None:
    message = refusal(config_for("default", broken), broken, tmp_path / "runs" / "run")
    assert "manifest.h5" in message
    assert not (tmp_path / "runs").exists()


def test_a_dataset_that_cannot_be_read_does_not_cost_the_run_to_be_overwritten(
    tf: Any, run_of: Runs, broken: Dataset, tmp_path: Path
) -> None:
    before = content(run_of("default").directory)
    earlier = tmp_path / "run"
    earlier.mkdir()
    for name, data in before.items():
        (earlier / name).write_bytes(data)
    assert "manifest.h5" in refusal(config_for("default", broken), broken, earlier, overwrite=True)
    assert content(earlier) == before


class Interrupter(Quiet):
    """Somebody presses Ctrl-C after the second epoch."""

    def epoch(self, row: EpochRow, seconds_left: float) -> None:
        if row.epoch == 2:
            raise KeyboardInterrupt


def test_an_interrupted_run_keeps_its_rows_and_is_not_taken_for_finished(run_of: Runs, tmp_path: Path) -> None:
    whole = run_of("default")
    directory = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        train(whole.config, whole.dataset, directory, Interrupter())
    rows = read_rows(directory)
    assert [row["test_loss"] for row in rows] == [row["test_loss"] for row in whole.rows[:2]]
    assert {path.name for path in directory.iterdir()} == {"config.json", "metrics.csv", "checkpoint.h5"}
    assert "(unfinished)" in refusal(whole.config, whole.dataset, directory)
    short = replace(whole.config, epochs=1)
    train(short, whole.dataset, directory, Quiet(), overwrite=True)
    assert {path.name for path in directory.iterdir()} == FILES
    assert len(read_rows(directory)) == 1


def test_a_loss_that_is_not_finite_ends_the_run_in_one_line(tf: Any, tmp_path: Path) -> None:
    dataset = write_dataset(tmp_path / "set", examples(30), examples(9))
    config = run_config(learning_rate=1e30, drop_epochs=(), noise_rate=0.0)
    message = refusal(config, dataset, tmp_path / "run")
    assert "loss" in message
    assert not (tmp_path / "run" / "result.json").exists()


def test_a_training_split_smaller_than_a_mini_batch_is_one_step_an_epoch(tf: Any, tmp_path: Path) -> None:
    dataset = write_dataset(tmp_path / "set", examples(5), examples(3))
    witness = Witness()
    train(run_config(epochs=1, batch_size=64), dataset, tmp_path / "run", witness)
    assert (witness.plans[0].steps, witness.progress) == (1, [(1, 1)])
