"""A fixture that imports a script of bench/."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.support.bench_scripts import BENCH


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Any]:
    """Imports a script of bench/ as Python does when it is run: with its folder on the path."""
    monkeypatch.syspath_prepend(BENCH)
    import importlib

    return importlib.import_module
