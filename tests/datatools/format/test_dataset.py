"""dataset.json, which is untrusted on the way in, and finding datasets under a root."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from datatools.corruption import corrupt
from datatools.errors import DataToolsError
from datatools.format.dataset import find_dataset, open_dataset
from datatools.format.metadata import BatchFile, Metadata
from datatools.format.records import ImageShape
from datatools.info import describe, summary
from tests.support.factories import clean_dataset, noisy_dataset

NOISE = {
    "type": "pair",
    "rate": 0.4,
    "realised_rate": 0.375,
    "sampling": "exact",
    "convention": "rate per class",
    "seed": 0,
    "parent": {"name": "clean", "sha256": "c" * 64},
}
CLEAN = Metadata(
    name="tiny",
    image_shape=ImageShape(3, 2, 1),
    class_names=("Katze", "été"),
    splits={
        "train": (BatchFile("data_batch_1.bin", 3, "a" * 64), BatchFile("data_batch_2.bin", 2, "b" * 64)),
        "test": (BatchFile("test_batch.bin", 1, "0" * 64),),
    },
    source={"name": "cifar10", "location": "raw/x.tar.gz", "sha256": None},
    labels="clean",
    limit=5,
    label_set="fine",
    created_by={"package": "selfie-noisy-labels", "version": "9.9"},
)
GOLDEN = """{
  "format_version": 1,
  "name": "tiny",
  "image_shape": {
    "depth": 3,
    "height": 2,
    "width": 1
  },
  "num_classes": 2,
  "class_names": [
    "Katze",
    "été"
  ],
  "splits": {
    "train": {
      "records": 5,
      "files": [
        {
          "name": "data_batch_1.bin",
          "records": 3,
          "sha256": "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
        },
        {
          "name": "data_batch_2.bin",
          "records": 2,
          "sha256": "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
        }
      ]
    },
    "test": {
      "records": 1,
      "files": [
        {
          "name": "test_batch.bin",
          "records": 1,
          "sha256": "0000000000000000000000000000000000000000000000000000000000000000"
        }
      ]
    }
  },
  "source": {
    "name": "cifar10",
    "location": "raw/x.tar.gz",
    "sha256": null
  },
  "limit": 5,
  "label_set": "fine",
  "resized": null,
  "labels": "clean",
  "noise": null,
  "created_by": {
    "package": "selfie-noisy-labels",
    "version": "9.9"
  }
}"""


def noisy_json() -> dict[str, Any]:
    """A dataset.json with every section."""
    value: dict[str, Any] = json.loads(GOLDEN)
    return {**value, "labels": "noisy", "noise": copy.deepcopy(NOISE)}


def places(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """The path of every value inside a JSON value."""
    yield path
    if isinstance(value, dict):
        for key, item in value.items():
            yield from places(item, (*path, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from places(item, (*path, index))


def put(value: Any, path: tuple[str | int, ...], new: Any) -> Any:
    """A copy of `value` with `new` at `path`."""
    if not path:
        return new
    changed = copy.copy(value)
    changed[path[0]] = put(value[path[0]], path[1:], new)
    return changed


def without(value: Any, path: tuple[str | int, ...]) -> Any:
    """A copy of `value` that lacks what stands at `path`."""
    changed = copy.deepcopy(value)
    holder = changed
    for key in path[:-1]:
        holder = holder[key]
    del holder[path[-1]]
    return changed


def write_json(folder: Path, value: Any) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "dataset.json").write_text(value if isinstance(value, str) else json.dumps(value), encoding="utf-8")
    return folder


def refusal(folder: Path) -> str:
    """The message with which `folder` is refused, one line that names the file."""
    with pytest.raises(DataToolsError) as caught:
        open_dataset(folder)
    message = str(caught.value)
    assert "\n" not in message
    assert str(folder) in message
    return message


def read_or_refused(folder: Path) -> Metadata | None:
    """The metadata of `folder`, or None where it is refused with one line. Any other exception is the test's."""
    try:
        return open_dataset(folder).metadata
    except DataToolsError as caught:
        message = str(caught)
    assert "\n" not in message
    return None


PLACES = list(places(noisy_json()))
NOISE_KEYS = sorted(NOISE)
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=70) | st.just("../x"),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(st.text(max_size=8), children, max_size=3),
    max_leaves=6,
)


def test_the_text_is_this() -> None:
    assert CLEAN.to_json() == GOLDEN


def test_the_text_reads_back_as_the_same_metadata() -> None:
    assert Metadata.from_json(GOLDEN) == CLEAN
    assert Metadata.from_json(json.dumps(noisy_json())).noise == NOISE


@given(path=st.sampled_from(PLACES), new=JSON_VALUES)
def test_any_value_anywhere_is_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, path: tuple[str | int, ...], new: Any
) -> None:
    folder = write_json(tmp_path_factory.getbasetemp() / "fuzzed", put(noisy_json(), path, new))
    if metadata := read_or_refused(folder):
        assert Metadata.from_json(metadata.to_json()) == metadata


@pytest.mark.parametrize(("depth", "read"), [(98, True), (99, False)])
def test_nesting_ends_at_the_same_depth_on_every_python(tmp_path: Path, depth: int, read: bool) -> None:
    nested = '{"a":' * depth + "1" + "}" * depth
    text = json.dumps({**json.loads(GOLDEN), "source": "NESTED"})
    # an object in an object of the file's: two levels more
    text = text.replace('"NESTED"', json.dumps({**json.loads(GOLDEN)["source"], "more": "M"}).replace('"M"', nested))
    assert (read_or_refused(write_json(tmp_path / "d", text)) is not None) is read


@pytest.mark.parametrize("path", PLACES[1:], ids=str)
def test_a_value_that_lacks_is_refused_or_not_needed(tmp_path: Path, path: tuple[str | int, ...]) -> None:
    folder = write_json(tmp_path / "lacking", without(noisy_json(), path))
    if read_or_refused(folder):
        # only what may be null may be left out
        assert path[0] in ("limit", "label_set", "resized", "source", "created_by") or (
            path[0] == "noise" and len(path) == 2
        )


@pytest.mark.parametrize(
    "required",
    ["format_version", "name", "image_shape", "num_classes", "class_names", "splits", "source", "labels", "created_by"],
)
def test_a_missing_field_is_named(tmp_path: Path, required: str) -> None:
    assert f"'{required}'" in refusal(write_json(tmp_path / "d", without(noisy_json(), (required,))))


@pytest.mark.parametrize(
    "name",
    ["../x", "/etc/passwd", "", ".", "..", "a/b", "a/", "./a", "a\0b", 7, None],
)
def test_a_batch_file_stays_inside_its_directory(tmp_path: Path, name: object) -> None:
    changed = put(noisy_json(), ("splits", "train", "files", 0, "name"), name)
    assert "splits.train.files[0].name" in refusal(write_json(tmp_path / "d", changed))


@pytest.mark.parametrize(
    ("path", "new", "said"),
    [
        (("format_version",), 2, "format_version 2"),
        (("format_version",), "1", "format_version"),
        (("format_version",), True, "format_version"),
        (("num_classes",), 3, "'num_classes' is 3"),
        (("class_names",), ["a", 1], "class_names"),
        (("image_shape", "depth"), 0, "image_shape.depth"),
        (("image_shape", "width"), 1.5, "image_shape.width"),
        (("image_shape", "height"), 1 << 40, "image_shape.height"),
        (("splits", "train", "records"), 6, "splits.train.records"),
        (("splits", "train", "files", 0, "records"), -3, "splits.train.files[0].records"),
        (("splits", "train", "files", 0, "sha256"), "A" * 64, "splits.train.files[0].sha256"),
        (("splits", "train", "files", 1, "name"), "data_batch_1.bin", "twice"),
        (("splits", "train", "files", 0), "data_batch_1.bin", "splits.train.files[0]"),
        (("labels",), "dirty", "'labels'"),
        (("labels",), "clean", "'noise'"),
        (("noise",), None, "'noise'"),
        (("noise", "rate"), 1.5, "noise.rate"),
        (("noise", "realised_rate"), -0.1, "noise.realised_rate"),
        (("noise", "seed"), 0.5, "noise.seed"),
        (("noise", "parent"), "clean", "noise.parent"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, path: tuple[str | int, ...], new: object, said: str) -> None:
    assert said in refusal(write_json(tmp_path / "d", put(noisy_json(), path, new)))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "null",
        "{",
        GOLDEN[:-1],
        GOLDEN + "x",
        GOLDEN.replace('"limit": 5', '"limit": NaN'),
        GOLDEN.replace('"limit": 5', '"limit": -Infinity'),
        GOLDEN.replace('"limit": 5', '"limit": ' + "9" * 10_000),
        "[" * 100_000,
        '{"a":' * 100_000,
    ],
    ids=lambda text: repr(text[:20]),
)
def test_what_is_no_json_object_is_refused(tmp_path: Path, text: str) -> None:
    refusal(write_json(tmp_path / "d", text))


def test_bytes_that_are_no_utf8_are_refused(tmp_path: Path) -> None:
    folder = write_json(tmp_path / "d", "")
    (folder / "dataset.json").write_bytes(GOLDEN.encode("latin-1"))
    refusal(folder)


@pytest.mark.parametrize("depth", [200, 900, 990, 5_000])
@pytest.mark.parametrize("field", ["name", "source"])
def test_nesting_of_any_depth_is_read_or_refused(tmp_path: Path, field: str, depth: int) -> None:
    nested = '{"a":' * depth + "1" + "}" * depth
    text = json.dumps({**json.loads(GOLDEN), field: "NESTED"}).replace('"NESTED"', nested)
    if metadata := read_or_refused(write_json(tmp_path / "d", text)):
        assert Metadata.from_json(metadata.to_json()) == metadata


@pytest.mark.parametrize(
    "path",
    [("name",), ("class_names", 0), ("splits", "train", "files", 0, "name"), ("source", "location")],
    ids=str,
)
def test_text_that_no_file_or_terminal_can_hold_is_refused(tmp_path: Path, path: tuple[str | int, ...]) -> None:
    # a lone surrogate is valid JSON, and an encoding error wherever it is printed or opened
    refusal(write_json(tmp_path / "d", put(noisy_json(), path, "a\ud800")))


def test_a_number_that_json_cannot_write_is_refused(tmp_path: Path) -> None:
    refusal(write_json(tmp_path / "d", GOLDEN.replace('"sha256": null', '"sha256": 1e999')))


def test_images_too_large_for_a_record_are_refused(tmp_path: Path) -> None:
    shape = {"depth": 60_000, "height": 60_000, "width": 60_000}
    refusal(write_json(tmp_path / "d", put(noisy_json(), ("image_shape",), shape)))


def test_a_file_is_in_one_split_only(tmp_path: Path) -> None:
    clean = clean_dataset(tmp_path / "clean")
    value = json.loads((clean.path / "dataset.json").read_text())
    value["splits"]["train"] = value["splits"]["test"]
    refusal(write_json(clean.path, value))


@pytest.mark.parametrize("key", [key for key in NOISE_KEYS if key not in ("type", "realised_rate", "parent")])
def test_a_noise_section_without_an_optional_field_can_be_described(tmp_path: Path, key: str) -> None:
    noisy = noisy_dataset(clean_dataset(tmp_path / "clean"))
    value = json.loads((noisy.path / "dataset.json").read_text())
    write_json(noisy.path, without(value, ("noise", key)))
    try:
        opened = open_dataset(noisy.path)
    except DataToolsError:
        return
    assert "noise" in dict(summary(describe(opened)))


def test_a_huge_dataset_json_is_not_read(tmp_path: Path) -> None:
    folder = write_json(tmp_path / "d", "")
    with (folder / "dataset.json").open("r+b") as file:
        file.truncate(1 << 40)  # sparse
    assert "larger than" in refusal(folder)


def test_what_is_no_dataset_directory_is_said_to_be_none(tmp_path: Path) -> None:
    assert "no such dataset directory" in refusal(tmp_path / "missing")
    assert "holds no dataset.json" in refusal(tmp_path)
    (tmp_path / "file").write_text("x")
    assert "no such dataset directory" in refusal(tmp_path / "file")


def test_records_come_back_over_all_files_in_order(tmp_path: Path) -> None:
    dataset = clean_dataset(tmp_path / "clean", train=40, train_files=3)
    assert [len(batch) for batch in dataset.batches("train")] == [13, 13, 14]
    assert dataset.ids("train").tolist() == list(range(40))
    assert dataset.labels("train").dtype == np.int64
    assert dataset.labels("test").tolist() == [number % 4 for number in range(10)]


def test_a_batch_of_another_length_than_promised_is_refused(tmp_path: Path) -> None:
    dataset = clean_dataset(tmp_path / "clean")
    batch = dataset.path / "data_batch_2.bin"
    batch.write_bytes(batch.read_bytes()[: -(8 + 3 * 8 * 8)])
    with pytest.raises(DataToolsError, match=r"data_batch_2\.bin: 12 records, dataset\.json says 13"):
        dataset.labels("train")


def test_labels_out_of_range_are_not_counted_as_classes(tmp_path: Path) -> None:
    # counting up to a label of 2**32 - 1 would take 32 GB
    dataset = clean_dataset(tmp_path / "clean", num_classes=4)
    batch = np.memmap(dataset.path / "test_batch.bin", np.uint8, "r+")
    batch[4:8] = [0, 1, 0, 0]  # the first record's label, big-endian
    batch.flush()
    try:
        facts = describe(dataset)
    except DataToolsError:
        return
    assert len(facts["splits"]["test"]["records_per_class"]) == 4


# --- find_dataset ----------------------------------------------------------------------------------------------------


def test_the_only_dataset_of_a_kind_is_found(tmp_path: Path) -> None:
    clean = clean_dataset(tmp_path / "clean")
    noisy = corrupt(clean, rate=0.4, noise="pair").dataset
    (tmp_path / "raw").mkdir()
    assert find_dataset(tmp_path, "clean", "").path == clean.path
    assert find_dataset(tmp_path, "noisy", "").path == noisy.path


def test_hidden_directories_are_not_looked_into(tmp_path: Path) -> None:
    clean = clean_dataset(tmp_path / "clean")
    clean_dataset(tmp_path / "second").path.rename(tmp_path / ".second.partial-abcd")
    assert find_dataset(tmp_path, "clean", "").path == clean.path


def test_of_several_datasets_all_are_named(tmp_path: Path) -> None:
    for name in ("one", "two"):
        clean_dataset(tmp_path / name)
    with pytest.raises(DataToolsError, match=r"2 clean datasets.*one.*two.*--data"):
        find_dataset(tmp_path, "clean", "")


def test_where_there_is_none_the_remedy_and_what_is_there_are_named(tmp_path: Path) -> None:
    clean_dataset(tmp_path / "clean")
    write_json(tmp_path / "broken", "{")
    with pytest.raises(DataToolsError, match=r"no noisy dataset.*clean \(clean\).*broken \(unreadable\).*do this"):
        find_dataset(tmp_path, "noisy", "do this")


@pytest.mark.parametrize("root", ["", "missing"])
def test_where_there_is_nothing_the_remedy_is_named(tmp_path: Path, root: str) -> None:
    with pytest.raises(DataToolsError, match=r"nothing there.*do this"):
        find_dataset(tmp_path / root, "clean", "do this")


def test_an_unreadable_dataset_does_not_hide_a_good_one(tmp_path: Path) -> None:
    clean = clean_dataset(tmp_path / "clean")
    write_json(tmp_path / "broken", "[")
    assert find_dataset(tmp_path, "clean", "").path == clean.path
