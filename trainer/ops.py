"""`keras.ops`, imported at its first use, and the type of what it works on.

Methods are listed, with their options, by commands that must answer at once; loading a framework takes seconds.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

Tensor = Any
"""An array of the running engine (tf.Tensor, jax.Array) or of NumPy."""


def __getattr__(name: str) -> Any:
    if name.startswith("__"):
        raise AttributeError(name)
    return getattr(import_module("keras.ops"), name)
