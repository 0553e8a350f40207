"""dataset.json, which is untrusted on the way in."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datatools.errors import DataToolsError
from datatools.format.dataset import open_dataset
from datatools.format.metadata import Metadata
from datatools.info import describe, summary
from tests.support.dataset_json import (
    CLEAN,
    GOLDEN,
    NOISE,
    noisy_json,
    places,
    put,
    read_or_refused,
    refusal,
    without,
    write_json,
)
from tests.support.factories import clean_dataset, noisy_dataset

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
        (("splits", "train", "files", 0, "name"), "skipped.csv", "not a batch file"),
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
    ("key", "value", "said"),
    [
        ("skipped", {"files": 0, "sha256": "a" * 64}, "skipped.files"),
        ("skipped", {"files": 1, "sha256": "../x"}, "skipped.sha256"),
        ("skipped", 7, "'skipped'"),
        ("decoded", {"grey": -1}, "decoded.grey"),
        ("decoded", ["grey"], "'decoded'"),
    ],
)
def test_what_is_wrong_in_a_key_of_folders_is_named(tmp_path: Path, key: str, value: object, said: str) -> None:
    assert said in refusal(write_json(tmp_path / "d", {**noisy_json(), key: value}))


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
