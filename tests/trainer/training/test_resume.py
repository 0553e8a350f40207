"""Runs that are stopped, killed and resumed give, bit for bit, what an uninterrupted run gives."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from datatools import convert, corrupt
from datatools.format.dataset import Dataset
from tests.support.interrupted import Crasher, CrashError, Silent, StopAt, assert_same, config_for, content, stopped
from trainer.config import RunConfig
from trainer.engine import make_engine
from trainer.training.checkpoint import read_checkpoint
from trainer.training.loop import train

REPOSITORY = Path(__file__).parents[3]
SAMPLES = 131
STEPS = 5
"""Mini-batches of an epoch: one of 27 samples, four of 26."""
EPOCHS = 3
SELFIE = {"warm_up": 1, "history_length": 1, "restarts": 1}
CASES: dict[str, dict[str, Any]] = {
    "default": {},
    "active-bias": {"method_options": {"warm_up": 1}, "validation_fraction": 0.2},
    "co-teaching": {"method_options": {"ramp_epochs": 2}, "sampling": "independent"},
    "selfie": {"method_options": SELFIE, "validation_fraction": 0.2},
    "elr": {"augmentation": "crop-flip"},
    "jocor": {"method_options": {"ramp_epochs": 2}},
    "mixup": {"optimizer": "adam", "learning_rate_warm_up": 7},
    "forward": {"method_options": {"transition": "anchors", "warm_up": 1}},
}
"""Every network has dropout."""


@pytest.fixture(scope="module")
def dataset(tf: Any, tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """131 digits, four in ten of their labels wrong."""
    clean = convert("digits", root=tmp_path_factory.mktemp("data"), limit=SAMPLES).dataset
    return corrupt(clean, rate=0.4, noise="pair").dataset


def settings_of(case: str, dataset: Dataset, **settings: Any) -> Any:
    return config_for(case.partition(",")[0], dataset, **{"epochs": EPOCHS, **CASES[case], **settings})


@pytest.fixture(scope="module")
def whole(dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The uninterrupted run of a case, its epochs in one slice each."""
    made: dict[str, Path] = {}

    def get(case: str) -> Path:
        if case not in made:
            made[case] = tmp_path_factory.mktemp("whole") / "run"
            train(settings_of(case, dataset), dataset, made[case], Silent())
        return made[case]

    return get


@pytest.fixture
def step_by_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """A slice is one step, so that a run can be stopped after any."""
    monkeypatch.setattr("trainer.training.epochs.CPU_SLICE_SECONDS", 0.0)


@pytest.fixture(autouse=True)
def engines_in_turn(engines: dict[str, list[Any]], monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs of the same settings get one of two engines in turn, since tracing is what costs.

    So whoever resumes finds an engine in which something else was left, and never what he needs.
    """

    def make(config: RunConfig, *others: Any) -> Any:
        made = engines.setdefault(repr(config), [])
        made.insert(0, made.pop() if len(made) > 1 else make_engine(config, *others))
        return made[0]

    monkeypatch.setattr("trainer.training.loop.make_engine", make)


@pytest.fixture(scope="module")
def engines() -> dict[str, list[Any]]:
    return {}


@pytest.mark.usefixtures("step_by_step")
@pytest.mark.parametrize("case", CASES)
def test_a_run_that_is_stopped_again_and_again_ends_as_if_it_had_not_been(
    case: str, dataset: Dataset, whole: Callable[[str], Path], tmp_path: Path
) -> None:
    config, directory = settings_of(case, dataset), tmp_path / "run"
    steps = 4 if config.validation_fraction else STEPS
    runs = config.make_method().num_runs
    places = [StopAt(0, 1), StopAt(1, 2), StopAt(1, 3), StopAt(EPOCHS - 1, steps)]
    places += [StopAt(EPOCHS, 1), StopAt(2 * EPOCHS - 2, steps)] if runs > 1 else []
    for number, place in enumerate(places):
        message = stopped(config, dataset, directory, place, resume=number > 0)
        run, epoch = divmod(place.epochs, EPOCHS)
        assert f"run {run + 1}, epoch {epoch + 1}, after step {place.step} of {steps}" in message
        assert read_checkpoint(directory / "checkpoint.h5").progress.place == (run, epoch, place.step)
        assert not (directory / "result.json").exists()
    train(config, dataset, directory, Silent(), resume=True)
    assert_same(directory, whole(case))


@pytest.mark.parametrize("epochs", [EPOCHS - 1, EPOCHS, 2 * EPOCHS])
def test_a_crash_after_an_epoch_costs_nothing_at_a_restart_and_at_the_end(
    epochs: int, dataset: Dataset, whole: Callable[[str], Path], tmp_path: Path
) -> None:
    # after run 1's last epoch but one; between two runs; when all is trained and nothing is written
    config, directory, case = settings_of("selfie", dataset), tmp_path / "run", "selfie"
    with pytest.raises(CrashError):
        train(config, dataset, directory, Crasher(epochs))
    again = Silent()
    train(config, dataset, directory, again, resume=True)
    assert again.started_with == epochs
    assert len(again.rows) == 2 * EPOCHS - epochs
    assert_same(directory, whole(case))


@pytest.mark.usefixtures("step_by_step")
def test_a_crash_between_two_checkpoints_costs_the_epochs_since_the_last(dataset: Dataset, tmp_path: Path) -> None:
    config, directory = settings_of("selfie", dataset, epochs=5), tmp_path / "run"
    train(config, dataset, tmp_path / "whole", Silent())
    # of the two runs' ten epochs the third, fifth, eighth and tenth have a checkpoint
    for crash, kept in (((2, None), 0), ((4, 3), 3), ((7, 1), 5), ((9, None), 8)):
        with pytest.raises(CrashError):
            train(config, dataset, directory, Crasher(*crash), resume=directory.exists(), checkpoint_every=3)
        saved = directory / "checkpoint.h5"
        assert (len(read_checkpoint(saved).progress.rows) if saved.exists() else 0) == kept
        assert len((directory / "metrics.csv").read_text().splitlines()) == 1 + crash[0]
    train(config, dataset, directory, Silent(), resume=True, checkpoint_every=2)
    assert_same(directory, tmp_path / "whole")


def test_what_a_kill_left_half_written_does_no_harm(
    dataset: Dataset, whole: Callable[[str], Path], tmp_path: Path
) -> None:
    config, directory = settings_of("default", dataset), tmp_path / "run"
    with pytest.raises(CrashError):
        train(config, dataset, directory, Crasher(1))
    for name in ("checkpoint.h5", "config.json", "metrics.csv", "samples.h5", "weights.h5", "result.json"):
        (directory / f".{name}.partial").write_bytes(b"half of it")
    with (directory / "metrics.csv").open("a") as file:
        file.write("1,2,0.05,1.2")
    train(config, dataset, directory, Silent(), resume=True)
    assert_same(directory, whole("default"))
    assert not list(directory.glob(".*.partial"))


def test_a_kill_in_the_first_file_leaves_a_directory_for_a_run(
    dataset: Dataset, whole: Callable[[str], Path], tmp_path: Path
) -> None:
    directory = tmp_path / "run"
    directory.mkdir()
    (directory / ".config.json.partial").write_text('{"method": "def')
    train(settings_of("default", dataset), dataset, directory, Silent(), resume=True)
    assert_same(directory, whole("default"))
    assert not list(directory.glob(".*.partial"))


def test_a_resume_starts_where_there_is_nothing(dataset: Dataset, whole: Callable[[str], Path], tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for name in ("missing", "empty"):
        said = Silent()
        train(settings_of("default", dataset), dataset, tmp_path / name, said, resume=True)
        assert said.started_with == 0
        assert "nothing to resume" in said.notes[0]
        assert said.notes[1:] == ["timing a few steps…"]
        assert_same(tmp_path / name, whole("default"))


def test_a_run_that_crashed_before_its_first_checkpoint_starts_again(
    dataset: Dataset, whole: Callable[[str], Path], tmp_path: Path
) -> None:
    directory = tmp_path / "run"
    with pytest.raises(CrashError):
        train(settings_of("default", dataset), dataset, directory, Crasher(0, STEPS))
    assert set(content(directory)) == {"config.json", "metrics.csv"}
    train(settings_of("default", dataset), dataset, directory, Silent(), resume=True)
    assert_same(directory, whole("default"))


def test_a_finished_run_is_left_as_it_is(dataset: Dataset, whole: Callable[[str], Path], tmp_path: Path) -> None:
    directory = tmp_path / "run"
    shutil.copytree(whole("selfie"), directory)
    before, said = content(directory), Silent()
    returned = train(settings_of("selfie", dataset), dataset, directory, said, resume=True)
    assert content(directory) == before
    assert f'"best_test_error": {returned["best_test_error"]}'.encode() in before["result.json"]
    assert "finished already" in said.notes[0]


# Killed with SIGKILL


def test_a_run_killed_at_any_moment_loses_nothing_that_was_saved_and_ends_the_same(
    dataset: Dataset, tmp_path: Path
) -> None:
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.killed", str(dataset.path), str(tmp_path), "1"],
        env=environment,
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) >= 20
    assert_same(tmp_path / "killed", tmp_path / "whole")
    assert not list((tmp_path / "killed").glob(".*"))


def test_the_command_line_takes_the_settings_of_the_run_and_names_those_that_differ(
    dataset: Dataset, whole: Callable[[str], Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from cli import trainer

    directory = tmp_path / "run"
    with pytest.raises(CrashError):
        train(settings_of("active-bias", dataset), dataset, directory, Crasher(1))
    before = content(directory)
    resume = ["--resume", "--run-dir", str(directory), "--quiet"]
    for arguments, named in (
        (["active-bias", "--epochs", "9"], ["--epochs 9 (the run has 3)"]),
        (["active-bias", "--seed", "4", "--warm-up", "2"], ["--seed 4 (the run has 0)", "--warm-up 2 (the run has 1)"]),
        (["default"], ["in method default (the run has active-bias)"]),
    ):
        with pytest.raises(SystemExit) as exit:
            trainer.main(["run", *arguments, *resume])
        said = capsys.readouterr()
        assert (exit.value.code, said.out) == (1, "")
        assert len(said.err.splitlines()) == 1
        assert said.err.count("(the run has") == len(named)
        assert all(difference in said.err for difference in named)
        assert content(directory) == before
    with pytest.raises(SystemExit) as exit:
        trainer.main(["run", "active-bias", *resume], prog_name="trainer")
    assert exit.value.code == 0
    assert_same(directory, whole("active-bias"))


@pytest.mark.usefixtures("step_by_step")
@pytest.mark.parametrize("deterministic", [False, True])
def test_a_resume_on_a_gpu_says_where_bits_may_differ(
    deterministic: bool, dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from trainer.engine.tensorflow import TensorFlowEngine

    # what a GPU without deterministic operations is, seen from the training loop
    monkeypatch.setattr(TensorFlowEngine, "reproducible", property(lambda engine: engine.config.deterministic))
    config = config_for("default", dataset, epochs=2, deterministic=deterministic)
    stopped(config, dataset, tmp_path / "run", StopAt(0, 1))
    reporter = Silent()
    train(config, dataset, tmp_path / "run", reporter, resume=True)
    said = [note for note in reporter.notes if "resumed without --deterministic" in note]
    assert len(said) == (not deterministic)
    fresh = Silent()
    train(config, dataset, tmp_path / "fresh", fresh)
    assert not [note for note in fresh.notes if "--deterministic" in note], (
        "a run that is not resumed has no use for it"
    )
