"""The readers that docs/reading.md shows read: run as they stand, against the independent reader."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from datatools.conversion import convert
from tests.support.factories import convert_source, made_up_source
from tests.support.reader import read_split

PAGE = Path(__file__).parents[3] / "docs" / "reading.md"


def snippets() -> dict[str, str]:
    """Heading -> the code below it."""
    sections = re.split(r"^## ", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]
    found = {}
    for section in sections:
        blocks = re.findall(r"```python\n(.*?)```", section, flags=re.DOTALL)
        assert len(blocks) <= 1
        if blocks:
            found[section.partition("\n")[0]] = blocks[0]
    return found


SNIPPETS = snippets()


@pytest.fixture
def digits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int, bytes]]:
    """The training records of data/digits, in the folder where the snippets run."""
    monkeypatch.chdir(tmp_path)
    convert("digits")
    return read_split(tmp_path / "data" / "digits", "train", 64)


def check(
    records: list[tuple[int, int, bytes]], ids: np.ndarray | None, labels: np.ndarray, images: np.ndarray
) -> None:
    assert len(records) == len(labels) == 1442
    if ids is not None:
        np.testing.assert_array_equal(ids, [record[0] for record in records])
    np.testing.assert_array_equal(labels, [record[1] for record in records])
    assert images.shape == (1442, 8, 8, 1)
    assert images.dtype == np.uint8
    assert images.tobytes() == b"".join(record[2] for record in records)  # one plane: both layouts are one


def test_the_page_shows_every_reader() -> None:
    assert list(SNIPPETS) == [
        "The package",
        "NumPy",
        "tf.data",
        "The reader of the official SELFIE release",
        "PyTorch",
    ]


@pytest.mark.parametrize("name", ["The package", "NumPy"])
def test_a_reader_of_arrays(digits: list[tuple[int, int, bytes]], name: str) -> None:
    found: dict[str, Any] = {}
    exec(SNIPPETS[name], found)
    check(digits, found.get("ids"), found["labels"], found["images"])


@pytest.mark.parametrize("name", ["tf.data", "The reader of the official SELFIE release"])
def test_a_reader_of_tensorflow(digits: list[tuple[int, int, bytes]], name: str) -> None:
    found: dict[str, Any] = {}
    exec(SNIPPETS[name], found)
    ids, labels, images = zip(*found["dataset"].as_numpy_iterator(), strict=True)
    check(digits, np.array(ids), np.array(labels), np.array(images))


@pytest.mark.parametrize("name", ["tf.data", "The reader of the official SELFIE release"])
def test_bytes_are_combined_and_planes_turned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Where the digits cannot tell: ids and labels above 255, three planes, height other than width."""
    monkeypatch.chdir(tmp_path)
    shape = (3, 2, 5)
    made = convert_source(made_up_source(range(700), [0], 700, shape), tmp_path / "data" / "digits", train_files=1)
    code = SNIPPETS[name].replace("depth, height, width = 1, 8, 8", "depth, height, width = 3, 2, 5")
    assert code != SNIPPETS[name]
    found: dict[str, Any] = {}
    exec(code, found)
    records = read_split(made.dataset.path, "train", 30)
    for (number, label, image), (own, given, pixels) in zip(found["dataset"].as_numpy_iterator(), records, strict=True):
        assert (int(number), int(label)) == (own, given)
        assert image.shape == (2, 5, 3)
        assert image.transpose(2, 0, 1).tobytes() == pixels


def test_the_reader_of_pytorch_is_python() -> None:
    compile(SNIPPETS["PyTorch"], str(PAGE), "exec")


def test_the_reader_of_pytorch_reads(digits: list[tuple[int, int, bytes]]) -> None:
    pytest.importorskip("torch", reason="PyTorch is not installed: its reader is only compiled")
    found: dict[str, Any] = {}
    exec(SNIPPETS["PyTorch"], found)
    data = found["loader"].dataset
    pixels = np.stack([np.rint(data[index][0].numpy() * 255).astype(np.uint8) for index in range(len(data))])
    check(digits, None, data.labels.numpy(), pixels.transpose(0, 2, 3, 1))
