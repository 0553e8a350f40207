"""The grid of a sweep, its cells, and what they cost."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from datatools.errors import DataToolsError
from tests.support.sweeps import grid
from trainer.errors import TrainerError
from trainer.sweep.grid import merged, read_toml
from trainer.sweep.plan import cost, steps_per_epoch


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
    ("changed", "said"),
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
def test_a_bad_grid_is_one_line(changed: dict[str, Any], said: str) -> None:
    with pytest.raises(DataToolsError, match=re.escape(said)) as error:
        grid(**changed)
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
    assert [(each.epochs, each.relative) for each in by_method.values()] == [(10, 1), (10, 2), (30, 1)]
    cell = grid(rates=(0.2,), settings={"batch_size": 25, "validation_fraction": 0.1}).cells()[0]
    assert steps_per_epoch(cell, 1000) == 36
