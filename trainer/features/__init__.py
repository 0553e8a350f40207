"""Pretrained features: numbers that a network made of each image, kept in a file, to train a small network on.

`open_features(dataset, name)` reads them, `embed(dataset, backbone, size)` makes them; names are imported when they are
first used, since making features loads a framework.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from trainer.features.embedding import embed, embed_images
    from trainer.features.file import open_features

__all__ = ["embed", "embed_images", "open_features"]

_MODULES = {"embed": "embedding", "embed_images": "embedding", "open_features": "file"}
"""Where each name is from."""


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module 'trainer.features' has no attribute '{name}'")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
