"""What tests of whole runs share: a noisy dataset, and a run of each method on it."""

from __future__ import annotations

from typing import Any

import pytest

from datatools import convert, corrupt
from datatools.format.dataset import Dataset
from tests.support.digit_runs import SAMPLES, Run, Runs


@pytest.fixture(scope="session")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """200 digits, four in ten of their labels wrong."""
    root = tmp_path_factory.mktemp("data")
    clean = convert("digits", root=root, limit=SAMPLES).dataset
    return corrupt(clean, rate=0.4, noise="pair").dataset


@pytest.fixture(scope="session")
def run_of(tf: Any, digits: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Runs:
    """The run of a method; `again` asks for a second one of the same settings."""
    made: dict[tuple[str, bool], Run] = {}

    def get(method: str, again: bool = False) -> Run:
        if (method, again) not in made:
            made[method, again] = Run(method, digits, tmp_path_factory.mktemp("runs") / "deep" / method)
        return made[method, again]

    return get
