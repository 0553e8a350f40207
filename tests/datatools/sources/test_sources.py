"""What every source has in common: the registry's contract; and the digits, which need no files."""

from __future__ import annotations

from itertools import zip_longest
from pathlib import Path

import numpy as np
import pytest

from datatools.conversion import convert
from datatools.decoding.chunks import Kept
from datatools.errors import DataToolsError
from datatools.sources import SOURCES, source_spec
from tests.support.factories import SOURCE_FACTORIES
from tests.support.opened_sources import assert_holds, everything, opened, refusal
from tests.support.reader import read_split

# --- the registry's contract -----------------------------------------------------------------------------------------


def test_every_source_has_a_factory() -> None:
    assert set(SOURCE_FACTORIES) == set(SOURCES)


@pytest.mark.parametrize("name", SOURCES)
def test_a_source_is_what_its_registry_line_and_its_facts_say(tmp_path: Path, name: str) -> None:
    made = SOURCE_FACTORIES[name](tmp_path)
    source = opened(name, made.location)
    assert set(source.splits) == {"train", "test"}
    for split in source.splits.values():
        chunks = list(split.chunks())
        assert sum(len(chunk.labels) for chunk in chunks) == split.records > 0
        for chunk in chunks:
            decoded = chunk.decode()
            pixels = decoded.pixels if isinstance(decoded, Kept) else decoded
            assert pixels.shape == (len(chunk.labels), *source.image_shape)
            assert pixels.dtype == np.uint8
            assert ((chunk.labels >= 0) & (chunk.labels < len(source.class_names))).all()
    if made.content is not None:
        label_sets = SOURCES[name].label_sets
        assert_holds(source, made.content, label_sets[0] if label_sets else "fine")


@pytest.mark.parametrize("name", SOURCES)
def test_a_source_can_be_read_twice(tmp_path: Path, name: str) -> None:
    source = opened(name, SOURCE_FACTORIES[name](tmp_path).location)
    for first, second in zip(everything(source, "train"), everything(source, "train"), strict=True):
        np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("name", SOURCES)
@pytest.mark.parametrize("split", ["train", "test"])
def test_parts_read_at_the_same_time_hold_what_the_split_holds(tmp_path: Path, name: str, split: str) -> None:
    source = opened(name, SOURCE_FACTORIES[name](tmp_path).location)
    parts = source.splits[split].parts
    assert bool(parts) == (name in ("cifar10", "cifar100"))
    if not parts:
        return
    in_turn = list(zip_longest(*(part.chunks() for part in reversed(parts))))  # every part is open at once
    labels, pixels = everything(source, split)
    found = [chunk for part in reversed(list(zip(*in_turn, strict=True))) for chunk in part if chunk is not None]
    assert [part.records for part in parts] == [len(labels) // len(parts)] * len(parts)
    np.testing.assert_array_equal(np.concatenate([chunk.labels for chunk in found]), labels)
    np.testing.assert_array_equal(np.concatenate([chunk.decode() for chunk in found]), pixels)


@pytest.mark.parametrize("name", SOURCES)
def test_every_source_becomes_records_with_dense_ids(tmp_path: Path, name: str) -> None:
    location = SOURCE_FACTORIES[name](tmp_path).location
    source = opened(name, location)
    made = convert(name, source=location, out=tmp_path / "out").dataset
    for split in ("train", "test"):
        labels, pixels = everything(source, split)
        records = read_split(made.path, split, int(np.prod(source.image_shape)))
        assert [record[0] for record in records] == list(range(len(labels)))
        assert [record[1] for record in records] == labels.tolist()
        assert b"".join(record[2] for record in records) == pixels.tobytes()


@pytest.mark.parametrize("name", [name for name in SOURCES if name != "digits"])
def test_a_missing_source_is_refused_with_the_place(tmp_path: Path, name: str) -> None:
    assert "missing" in refusal(name, tmp_path / "missing", tmp_path)


@pytest.mark.parametrize("name", [name for name in SOURCES if name != "digits"])
def test_an_empty_folder_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    assert "empty" in refusal(name, tmp_path / "empty", tmp_path)


@pytest.mark.parametrize("name", [name for name in SOURCES if not SOURCES[name].label_sets])
def test_a_label_set_that_a_source_has_not_is_refused(tmp_path: Path, name: str) -> None:
    assert "one label set" in refusal(name, SOURCE_FACTORIES[name](tmp_path).location, tmp_path, label_set="coarse")


def test_an_unknown_source_is_refused_with_the_known_ones() -> None:
    with pytest.raises(DataToolsError, match=r"'svhn'.*cifar10"):
        source_spec("svhn")


# --- digits ----------------------------------------------------------------------------------------------------------


def test_the_digits_are_split_for_good_and_by_class() -> None:
    source = opened("digits", None)
    assert source.image_shape == (1, 8, 8)
    assert source.class_names == tuple("0123456789")
    assert {split: content.records for split, content in source.splits.items()} == {"train": 1442, "test": 355}
    train, test = (np.bincount(everything(source, split)[0]) for split in ("train", "test"))
    assert (np.abs(test / (train + test) - 0.2) < 0.01).all()


def test_the_digits_reach_from_black_to_white_and_no_image_is_in_both_splits() -> None:
    source = opened("digits", None)
    train, test = (everything(source, split)[1].reshape(-1, 64) for split in ("train", "test"))
    assert (train.min(), train.max()) == (0, 255)
    assert np.unique(train).size == 17
    assert not {row.tobytes() for row in train} & {row.tobytes() for row in test}


def test_the_digits_take_no_source(tmp_path: Path) -> None:
    assert "leave --source out" in refusal("digits", tmp_path, tmp_path)
