"""Sweeps, with an executor that trains nothing: what is run, skipped, kept and refused."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from datatools import convert
from tests.support.sweeps import DONE, Pretend, grid, run
from tests.support.tiny import examples, write_dataset
from trainer.errors import TrainerError
from trainer.sweep import datasets
from trainer.sweep.board import Board
from trainer.sweep.executor import Resources
from trainer.sweep.grid import Cell
from trainer.sweep.loop import sweep
from trainer.training.stopping import RunStoppedError

REPOSITORY = str(Path(__file__).parents[3])


@pytest.fixture
def pretend(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Pretend]:
    def use(outcomes: Callable[[Cell], dict[str, Any]] = lambda cell: DONE) -> Pretend:
        made = Pretend(outcomes)
        monkeypatch.setattr("trainer.sweep.loop.make_executor", lambda name, resources: made)
        return made

    return use


def test_a_sweep_makes_the_datasets_it_needs_and_runs_each_cell(tmp_path: Path, pretend: Any) -> None:
    executor = pretend()
    content = run(grid(rates=(0.0, 0.2), seeds=(0, 1)), tmp_path)
    assert len(executor.names) == 8
    assert executor.stopped
    assert {cell["state"] for cell in content["cells"]} == {"finished"}
    assert {path.name for path in (tmp_path / "data").iterdir()} == {
        "digits-first60",
        "digits-first60-pair-0.2-seed0",
        "digits-first60-pair-0.2-seed1",
    }
    assert json.loads((tmp_path / "out" / "sweep.json").read_text()) == content


def test_finished_cells_are_skipped_and_failed_ones_are_tried_again(tmp_path: Path, pretend: Any) -> None:
    pretend(lambda cell: DONE if cell.method == "default" else {"state": "failed", "error": "no luck"})
    first = run(grid(rates=(0.2,)), tmp_path)
    assert [(cell["state"], cell["error"]) for cell in first["cells"]] == [("finished", None), ("failed", "no luck")]
    again = pretend()
    second = run(grid(rates=(0.2,)), tmp_path)
    assert again.names == ["digits-first60-pair-0.2/selfie-small-cnn-seed0"]
    assert [cell["state"] for cell in second["cells"]] == ["finished", "finished"]
    assert not hasattr(pretend(), "names")
    assert run(grid(rates=(0.2,)), tmp_path) == second


def test_a_dataset_that_cannot_be_had_fails_its_own_cells_alone(tmp_path: Path, pretend: Any) -> None:
    write_dataset(tmp_path / "data" / "dogs", examples(12), examples(6), labels="unknown")
    pretend()
    content = run(grid(datasets=("digits", "dogs", "nowhere"), rates=(0.2,), methods=("default",)), tmp_path)
    states = {cell["dataset"]: (cell["state"], cell["error"]) for cell in content["cells"]}
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
    content = sweep(grid(rates=(0.2,)), tmp_path / "data", tmp_path / "other", "local", Resources())
    assert {cell["state"] for cell in content["cells"]} == {"failed"}
    assert "made anew" in content["cells"][0]["error"]


@pytest.mark.parametrize("made_by", ["convert", "corrupt"])
def test_a_dataset_that_another_sweep_makes_meanwhile_is_taken(
    made_by: str, tmp_path: Path, pretend: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretend()
    real = getattr(datasets, made_by)

    def after_a_rival(*arguments: Any, **more: Any) -> Any:
        real(*arguments, **more)
        return real(*arguments, **more)

    monkeypatch.setattr(datasets, made_by, after_a_rival)
    content = run(grid(rates=(0.2,)), tmp_path)
    assert {cell["state"] for cell in content["cells"]} == {"finished"}


def test_a_folder_that_is_no_sweep_is_refused_untouched(tmp_path: Path, pretend: Any) -> None:
    pretend()
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.tex").write_text("years of work")
    with pytest.raises(TrainerError, match="a directory that is not a sweep, never overwritten"):
        run(grid(), tmp_path)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["thesis.tex"]


def test_a_sweep_killed_in_its_first_cell_goes_on(tmp_path: Path, pretend: Any) -> None:
    program = (
        "import sys; from pathlib import Path\n"
        "import trainer.sweep.loop as loop\n"
        "from tests.support.sweeps import DONE, Killed, grid, run\n"
        "loop.make_executor = lambda name, resources: Killed(lambda cell: DONE)\n"
        "run(grid(rates=(0.2,)), Path(sys.argv[1]))\n"
    )
    done = subprocess.run([sys.executable, "-c", program, str(tmp_path)], env={**os.environ, "PYTHONPATH": REPOSITORY})
    assert done.returncode == -signal.SIGKILL
    cells = json.loads((tmp_path / "out" / "sweep.json").read_text())["cells"]
    assert [cell["state"] for cell in cells] == ["to do", "to do"]
    executor = pretend()
    assert [cell["state"] for cell in run(grid(rates=(0.2,)), tmp_path)["cells"]] == ["finished", "finished"]
    assert len(executor.names) == 2


def test_what_a_kill_leaves_of_sweep_json_alone_is_written_over(tmp_path: Path, pretend: Any) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / ".sweep.json.partial").write_text("{")
    pretend()
    assert {cell["state"] for cell in run(grid(), tmp_path)["cells"]} == {"finished"}
    assert not (tmp_path / "out" / ".sweep.json.partial").exists()


@pytest.mark.parametrize("name", ["../elsewhere", "/elsewhere", "..", "a/b", "a\0b"])
def test_the_name_of_a_dataset_leads_nowhere_else(name: str, tmp_path: Path, pretend: Any) -> None:
    pretend()
    with pytest.raises(TrainerError, match="should be a plain name") as error:
        run(grid(datasets=(name,)), tmp_path)
    assert "\n" not in str(error.value)
    assert not list(tmp_path.iterdir())


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
