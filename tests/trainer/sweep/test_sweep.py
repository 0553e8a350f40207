"""Sweeps: the grid and its cells, what is planned, run, skipped, kept and taken up again."""

from __future__ import annotations

import csv
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from cli import trainer
from datatools import convert, open_dataset
from datatools.errors import DataToolsError
from tests.support.tiny import examples, write_dataset
from trainer.errors import TrainerError
from trainer.sweep.board import Board
from trainer.sweep.cell import CellProcess, environment
from trainer.sweep.executor import Job, Resources
from trainer.sweep.grid import Cell, Grid, merged, read_toml
from trainer.sweep.local import LocalExecutor
from trainer.sweep.loop import sweep
from trainer.sweep.plan import cost, steps_per_epoch
from trainer.training.stopping import RunStoppedError

REPOSITORY = Path(__file__).parents[3]
TIMING = {"seconds", "images_per_second"}
QUICK = {"preset": "quick", "epochs": 3}


def grid(**given: Any) -> Grid:
    base: dict[str, Any] = {"datasets": ("digits",), "methods": ("default", "selfie"), "limit": 60, "settings": QUICK}
    return Grid(**{**base, **given})


# The grid


def test_a_grid_has_a_cell_for_each_combination_and_the_clean_one_once_for_all_noise() -> None:
    cells = grid(noise=("pair", "symmetric"), rates=(0.0, 0.2), seeds=(0, 1)).cells()
    assert len(cells) == len({cell.name for cell in cells}) == 2 * 2 * (1 + 2)
    assert {cell.noise_name for cell in cells} == {"clean", "pair-0.2", "symmetric-0.2"}


def test_rates_that_round_alike_have_cells_of_their_own() -> None:
    cells = grid(rates=(0.2, 0.25, 0.2000001)).cells()
    assert len({cell.name for cell in cells}) == 6


def test_a_cell_s_directory_names_dataset_noise_method_network_and_seed() -> None:
    cell = grid(rates=(0.4,), seeds=(3,)).cells()[1]
    assert cell.name == "digits-first60-pair-0.4/selfie-small-cnn-seed3"
    assert grid(limit=None, settings={}).cells()[0].name == "digits-clean/default-densenet-25-12-seed0"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"methods": ("selfy",)}, "selfy"),
        ({"methods": ()}, "no methods"),
        ({"methods": ("default", "default")}, "twice"),
        ({"networks": ("resnet",)}, "resnet"),
        ({"noise": ("flip",)}, "flip"),
        ({"noise": ("human",)}, "files of its own"),
        ({"noise": ("open-set",)}, "files of its own"),
        ({"rates": (1.0,)}, "[0, 1)"),
        ({"rates": (-0.1,)}, "[0, 1)"),
        ({"rates": (float("nan"),)}, "[0, 1)"),
        ({"seeds": (-1,)}, "seeds -1"),
        ({"settings": {"preset": "fast"}}, "fast"),
        ({"options": {"selfie": {"restart": 1}}}, "--restart"),
        ({"options": {"selfie": {"restarts": -1}}}, "--restarts"),
        ({"options": {"selfy": {}}}, "selfy"),
        ({"datasets": ("digits", "mnist"), "source": "x"}, "several"),
    ],
)
def test_a_bad_grid_is_one_line(given: dict[str, Any], said: str) -> None:
    with pytest.raises(DataToolsError, match=re.escape(said)) as error:
        grid(**given)
    assert "\n" not in str(error.value)


def test_a_file_gives_a_grid_and_the_command_line_goes_over_it(tmp_path: Path) -> None:
    (tmp_path / "grid.toml").write_text(
        'datasets = "digits"\nmethods = ["default", "selfie"]\nrates = [0, 0.4]\nseeds = [0, 1, 2]\npreset = "quick"\n'
        "epochs = 10\n[options.selfie]\nuncertainty-threshold = 0.1\nrestarts = 1\n"
    )
    made = merged(
        read_toml(tmp_path / "grid.toml"),
        {"seeds": (5,), "settings": {"epochs": 4}, "options": {"selfie": {"restarts": 0}}},
    )
    assert (made.datasets, made.rates, made.seeds) == (("digits",), (0, 0.4), (5,))
    assert made.settings == {"preset": "quick", "epochs": 4}
    assert made.options == {"selfie": {"uncertainty_threshold": 0.1, "restarts": 0}}


@pytest.mark.parametrize(
    "text",
    ["rates = 0.2.1", "rate = 0.2", 'epochs = "many"', "seeds = [0.5]", "methods = [1]", "options = 3", "limit = true"],
)
def test_a_bad_file_is_one_line_that_names_it(tmp_path: Path, text: str) -> None:
    path = tmp_path / "grid.toml"
    path.write_text(text)
    with pytest.raises(TrainerError, match=r"grid\.toml") as error:
        read_toml(path)
    assert "\n" not in str(error.value)


def test_cost_counts_runs_and_networks() -> None:
    by_method = {
        cell.method: cost(cell)
        for cell in grid(methods=("default", "co-teaching", "selfie"), rates=(0.2,), settings={"epochs": 10}).cells()
    }
    assert [(own.epochs, own.networks) for own in by_method.values()] == [(10, 1), (10, 2), (30, 1)]
    cell = grid(rates=(0.2,), settings={"batch_size": 25, "validation_fraction": 0.1}).cells()[0]
    assert steps_per_epoch(cell, 1000) == 36


# Running, with an executor that trains nothing


class Pretend:
    """Ends every cell at once, as it is told; writes what a run would."""

    def __init__(self, outcomes: Callable[[Cell], dict[str, Any]]) -> None:
        self.outcomes, self.jobs, self.stopped = outcomes, list[Job](), False

    def start(self, jobs: Sequence[Job]) -> None:
        self.jobs = list(jobs)
        self.given = [job.cell.name for job in jobs]

    def finished(self, timeout: float) -> list[tuple[Job, dict[str, Any]]]:
        job = self.jobs.pop(0)
        outcome = self.outcomes(job.cell)
        if outcome["state"] == "finished":
            job.directory.mkdir(parents=True)
            (job.directory / "result.json").write_text(json.dumps(outcome["result"]))
        return [(job, outcome)]

    def stop(self) -> None:
        self.stopped = True


DONE = {"state": "finished", "result": {"best_test_error": 0.25, "last_test_error": 0.5}}


@pytest.fixture
def pretend(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Pretend]:
    def use(outcomes: Callable[[Cell], dict[str, Any]] = lambda cell: DONE) -> Pretend:
        made = Pretend(outcomes)
        monkeypatch.setattr("trainer.sweep.loop.make_executor", lambda name, resources: made)
        return made

    return use


def run(made: Grid, folder: Path) -> dict[str, Any]:
    return sweep(made, folder / "data", folder / "out", "local", Resources())


def test_a_sweep_makes_the_datasets_it_needs_and_runs_each_cell(tmp_path: Path, pretend: Any) -> None:
    executor = pretend()
    found = run(grid(rates=(0.0, 0.2), seeds=(0, 1)), tmp_path)
    assert len(executor.given) == 8
    assert executor.stopped
    assert {cell["state"] for cell in found["cells"]} == {"finished"}
    assert {path.name for path in (tmp_path / "data").iterdir()} == {
        "digits-first60",
        "digits-first60-pair-0.2-seed0",
        "digits-first60-pair-0.2-seed1",
    }
    assert json.loads((tmp_path / "out" / "sweep.json").read_text()) == found


def test_finished_cells_are_skipped_and_failed_ones_are_tried_again(tmp_path: Path, pretend: Any) -> None:
    pretend(lambda cell: DONE if cell.method == "default" else {"state": "failed", "error": "no luck"})
    first = run(grid(rates=(0.2,)), tmp_path)
    assert [(cell["state"], cell["error"]) for cell in first["cells"]] == [("finished", None), ("failed", "no luck")]
    again = pretend()
    second = run(grid(rates=(0.2,)), tmp_path)
    assert again.given == ["digits-first60-pair-0.2/selfie-small-cnn-seed0"]
    assert [cell["state"] for cell in second["cells"]] == ["finished", "finished"]
    assert not hasattr(pretend(), "given")
    assert run(grid(rates=(0.2,)), tmp_path) == second


def test_a_dataset_that_cannot_be_had_fails_its_own_cells_alone(tmp_path: Path, pretend: Any) -> None:
    write_dataset(tmp_path / "data" / "dogs", examples(12), examples(6), labels="unknown")
    pretend()
    found = run(grid(datasets=("digits", "dogs", "nowhere"), rates=(0.2,), methods=("default",)), tmp_path)
    states = {cell["dataset"]: (cell["state"], cell["error"]) for cell in found["cells"]}
    assert states["digits-first60"] == ("finished", None)
    assert states["dogs"][0] == states["nowhere"][0] == "failed"
    assert "unknown" in str(states["dogs"][1])
    assert "no such dataset" in str(states["nowhere"][1])


def test_another_dataset_in_the_place_of_a_noisy_one_is_not_taken_for_it(tmp_path: Path, pretend: Any) -> None:
    pretend()
    run(grid(rates=(0.2,)), tmp_path)
    clean = tmp_path / "data" / "digits-first60"
    clean.rename(tmp_path / "data" / "old")
    convert("digits", root=tmp_path / "data", limit=59, out=clean)
    pretend()
    found = sweep(grid(rates=(0.2,)), tmp_path / "data", tmp_path / "other", "local", Resources())
    assert {cell["state"] for cell in found["cells"]} == {"failed"}
    assert "made anew" in found["cells"][0]["error"]


def test_a_folder_that_is_no_sweep_is_refused_untouched(tmp_path: Path, pretend: Any) -> None:
    pretend()
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.tex").write_text("years of work")
    with pytest.raises(TrainerError, match="is no sweep"):
        run(grid(), tmp_path)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["thesis.tex"]


def test_a_signal_ends_a_sweep_with_what_is_done_written_down(tmp_path: Path, pretend: Any) -> None:
    def outcome(cell: Cell) -> dict[str, Any]:
        os.kill(os.getpid(), signal.SIGTERM)
        return DONE

    executor = pretend(outcome)
    with pytest.raises(RunStoppedError, match="1 of 2 cells finished"):
        run(grid(rates=(0.2,)), tmp_path)
    assert executor.stopped
    states = [cell["state"] for cell in json.loads((tmp_path / "out" / "sweep.json").read_text())["cells"]]
    assert states == ["finished", "to do"]


def test_a_damaged_result_is_told_and_the_rest_goes_on(tmp_path: Path, pretend: Any) -> None:
    pretend()
    cells = grid(rates=(0.2,)).cells()
    run(grid(rates=(0.2,)), tmp_path)
    (tmp_path / "out" / cells[0].name / "result.json").write_text("{")
    with Board(cells, tmp_path / "out", quiet=True) as board:
        assert list(board.best) == [cells[1].name]
        assert "result.json" in board.failed[cells[0].name]


# Cells in processes of their own


@pytest.fixture(scope="module")
def job_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Job]:
    root = tmp_path_factory.mktemp("data")
    clean = convert("digits", root=root, limit=60).dataset

    def get(directory: Path, method: str = "default", **settings: Any) -> Job:
        cell = Cell("digits-first60", "pair", 0.0, method, "small-cnn", 0, {**QUICK, **settings})
        return Job(cell, clean.path.absolute(), directory)

    return get


def test_the_local_executor_runs_cells_and_keeps_the_line_of_one_that_fails(tmp_path: Path, job_of: Any) -> None:
    executor = LocalExecutor(Resources(jobs=2))
    jobs = [job_of(tmp_path / "good"), job_of(tmp_path / "bad", learning_rate=1e30)]
    executor.start(jobs)
    outcomes: dict[str, dict[str, Any]] = {}
    end = time.monotonic() + 120
    while len(outcomes) < 2 and time.monotonic() < end:
        outcomes |= {job.directory.name: outcome for job, outcome in executor.finished(0.5)}
    executor.stop()
    assert outcomes["good"]["state"] == "finished"
    assert (tmp_path / "good" / "result.json").is_file()
    assert outcomes["bad"]["state"] == "failed"
    assert "loss" in outcomes["bad"]["error"]
    assert "\n" not in outcomes["bad"]["error"]


def test_a_cell_whose_process_is_killed_is_taken_up_again_from_its_checkpoint(tmp_path: Path, job_of: Any) -> None:
    job = job_of(tmp_path / "run", epochs=400)
    process = CellProcess(job.cell, job.dataset, job.directory, environment(1))
    killed: list[int] = []

    def kill() -> None:
        end = time.monotonic() + 60
        while time.monotonic() < end:
            child = process._process
            if (job.directory / "checkpoint.h5").is_file() and child is not None:
                killed.append(child.pid)
                os.kill(child.pid, signal.SIGKILL)
                return
            time.sleep(0.01)

    thread = threading.Thread(target=kill)
    thread.start()
    outcome = process.run()
    thread.join()
    assert killed
    assert outcome["state"] == "finished", outcome
    with (job.directory / "metrics.csv").open() as file:
        assert [int(row["epoch"]) for row in csv.DictReader(file)] == list(range(1, 401))


def test_a_cell_ends_when_its_parent_does(tmp_path: Path, job_of: Any) -> None:
    job = job_of(tmp_path / "run", epochs=100_000)
    program = (
        "import sys; from pathlib import Path\n"
        "from trainer.sweep.cell import CellProcess, environment\n"
        "from trainer.sweep.grid import Cell\n"
        f"cell = Cell(**{job.cell.to_json()!r})\n"
        f"CellProcess(cell, Path({str(job.dataset)!r}), Path({str(job.directory)!r}), environment(1)).run()\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", program], env={**os.environ, "PYTHONPATH": str(REPOSITORY)})
    checkpoint = job.directory / "checkpoint.h5"
    wait_for(checkpoint.is_file, 60)
    parent.kill()
    parent.wait()
    time.sleep(2)
    before = (job.directory / "metrics.csv").read_bytes()
    time.sleep(1)
    assert (job.directory / "metrics.csv").read_bytes() == before, "nobody trains any more"


def wait_for(what: Callable[[], bool], seconds: float) -> None:
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.02)


# The command


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
    given = ["--dataset", "digits", "--rates", "0,0.2", "--methods", "default,co-teaching,selfie", "--preset", "quick"]
    code, out, err = said(capsys, "sweep", *given, "--epochs", "10", "--jobs", "2", "--dry-run")
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
    given = ["--dataset", "digits", "--limit", "60", "--rates", "0.2", "--methods", "default", "--preset", "quick"]
    code, out, err = said(capsys, "sweep", *given, "--epochs", "2")
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
