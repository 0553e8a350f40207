"""Runs SELFIE and its baselines on the binary batches of `datatools`.

The Python API: `train`, `load_run`, `predict`, `METHODS`, `NETWORKS`, and the types `Run` and `TrainerError`
(docs/python-api.md). Names are imported when they are first used, so that `trainer --help` stays fast.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from trainer.api import predict, train
    from trainer.errors import TrainerError
    from trainer.methods import METHODS
    from trainer.networks import NETWORKS
    from trainer.runs.run import Run, load_run

__all__ = ["METHODS", "NETWORKS", "Run", "TrainerError", "load_run", "predict", "train"]

_MODULES = {
    "METHODS": "methods",
    "NETWORKS": "networks",
    "Run": "runs.run",
    "TrainerError": "errors",
    "load_run": "runs.run",
    "predict": "api",
    "train": "api",
}
"""Where each name is from."""


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module 'trainer' has no attribute '{name}'")
    value = getattr(import_module(f"trainer.{_MODULES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
