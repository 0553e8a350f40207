"""A finished run to relabel."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.relabel_runs import finished, noisy


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return finished(tmp_path / "run", noisy(tmp_path / "noisy"))
