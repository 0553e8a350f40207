"""The parent that noise is made from, where a file of these tests has none of its own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from datatools.format.dataset import Dataset
from datatools.noise.asymmetric import CIFAR10_NAMES
from tests.support.factories import convert_source, made_up_source
from tests.support.noise_options import CLASSES, RECORDS


@pytest.fixture
def parent(tmp_path: Path) -> Dataset:
    """Classes of CIFAR-10's names, six images a class."""
    labels = np.random.default_rng(0).permutation(np.arange(RECORDS) % CLASSES)
    source = made_up_source(labels, [0, 1], CLASSES, (3, 4, 4))
    object.__setattr__(source, "class_names", CIFAR10_NAMES)
    return convert_source(source, tmp_path / "clean").dataset
