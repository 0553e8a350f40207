"""Image sets as binary batches, controlled label noise, and the clean labels behind it.

The Python API: `open_dataset`, `convert`, `corrupt`, `verify`, `read_manifest`, `DATASETS`, `NOISE_TYPES`,
`DataToolsError`. Names are imported when they are first used, so that `datatools --help` stays fast.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from datatools.conversion import convert
    from datatools.corruption import corrupt
    from datatools.errors import DataToolsError
    from datatools.format.dataset import open_dataset
    from datatools.format.manifest import read_manifest
    from datatools.noise import NOISE_TYPES
    from datatools.sources import SOURCES as DATASETS
    from datatools.verification import verify

__all__ = [
    "DATASETS",
    "NOISE_TYPES",
    "DataToolsError",
    "convert",
    "corrupt",
    "open_dataset",
    "read_manifest",
    "verify",
]

_HOMES = {
    "DATASETS": ("sources", "SOURCES"),
    "NOISE_TYPES": ("noise", "NOISE_TYPES"),
    "DataToolsError": ("errors", "DataToolsError"),
    "convert": ("conversion", "convert"),
    "corrupt": ("corruption", "corrupt"),
    "open_dataset": ("format.dataset", "open_dataset"),
    "read_manifest": ("format.manifest", "read_manifest"),
    "verify": ("verification", "verify"),
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'datatools' has no attribute '{name}'")
    module, attribute = _HOMES[name]
    value = getattr(import_module(f"datatools.{module}"), attribute)
    globals()[name] = value
    return value
