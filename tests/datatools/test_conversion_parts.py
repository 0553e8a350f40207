"""A source in parts gives the same dataset as in one piece, and a broken part leaves nothing."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from datatools.decoding.chunks import Chunk
from datatools.errors import DataToolsError
from datatools.sources.base import Source, SourceSplit
from tests.support.factories import convert_source, made_up_source, tree


def in_parts(source: Source, train: list[int]) -> Source:
    """The source with its training examples in parts of so many records, its test examples in one."""

    def part(split: str, start: int, records: int) -> SourceSplit:
        def chunks() -> Iterator[Chunk]:
            done = 0
            for chunk in source.splits[split].chunks():
                of_it = slice(max(0, start - done), max(0, start + records - done))
                pixels = chunk.decode()
                done += len(chunk.labels)
                if len(chunk.labels[of_it]):
                    yield Chunk(chunk.labels[of_it], partial(lambda some: some, pixels[of_it]))

        return SourceSplit(records, chunks)

    starts = [sum(train[:number]) for number in range(len(train))]
    parts = tuple(part("train", start, records) for start, records in zip(starts, train, strict=True))
    test = source.splits["test"]
    splits = {
        "train": dataclasses.replace(source.splits["train"], parts=parts),
        "test": dataclasses.replace(test, parts=(part("test", 0, test.records),)),
    }
    return dataclasses.replace(source, splits=splits)


@pytest.mark.parametrize("train", [[8] * 5, [8, 8, 8, 16], [40]], ids=["a part a file", "larger ones", "one"])
@pytest.mark.parametrize("limit", [None, 33])
def test_parts_change_no_byte(tmp_path: Path, train: list[int], limit: int | None) -> None:
    source = made_up_source(np.arange(40) % 4, np.arange(10) % 4, 4)
    plain = convert_source(source, tmp_path / "a" / "out", train_files=5, limit=limit)
    parted = convert_source(in_parts(source, train), tmp_path / "b" / "out", train_files=5, limit=limit)
    assert tree(parted.dataset.path) == tree(plain.dataset.path)


def test_parts_that_are_files_are_written_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = in_parts(made_up_source(np.arange(40) % 4, np.arange(10) % 4, 4), [20, 20])
    monkeypatch.setattr("datatools.split_writer.usable_processors", lambda: 2)
    both = threading.Barrier(2)  # passed only where the two training files are under way together
    seen: list[tuple[int, int]] = []

    def met(part: SourceSplit) -> SourceSplit:
        def chunks() -> Iterator[Chunk]:
            both.wait(20)
            yield from part.chunks()

        return dataclasses.replace(part, chunks=chunks)

    train = source.splits["train"]
    together = dataclasses.replace(train, parts=tuple(met(part) for part in train.parts))
    source = dataclasses.replace(source, splits={**source.splits, "train": together})
    made = convert_source(source, tmp_path / "out", train_files=2, progress=lambda *now: seen.append(now)).dataset
    assert made.labels("train").tolist() == (np.arange(40) % 4).tolist()
    assert seen == [(20, 50), (40, 50), (50, 50)]


@pytest.mark.parametrize("broken", range(6))
@pytest.mark.parametrize("fault", ["damaged", "one more", "one missing"])
def test_a_broken_part_leaves_nothing(tmp_path: Path, broken: int, fault: str) -> None:
    source = in_parts(made_up_source(np.arange(40) % 4, np.arange(8) % 4, 4), [8] * 5)
    split = "train" if broken < 5 else "test"
    parts = list(source.splits[split].parts)

    def damaged() -> Iterator[Chunk]:
        raise DataToolsError("this part is damaged")

    number = broken if broken < 5 else 0
    whole = parts[number].chunks

    def one_more() -> Iterator[Chunk]:
        found = list(whole())
        return iter([*found, found[-1]])

    def one_missing() -> Iterator[Chunk]:
        return iter(list(whole())[:-1])

    parts[number] = SourceSplit(8, {"damaged": damaged, "one more": one_more, "one missing": one_missing}[fault])
    splits = {**source.splits, split: dataclasses.replace(source.splits[split], parts=tuple(parts))}
    before = threading.active_count()
    with pytest.raises(DataToolsError, match="damaged" if fault == "damaged" else "fetch the set again"):
        convert_source(dataclasses.replace(source, splits=splits), tmp_path / "out", train_files=5)
    assert tree(tmp_path) == {}
    assert threading.active_count() == before
