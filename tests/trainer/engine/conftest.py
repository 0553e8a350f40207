"""What tests of the TensorFlow engine share: a toy dataset, and an engine for each method on it."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.tiny import training_data
from tests.support.toy_engine import BATCH, Engines, config_of, start, tensorflow_engine
from trainer.data import TrainingData


@pytest.fixture(scope="module")
def data() -> TrainingData:
    return training_data()


@pytest.fixture(scope="module")
def engine_of(tf: Any, data: TrainingData) -> Engines:
    """The engine for a method and a network as a run finds it; it is traced once and then started afresh."""
    made: dict[tuple[str, str, int], Any] = {}

    def get(method: str = "default", network: str = "small-cnn", batch_size: int = BATCH) -> Any:
        key = method, network, batch_size
        if key not in made:
            made[key] = tensorflow_engine(config_of(method, batch_size, network=network), data)
        return start(made[key])

    return get
