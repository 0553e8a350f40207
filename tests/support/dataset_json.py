"""A dataset.json that is good, ways to change it at any place, and how it is refused."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from datatools.errors import DataToolsError
from datatools.format.dataset import open_dataset
from datatools.format.metadata import BatchFile, Metadata
from datatools.format.records import ImageShape

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
