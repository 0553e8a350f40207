"""The networks of the registry, each built once."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.support.networks import CIFAR, Built
from trainer.networks import IMAGES, NETWORKS, build_network


@pytest.fixture(scope="package")
def built(tf: Any) -> Built:
    """The network of a name for 32x32x3, or 1,280 features, and 10 classes; each is built once: VGG-19 is large."""
    networks: dict[str, Any] = {}

    def get(name: str) -> Any:
        if name not in networks:
            shape = CIFAR if NETWORKS[name].takes == IMAGES else (1280,)
            networks[name] = build_network(name, shape, 10, np.random.default_rng(0))
        return networks[name]

    return get
