"""What tests of early ends share: a tiny dataset and one engine, a step at a time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from datatools.format.dataset import Dataset
from tests.support.interrupted import config_for
from tests.support.tiny import examples, write_dataset
from trainer.config import RunConfig
from trainer.engine import make_engine


@pytest.fixture(scope="module")
def engines() -> dict[str, Any]:
    return {}


@pytest.fixture(autouse=True)
def one_engine(tf: Any, engines: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs of the same settings on the same images share an engine; a slice is a step."""

    def make(config: RunConfig, *others: Any) -> Any:
        if repr(config) not in engines:
            engines[repr(config)] = make_engine(config, *others)
        return engines[repr(config)]

    monkeypatch.setattr("trainer.training.loop.make_engine", make)
    monkeypatch.setattr("trainer.training.epochs.CPU_SLICE_SECONDS", 0.0)


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    """30 small images in two files, some with wrong labels."""
    ids, clean, pixels = examples(30)
    labels = np.where(ids < 9, (clean + 1) % 3, clean)
    return write_dataset(
        tmp_path / "set", (ids, labels, pixels), examples(9), labels="noisy", clean_labels=clean, train_files=2
    )


@pytest.fixture
def config(dataset: Dataset) -> RunConfig:
    return config_for("default", dataset, batch_size=10)
