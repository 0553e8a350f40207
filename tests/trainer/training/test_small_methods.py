"""The contract's parts beside one forward pass go through the loop, and a resumed run ends as an uninterrupted one."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.interrupted import Silent, StopAt, assert_same, config_for, stopped
from tests.support.small_methods import SMALL_METHODS
from tests.support.tiny import examples, write_dataset
from trainer.methods import METHODS
from trainer.training.checkpoint import read_checkpoint
from trainer.training.loop import train

SAMPLES, STEPS = 60, 2


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch, tf: Any) -> None:
    for name, method in SMALL_METHODS.items():
        monkeypatch.setitem(METHODS, name, method)
    monkeypatch.setattr("trainer.training.epochs.CPU_SLICE_SECONDS", 0.0)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Any:
    ids, clean, pixels = examples(SAMPLES)
    wrong = np.where(ids < 12, (clean + 1) % 3, clean)
    folder = tmp_path_factory.mktemp("data") / "noisy"
    return write_dataset(folder, (ids, wrong, pixels), examples(12), labels="noisy", clean_labels=clean)


@pytest.mark.parametrize("name", SMALL_METHODS)
def test_a_run_that_is_stopped_and_resumed_ends_the_same(name: str, dataset: Any, tmp_path: Path) -> None:
    config = config_for(name, dataset, epochs=3)
    # of each epoch, its passes together
    steps = {"takes-turns": [STEPS + SAMPLES // 2 // 5] * 3, "has-stages": [STEPS + 1, STEPS + 2, STEPS + 3]}
    first, second, third = steps.get(name, [STEPS] * 3)
    train(config, dataset, tmp_path / "whole", Silent())
    places = ((StopAt(0, 1), first), (StopAt(1, second), second), (StopAt(2, third - 1), third))
    for number, (place, of_epoch) in enumerate(places):
        message = stopped(config, dataset, tmp_path / "parts", place, resume=number > 0)
        assert f"after step {place.step} of {of_epoch}" in message
    train(config, dataset, tmp_path / "parts", Silent(), resume=True)
    assert_same(tmp_path / "parts", tmp_path / "whole")


def test_each_network_s_figures_are_of_the_samples_it_learned_from(dataset: Any, tmp_path: Path) -> None:
    train(config_for("takes-turns", dataset, epochs=2), dataset, tmp_path / "run", Silent())
    with (tmp_path / "run" / "metrics.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        for mark in ("", "_2"):
            assert 0 < float(row[f"train_loss{mark}"]) < 20
            assert 0 <= float(row[f"train_error{mark}"]) <= 1
    # 30 samples of the second network's errors: a share of them is a whole number of thirtieths
    assert float(rows[0]["train_error_2"]) * 30 == pytest.approx(round(float(rows[0]["train_error_2"]) * 30), abs=1e-6)


def test_what_is_learned_and_averaged_is_in_the_checkpoint(dataset: Any, tmp_path: Path) -> None:
    for name, group in (("learns-rows", "memory"), ("averages", "state")):
        stopped(config_for(name, dataset, epochs=2), dataset, tmp_path / name, StopAt(1, 1))
        names = read_checkpoint(tmp_path / name / "checkpoint.h5").groups[group]
        assert {"offset", "temperature"} <= names.keys() or any(key.startswith("average_1/") for key in names)
