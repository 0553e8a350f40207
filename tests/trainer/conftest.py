"""What the tests of `trainer` share: TensorFlow, loaded once and on the CPU."""

from __future__ import annotations

import os
from typing import Any

import pytest

# A GPU gives the same results only up to rounding, and these tests ask for the same bits.
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")


@pytest.fixture(scope="session")
def tf() -> Any:
    """TensorFlow, with Keras running on it."""
    from trainer.engine import load_backend

    load_backend("tensorflow")
    import tensorflow

    return tensorflow


@pytest.fixture(scope="session")
def keras(tf: Any) -> Any:
    import keras

    return keras
