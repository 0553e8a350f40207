"""Runs to report, and a report made of them once."""

from __future__ import annotations

from pathlib import Path

import pytest

from datatools.format.dataset import Dataset
from tests.support.report_runs import made_data, made_runs
from trainer.report import collect, write_report


@pytest.fixture
def data(tmp_path: Path) -> Dataset:
    return made_data(tmp_path)


@pytest.fixture
def runs(tmp_path: Path, data: Dataset) -> Path:
    return made_runs(tmp_path, data)


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """A report of two methods, made once and only read; and the names of its files."""
    folder = tmp_path_factory.mktemp("report")
    runs = made_runs(folder, made_data(folder))
    return folder / "out", write_report(*collect([runs]), folder / "out")
