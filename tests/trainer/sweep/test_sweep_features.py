"""Sweeps on features: cells take them by name or file, and the plan tells where there are none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from datatools.errors import DataToolsError
from tests.support.feature_runs import noisy, save
from tests.support.sweeps import grid
from trainer.runs.run import load_run
from trainer.sweep.cell import run_cell
from trainer.sweep.grid import Cell
from trainer.sweep.plan import estimate_seconds, measure


def cell(settings: dict[str, Any], network: str = "linear") -> Cell:
    return Cell("noisy", "pair", 0.25, "default", network, 0, {"epochs": 1, "batch_size": 20, **settings})


def test_a_grid_on_features_has_their_network_and_their_file_from_anywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    cells = grid(settings={"features": "mine.npy"}).cells()
    assert {cell.network for cell in cells} == {"linear"}
    assert {cell.settings["features"] for cell in cells} == {str(tmp_path / "mine.npy")}
    assert {cell.network for cell in grid(settings={"features": "mine.npy"}, networks=("mlp",)).cells()} == {"mlp"}
    assert {cell.network for cell in grid().cells()} == {"small-cnn"}


def test_a_cell_trains_on_features_and_is_measured(tf: Any, tmp_path: Path) -> None:
    dataset = noisy(tmp_path / "noisy")
    on_features = cell({"features": str(save(tmp_path))})
    assert run_cell(on_features, dataset.path, tmp_path / "run")["state"] == "finished"
    assert load_run(tmp_path / "run").config.preset == "features"
    assert measure({"cell": on_features.to_json(), "dataset": str(dataset.path)}) > 0


def test_a_cell_without_its_features_fails_in_one_line(tf: Any, tmp_path: Path) -> None:
    outcome = run_cell(cell({"features": "efficientnet-lite0"}), noisy(tmp_path / "noisy").path, tmp_path / "run")
    assert outcome["state"] == "failed"
    assert "make them with `trainer embed --data" in outcome["error"]


def test_a_plan_without_features_says_so(tmp_path: Path) -> None:
    noisy(tmp_path / "noisy")
    settings = {"features": "efficientnet-lite0"}
    with pytest.raises(DataToolsError, match="make them with `trainer embed --data"):
        estimate_seconds(grid(datasets=("noisy",), settings=settings), [cell(settings)], tmp_path, 1)


def test_digits_that_are_not_converted_have_no_features_and_so_no_estimate(tmp_path: Path) -> None:
    made = grid(settings={"features": "efficientnet-lite0"})
    assert estimate_seconds(made, made.cells(), tmp_path, 1) is None
