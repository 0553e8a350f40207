"""The test split that is drawn from a folder of images where it has none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from datatools.conversion import convert
from datatools.format.dataset import open_dataset
from tests.support.official_files import image_folder_set, write_image_folder
from tests.support.own_images import opened, put, refusal


@pytest.fixture
def unsplit(tmp_path: Path) -> Path:
    """Three classes of 20 images without a test split."""
    return write_image_folder(tmp_path / "source", image_folder_set(3, 20), ["train"])


def drawn(source: Path, **more: Any) -> set[str]:
    """The paths of the test split."""
    chunks = opened(source, **more).splits["test"].chunks()
    return {name for chunk in chunks for name in chunk.names}


@pytest.mark.parametrize(
    ("fraction", "each"), [(None, 4), (0.2, 4), (0.5, 10), (0.01, 1), (0.99, 19), (0.125, 3), (0.12, 2)]
)
def test_the_same_share_of_each_class_is_drawn(unsplit: Path, fraction: float | None, each: int) -> None:
    source = opened(unsplit, test_fraction=fraction)
    test = np.concatenate([chunk.labels for chunk in source.splits["test"].chunks()])
    assert np.bincount(test).tolist() == [each] * 3
    assert source.splits["train"].records == 60 - 3 * each
    assert source.split_by == {"fraction": 0.2 if fraction is None else fraction, "seed": 0}


def test_the_draw_is_a_function_of_the_seed(unsplit: Path) -> None:
    assert drawn(unsplit) == drawn(unsplit, seed=0)
    draws = [drawn(unsplit, seed=seed) for seed in range(8)]
    assert len({frozenset(draw) for draw in draws}) == 8
    assert len(set.union(*draws)) > 40  # no image is out of reach


def test_a_larger_share_keeps_what_a_smaller_one_drew(unsplit: Path) -> None:
    assert drawn(unsplit, test_fraction=0.1) < drawn(unsplit, test_fraction=0.2) < drawn(unsplit, test_fraction=0.6)


def test_files_added_elsewhere_change_nothing(unsplit: Path) -> None:
    before = drawn(unsplit)
    for number in range(30):
        put(unsplit / "another class" / f"{number}.png")
    assert {name for name in drawn(unsplit) if not name.startswith("another")} == before


def test_a_file_added_to_a_class_moves_one_file_at_most(unsplit: Path) -> None:
    before = drawn(unsplit)
    put(unsplit / "fine_0" / "more.png")
    assert len(drawn(unsplit) ^ before) <= 2


def test_the_draw_is_in_the_name_and_in_dataset_json(unsplit: Path, tmp_path: Path) -> None:
    made = convert("image-folder", source=unsplit, root=tmp_path / "data", test_fraction=0.25, seed=3, size=8).dataset
    assert made.path.name == "source-8x8-test0.25-seed3"
    assert made.metadata.split_by == {"fraction": 0.25, "seed": 3}
    assert open_dataset(made.path).metadata == made.metadata


def test_a_class_of_one_image_stays_in_training(tmp_path: Path) -> None:
    for name in ("cat/a.png", "cat/b.png", "dog/a.png"):
        put(tmp_path / "source" / name)
    made = convert("image-folder", source=tmp_path / "source", out=tmp_path / "out").dataset
    assert made.labels("train").tolist() == [0, 1]
    assert made.labels("test").tolist() == [0]


def test_a_test_fraction_beside_a_test_split_is_refused(tmp_path: Path) -> None:
    source = write_image_folder(tmp_path / "source", image_folder_set())
    assert "leave --test-fraction out" in refusal(source, tmp_path, test_fraction=0.2)


@pytest.mark.parametrize("fraction", [0.0, 1.0, -0.1, float("nan")])
def test_a_share_of_nothing_or_of_everything_is_refused(unsplit: Path, tmp_path: Path, fraction: float) -> None:
    assert "--test-fraction" in refusal(unsplit, tmp_path, test_fraction=fraction)


@pytest.mark.parametrize("seed", [-1, 1 << 63])
def test_a_seed_out_of_range_is_refused(unsplit: Path, tmp_path: Path, seed: int) -> None:
    assert "--seed" in refusal(unsplit, tmp_path, seed=seed)


def test_one_image_a_class_leaves_no_test_split(tmp_path: Path) -> None:
    put(tmp_path / "source" / "cat" / "a.png")
    put(tmp_path / "source" / "dog" / "a.png")
    assert "test split" in refusal(tmp_path / "source", tmp_path)
