"""Image sets as binary batches, controlled label noise, and the clean labels behind it.

The Python API (docs/python-api.md):

    convert         an image set -> a dataset directory of binary batches
    corrupt         a clean dataset -> a copy with wrong labels, and the manifest of what was clean
    open_dataset    a dataset directory -> `Dataset`: records, labels, clean labels, manifest
    find_dataset    the only clean, or noisy, dataset under a folder
    verify          the checks of everything that a dataset claims, one by one
    to_tf, to_torch a dataset -> a `tf.data.Dataset`, a `torch.utils.data.Dataset`
    read_manifest   a manifest.h5 on its own -> `Manifest`
    DATASETS        the image sets that `convert` reads, by name
    NOISE_TYPES     the noise that `corrupt` makes, by name
    Dataset, Record, Manifest   what the functions above return
    DataToolsError  what every wrong input raises: one line that says what, where and what to do

Names are imported when they are first used, so that `datatools --help` stays fast.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from datatools.conversion import convert
    from datatools.corruption import corrupt
    from datatools.errors import DataToolsError
    from datatools.format.dataset import Dataset, find_dataset, open_dataset
    from datatools.format.loaders import to_tf, to_torch
    from datatools.format.manifest import Manifest, read_manifest
    from datatools.format.split import Record
    from datatools.noise import NOISE_TYPES
    from datatools.sources import SOURCES as DATASETS
    from datatools.verification import verify

__all__ = [
    "DATASETS",
    "NOISE_TYPES",
    "DataToolsError",
    "Dataset",
    "Manifest",
    "Record",
    "convert",
    "corrupt",
    "find_dataset",
    "open_dataset",
    "read_manifest",
    "to_tf",
    "to_torch",
    "verify",
]

_HOMES = {
    "DATASETS": ("sources", "SOURCES"),
    "NOISE_TYPES": ("noise", "NOISE_TYPES"),
    "DataToolsError": ("errors", "DataToolsError"),
    "Dataset": ("format.dataset", "Dataset"),
    "Manifest": ("format.manifest", "Manifest"),
    "Record": ("format.split", "Record"),
    "convert": ("conversion", "convert"),
    "corrupt": ("corruption", "corrupt"),
    "find_dataset": ("format.dataset", "find_dataset"),
    "open_dataset": ("format.dataset", "open_dataset"),
    "read_manifest": ("format.manifest", "read_manifest"),
    "to_tf": ("format.loaders", "to_tf"),
    "to_torch": ("format.loaders", "to_torch"),
    "verify": ("verification", "verify"),
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'datatools' has no attribute '{name}'")
    module, attribute = _HOMES[name]
    value = getattr(import_module(f"datatools.{module}"), attribute)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
