"""Asymmetric noise: the published maps, chosen by the classes' names."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest

from datatools.corruption import corrupt
from datatools.errors import DataToolsError
from datatools.noise.asymmetric import (
    CIFAR10_NAMES,
    CIFAR100_SUPERCLASSES,
    MNIST_NAMES,
    asymmetric,
    class_map,
)
from tests.support.factories import clean_dataset, convert_source, made_up_source, tree

FINE = tuple(sorted(name for members in CIFAR100_SUPERCLASSES.values() for name in members))


def by_name(names: tuple[str, ...]) -> dict[str, str]:
    return {names[clean]: names[noisy] for clean, noisy in class_map(names).items()}


def test_cifar10_follows_the_map_of_the_papers() -> None:
    # Patrini et al. 2017: truck -> automobile, bird -> airplane, deer -> horse, cat <-> dog
    assert class_map(CIFAR10_NAMES) == {9: 1, 2: 0, 4: 7, 3: 5, 5: 3}


def test_mnist_follows_the_map_of_patrini() -> None:
    assert class_map(MNIST_NAMES) == {2: 7, 3: 8, 5: 6, 6: 5, 7: 1}


def test_cifar100_goes_round_in_each_superclass() -> None:
    found = by_name(FINE)
    assert len(FINE) == len(set(FINE)) == 100
    assert len(CIFAR100_SUPERCLASSES) == 20
    for members in CIFAR100_SUPERCLASSES.values():
        assert [found[name] for name in members] == [*members[1:], members[0]]
    assert sorted(found.values()) == sorted(FINE)  # nothing is lost: a ring


@pytest.mark.parametrize("names", [CIFAR10_NAMES, MNIST_NAMES])
def test_the_map_hangs_on_the_names_and_not_on_their_order(names: tuple[str, ...]) -> None:
    shuffled = list(names)
    random.Random(3).shuffle(shuffled)
    assert by_name(tuple(shuffled)) == by_name(names)


@pytest.mark.parametrize(("names", "overall"), [(CIFAR10_NAMES, 0.5), (MNIST_NAMES, 0.5), (FINE, 1.0)])
def test_the_rate_is_that_of_each_mapped_class(names: tuple[str, ...], overall: float) -> None:
    matrix = asymmetric(names, 0.4)
    mapped = class_map(names)
    np.testing.assert_allclose(matrix.sum(axis=1), 1, rtol=0, atol=1e-15)
    for clean in range(len(names)):
        assert matrix[clean, clean] == (0.6 if clean in mapped else 1)
        if clean in mapped:
            assert matrix[clean, mapped[clean]] == 0.4
    assert 1 - np.diag(matrix).mean() == pytest.approx(0.4 * overall)
    np.testing.assert_array_equal(asymmetric(names, 0.0), np.eye(len(names)))


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (tuple(CIFAR100_SUPERCLASSES), "superclasses have none"),
        (CIFAR10_NAMES[:9], "airplane"),
        ((*CIFAR10_NAMES, "other"), "airplane"),
        (("a", "b"), "--matrix"),
    ],
)
def test_other_classes_have_no_map(names: tuple[str, ...], said: str) -> None:
    with pytest.raises(DataToolsError, match=said) as caught:
        class_map(names)
    assert "\n" not in str(caught.value)


def test_a_dataset_without_a_map_is_left_alone(tmp_path: Path) -> None:
    parent = clean_dataset(tmp_path / "clean")
    before = tree(tmp_path)
    with pytest.raises(DataToolsError, match="asymmetric"):
        corrupt(parent, noise="asymmetric", rate=0.4)
    assert tree(tmp_path) == before


def test_a_balanced_set_gets_half_the_rate_and_is_told_no_news(tmp_path: Path) -> None:
    source = made_up_source(np.arange(200) % 10, [0], 10, (1, 2, 2))
    object.__setattr__(source, "class_names", CIFAR10_NAMES)
    made = corrupt(convert_source(source, tmp_path / "clean").dataset, noise="asymmetric", rate=0.4)
    assert made.manifest.realised_rate == 0.2
    assert made.notices == ()  # that half the classes keep their labels is what was asked for
    assert "per mapped class" in (made.dataset.metadata.noise or {})["convention"]
