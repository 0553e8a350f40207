"""What tests of refused resumes share: a noisy dataset, an unfinished run on it, and a whole one."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from datatools import convert, corrupt
from datatools.format.dataset import Dataset
from tests.support.interrupted import Silent, StopAt, config_for, stopped
from trainer.config import RunConfig
from trainer.training.loop import train

SAMPLES = 60


@pytest.fixture(scope="module")
def clean(tf: Any, tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return convert("digits", root=tmp_path_factory.mktemp("data"), limit=SAMPLES).dataset


@pytest.fixture(scope="module")
def dataset(clean: Dataset) -> Dataset:
    return corrupt(clean, rate=0.4, noise="pair").dataset


@pytest.fixture(scope="module")
def config(dataset: Dataset) -> RunConfig:
    return config_for("active-bias", dataset, method_options={"warm_up": 1})


@pytest.fixture(scope="module")
def unfinished(config: RunConfig, dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Stopped after its first epoch's one slice; nobody changes it."""
    directory = tmp_path_factory.mktemp("unfinished") / "run"
    stopped(config, dataset, directory, StopAt(1, 2))
    return directory


@pytest.fixture
def run(unfinished: Path, tmp_path: Path) -> Path:
    """A copy of the unfinished run."""
    return Path(shutil.copytree(unfinished, tmp_path / "run"))


@pytest.fixture(scope="module")
def whole(config: RunConfig, dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("whole") / "run"
    train(config, dataset, directory, Silent())
    return directory


@pytest.fixture
def no_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is refused is refused before anything is loaded or compiled."""

    def make(*_: Any) -> None:
        raise AssertionError("an engine was made")

    monkeypatch.setattr("trainer.training.loop.make_engine", make)
