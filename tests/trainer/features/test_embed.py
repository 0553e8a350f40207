"""Images become features: in id order, resized, once, and never half."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from datatools.errors import DataToolsError
from datatools.format.dataset import Dataset
from tests.support.feature_runs import COUNT, TESTS, noisy, tiny_backbone
from tests.support.tiny import examples, write_dataset
from trainer.features import embed, embed_images, open_features
from trainer.features.embedding import make_features
from trainer.features.images import batches, resized


@pytest.fixture
def dataset(tf: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Dataset:
    """A dataset, and a backbone that is quickly made in the place of every other."""
    monkeypatch.setattr("trainer.features.embedding.load_backbone", tiny_backbone)
    return noisy(tmp_path / "noisy")


def expected(dataset: Dataset, split: str, size: int) -> np.ndarray:
    """What the tiny backbone makes of each image in id order: means of channels and of their squares."""
    records = np.concatenate(list(dataset.batches(split)))
    rows = []
    for record in records[np.argsort(records["id"])]:
        pixels = record["pixels"].transpose(1, 2, 0)
        image = Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels).convert("RGB")
        numbers = np.asarray(image.resize((size, size), Image.Resampling.BICUBIC), np.float64) / 255
        rows.append(np.concatenate([numbers.mean(axis=(0, 1)), np.square(numbers).mean(axis=(0, 1))]))
    return np.array(rows)


@pytest.mark.parametrize("batch_size", [1, 7, 64])
def test_each_image_s_features_are_at_its_id(batch_size: int, dataset: Dataset) -> None:
    made = make_features(dataset, size=32, batch_size=batch_size, dtype="float32")
    assert made.is_new
    opened = open_features(dataset, "efficientnet-lite0")
    for split, count in (("train", COUNT), ("test", TESTS)):
        assert getattr(opened, split).shape == (count, 6)
        np.testing.assert_allclose(getattr(opened, split), expected(dataset, split, 32), rtol=1e-5)


def test_records_in_another_order_of_ids_give_the_same_features(dataset: Dataset, tmp_path: Path) -> None:
    path = embed(dataset, "efficientnet-lite0", 32)
    ids, labels, pixels = examples(COUNT)
    order = np.random.default_rng(0).permutation(COUNT)
    test = examples(TESTS, seed=1)
    shuffled = write_dataset(tmp_path / "shuffled", (ids[order], labels[order], pixels[order]), test)
    assert make_features(shuffled, size=32) == (path, False)


def test_what_is_there_is_not_made_again_and_what_is_other_not_replaced(dataset: Dataset, tmp_path: Path) -> None:
    first = make_features(dataset, size=32)
    stamp = first.path.stat().st_mtime_ns
    assert make_features(dataset, size=32) == (first.path, False)
    assert first.path.stat().st_mtime_ns == stamp
    for other in ({"weights": tmp_path}, {"dtype": "float32"}):
        with pytest.raises(DataToolsError, match="exists already; pass --overwrite"):
            make_features(dataset, size=32, **other)
    assert make_features(dataset, size=32, dtype="float32", overwrite=True).is_new
    first.path.write_bytes(b"damaged")
    with pytest.raises(DataToolsError, match="exists already; pass --overwrite"):
        make_features(dataset, size=32)


def test_the_same_command_gives_the_same_bytes(dataset: Dataset) -> None:
    path = make_features(dataset, size=32).path
    content = path.read_bytes()
    path.unlink()
    assert make_features(dataset, size=32).path.read_bytes() == content


def test_a_stop_leaves_nothing(dataset: Dataset) -> None:
    def stop(done: int, total: int) -> None:
        assert total == COUNT + TESTS
        if done > COUNT:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make_features(dataset, size=32, batch_size=16, progress=stop)
    assert not (dataset.path.parent / "features").exists()


def test_progress_counts_the_images_of_both_splits(dataset: Dataset) -> None:
    told: list[tuple[int, int]] = []
    make_features(dataset, size=32, batch_size=32, progress=lambda *counts: told.append(counts))
    assert told == [(32, 84), (60, 84), (84, 84)]


def test_images_in_memory_have_the_features_of_the_file(dataset: Dataset) -> None:
    make_features(dataset, size=32, dtype="float32")
    records = np.concatenate(list(dataset.batches("test")))
    images = records["pixels"].transpose(0, 2, 3, 1)
    features = open_features(dataset, "efficientnet-lite0").test
    np.testing.assert_allclose(embed_images(images, size=32), features, rtol=1e-5)
    assert embed_images(images[:0], size=32).shape == (0, 6)


@pytest.mark.parametrize(
    ("settings", "part"),
    [
        ({"size": 31}, "--size 31: 32 to 1024 pixels"),
        ({"size": 2000}, "--size 2000"),
        ({"dtype": "int8"}, "--dtype int8"),
        ({"batch_size": 0}, "--batch-size 0"),
        ({"backbone": "vgg"}, "backbone 'vgg': not known"),
        ({"out": Path("x.npy")}, "--out x.npy"),
    ],
)
def test_what_cannot_be_is_refused(settings: dict[str, Any], part: str, dataset: Dataset) -> None:
    with pytest.raises(DataToolsError) as caught:
        make_features(dataset, **{"size": 32, **settings})
    assert part in str(caught.value)


def test_images_of_two_channels_are_refused(dataset: Dataset, tmp_path: Path) -> None:
    with pytest.raises(DataToolsError, match="2 channels: a backbone takes 1 or 3"):
        make_features(noisy(tmp_path / "two", depth=2), size=32)


def test_colours_are_resized_as_pillow_does() -> None:
    image = np.random.default_rng(0).integers(0, 256, (9, 13, 3), np.uint8)
    for size in (6, 32):
        pillow = Image.fromarray(image).resize((size, size), Image.Resampling.BICUBIC)
        np.testing.assert_array_equal(resized(image, size), np.asarray(pillow))
    np.testing.assert_array_equal(resized(image[:, :9], 9), image[:, :9])


def test_a_last_batch_is_filled_up() -> None:
    images = np.arange(5, dtype=np.uint8)[:, None, None, None] * np.ones((1, 4, 4, 3), np.uint8)
    parts = list(batches(images, 4, 2))
    assert [part.shape for part in parts] == [(2, 4, 4, 3)] * 3
    assert [int(part[0, 0, 0, 0]) for part in parts] == [0, 2, 4]
    assert int(parts[-1][1, 0, 0, 0]) == 4
