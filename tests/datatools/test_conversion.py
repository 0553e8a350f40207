"""A source's examples become a dataset directory, in order, whole or not at all."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from datatools.conversion import convert
from datatools.decoding.chunks import Chunk
from datatools.errors import DataToolsError
from datatools.format.records import ImageShape
from datatools.sources.base import SourceSplit
from tests.support.archives import pack, zipped
from tests.support.cifar_files import cifar10_set, cifar100_set, write_cifar10_binary, write_cifar100_binary
from tests.support.factories import convert_source, made_up_source, tree
from tests.support.official_files import mnist_set, tiny_imagenet_set, write_mnist, write_tiny_imagenet
from tests.support.reader import read_split


def cifar10(folder: Path, train: int = 50, test: int = 10) -> Path:
    return write_cifar10_binary(folder / "source", cifar10_set(train, test))


def counts(folder: Path) -> dict[str, list[int]]:
    """Records of each file of each split, as dataset.json says."""
    splits = json.loads((folder / "dataset.json").read_text())["splits"]
    return {split: [file["records"] for file in content["files"]] for split, content in splits.items()}


def test_cifar10_becomes_five_batches_and_a_test_batch(tmp_path: Path) -> None:
    made = convert("cifar10", source=cifar10(tmp_path), out=tmp_path / "out").dataset
    assert sorted(path.name for path in made.path.iterdir()) == [
        *(f"data_batch_{number}.bin" for number in range(1, 6)),
        "dataset.json",
        "test_batch.bin",
    ]
    assert counts(made.path) == {"train": [10] * 5, "test": [10]}


@pytest.mark.parametrize(("records", "num_files"), [(50, 5), (53, 5), (7, 5), (3, 5), (1, 5), (20, 1), (1000, 7)])
def test_batches_are_as_even_as_can_be_and_ids_run_on(tmp_path: Path, records: int, num_files: int) -> None:
    source = made_up_source(np.arange(records) % 4, [0, 1], 4, (1, 2, 2))
    made = convert_source(source, tmp_path / "out", train_files=num_files).dataset
    sizes = counts(made.path)["train"]
    assert len(sizes) == min(num_files, records)
    assert sum(sizes) == records
    assert max(sizes) - min(sizes) <= 1
    assert [record[0] for record in read_split(made.path, "train", 4)] == list(range(records))
    assert [record[1] for record in read_split(made.path, "train", 4)] == [number % 4 for number in range(records)]


@pytest.mark.parametrize("limit", [1, 4, 17, 50])
def test_a_limit_takes_the_first_of_each_split(tmp_path: Path, limit: int) -> None:
    location = cifar10(tmp_path)
    whole = convert("cifar10", source=location, out=tmp_path / "whole").dataset
    part = convert("cifar10", source=location, out=tmp_path / "part", limit=limit).dataset
    assert part.metadata.limit == limit
    assert json.loads((part.path / "dataset.json").read_text())["limit"] == limit
    for split in ("train", "test"):
        assert read_split(part.path, split, 3072) == read_split(whole.path, split, 3072)[:limit]


@pytest.mark.parametrize("limit", [0, -1])
def test_a_limit_of_nothing_is_refused(tmp_path: Path, limit: int) -> None:
    with pytest.raises(DataToolsError, match=f"limit {limit}"):
        convert("cifar10", source=cifar10(tmp_path), out=tmp_path / "out", limit=limit)
    assert not (tmp_path / "out").exists()


def test_the_checksums_are_those_of_the_files(tmp_path: Path) -> None:
    made = convert("cifar10", source=cifar10(tmp_path), out=tmp_path / "out").dataset
    for split in ("train", "test"):
        for file in made.metadata.splits[split]:
            assert file.sha256 == hashlib.sha256((made.path / file.name).read_bytes()).hexdigest()


def test_dataset_json_says_what_it_was_made_from(tmp_path: Path) -> None:
    location = write_mnist(tmp_path / "source", mnist_set())
    metadata = convert("mnist", source=location, out=tmp_path / "out").dataset.metadata
    assert metadata.name == "out"
    assert metadata.image_shape == ImageShape(1, 28, 28)
    assert metadata.class_names == tuple("0123456789")
    assert metadata.source == {"name": "mnist", "location": str(location), "sha256": None}
    assert (metadata.labels, metadata.noise, metadata.limit, metadata.label_set) == ("clean", None, None, None)
    assert metadata.created_by["package"] == "selfie-noisy-labels"


@pytest.mark.parametrize("name", ["cifar10", "tiny-imagenet"])
def test_dataset_json_has_the_checksum_of_the_archive(tmp_path: Path, name: str) -> None:
    if name == "cifar10":
        location = pack(cifar10(tmp_path), tmp_path / "archive.tar.gz", "w:gz")
    else:
        folder, _ = write_tiny_imagenet(tmp_path / "tiny-imagenet-200", tiny_imagenet_set())
        location = zipped(folder, tmp_path / "archive.zip")
    metadata = convert(name, source=location, out=tmp_path / "out").dataset.metadata
    sha256 = hashlib.sha256(location.read_bytes()).hexdigest()
    assert metadata.source == {"name": name, "location": str(location), "sha256": sha256}


@pytest.mark.parametrize(("label_set", "classes"), [(None, 100), ("fine", 100), ("coarse", 20)])
def test_the_label_set_is_written_down(tmp_path: Path, label_set: str | None, classes: int) -> None:
    location = write_cifar100_binary(tmp_path / "source", cifar100_set())
    made = convert("cifar100", source=location, out=tmp_path / "out", label_set=label_set).dataset
    assert made.metadata.label_set == (label_set or "fine")
    assert made.metadata.num_classes == classes
    expected = cifar100_set().splits["train"].labels[label_set or "fine"]
    assert made.labels("train").tolist() == expected.tolist()


@pytest.mark.parametrize(
    ("label_set", "limit", "name"),
    [
        (None, None, "cifar100"),
        ("fine", None, "cifar100"),
        ("coarse", None, "cifar100-coarse"),
        (None, 8, "cifar100-first8"),
        ("coarse", 5, "cifar100-coarse-first5"),
    ],
)
def test_what_is_not_the_default_is_in_the_name(
    tmp_path: Path, label_set: str | None, limit: int | None, name: str
) -> None:
    location = write_cifar100_binary(tmp_path / "source", cifar100_set())
    made = convert("cifar100", root=tmp_path, source=location, label_set=label_set, limit=limit).dataset
    assert made.path == tmp_path / name
    assert made.metadata.name == name


def test_an_incomplete_set_is_converted_and_said_to_be_one(tmp_path: Path) -> None:
    notices = convert("cifar10", source=cifar10(tmp_path), out=tmp_path / "out").notices
    assert len(notices) == 1
    assert "50 training and 10 test images, the official set has 50,000 and 10,000" in notices[0]


def test_a_set_without_an_official_size_needs_no_notice(tmp_path: Path) -> None:
    assert convert("digits", out=tmp_path / "out").notices == ()


def test_a_dataset_is_replaced_only_when_asked(tmp_path: Path) -> None:
    location, out = cifar10(tmp_path), tmp_path / "out"
    convert("cifar10", source=location, out=out, limit=5)
    before = tree(tmp_path)
    with pytest.raises(DataToolsError, match="--overwrite"):
        convert("cifar10", source=location, out=out)
    assert tree(tmp_path) == before
    convert("cifar10", source=location, out=out, overwrite=True)
    assert counts(out) == {"train": [10] * 5, "test": [10]}


def test_the_same_command_gives_the_same_bytes(tmp_path: Path) -> None:
    location, out = cifar10(tmp_path), tmp_path / "out"
    convert("cifar10", source=location, out=out)
    first = tree(out)
    convert("cifar10", source=location, out=out, overwrite=True)
    assert tree(out) == first


@pytest.mark.parametrize("split", ["train", "test"])
@pytest.mark.parametrize("old", [False, True])
def test_an_error_in_the_middle_of_a_split_leaves_everything_as_it_was(tmp_path: Path, split: str, old: bool) -> None:
    source = made_up_source(np.arange(40) % 4, np.arange(40) % 4, 4)
    if old:
        convert_source(source, tmp_path / "out", limit=3)
    before = tree(tmp_path)

    def failing() -> Iterator[Chunk]:
        yield from list(source.splits[split].chunks())[:3]
        assert list(tmp_path.rglob("*.bin"))  # it is in the middle of writing
        raise DataToolsError("the third chunk is damaged")

    broken = dataclasses.replace(source, splits={**source.splits, split: SourceSplit(40, failing)})
    with pytest.raises(DataToolsError, match="third chunk"):
        convert_source(broken, tmp_path / "out", overwrite=old)
    assert tree(tmp_path) == before


@pytest.mark.parametrize("split", ["train", "test"])
@pytest.mark.parametrize("promised", [39, 41])
def test_a_source_that_holds_another_number_than_it_said_is_refused(tmp_path: Path, split: str, promised: int) -> None:
    source = made_up_source(np.arange(40) % 4, np.arange(40) % 4, 4)
    lying = SourceSplit(promised, source.splits[split].chunks)
    with pytest.raises(DataToolsError):
        convert_source(dataclasses.replace(source, splits={**source.splits, split: lying}), tmp_path / "out")
    assert tree(tmp_path) == {}


@pytest.mark.parametrize("split", ["train", "test"])
def test_a_split_without_images_is_refused(tmp_path: Path, split: str) -> None:
    labels = {"train": [0, 1], "test": [0, 1], split: []}
    with pytest.raises(DataToolsError, match=f"no {split} image"):
        convert_source(made_up_source(labels["train"], labels["test"], 2), tmp_path / "out")
    assert tree(tmp_path) == {}


def test_progress_runs_from_start_to_end_over_both_splits(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    source = made_up_source(np.arange(40) % 4, np.arange(10) % 4, 4)
    convert_source(source, tmp_path / "out", progress=lambda done, total: seen.append((done, total)))
    assert [done for done, _ in seen] == sorted({done for done, _ in seen})
    assert {total for _, total in seen} == {50}
    assert seen[-1] == (50, 50)


def test_a_folder_whose_name_is_no_text_is_converted_or_refused(tmp_path: Path) -> None:
    location = cifar10(tmp_path).rename(tmp_path / "caf\udce9")  # the byte E9, as Latin-1 systems left it
    try:
        made = convert("cifar10", source=location, out=tmp_path / "out").dataset
    except DataToolsError:
        assert not (tmp_path / "out").exists()
        return
    assert made.metadata.num_records("train") == 50
