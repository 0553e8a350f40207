"""Opens sources, damages them, and holds what they give against what a factory wrote."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from datatools.conversion import convert
from datatools.decoding.chunks import Kept
from datatools.errors import DataToolsError
from datatools.sources import open_source
from datatools.sources.base import Request, Source
from tests.support.factories import tree
from tests.support.image_sets import ImageSet

Damage = Callable[[Path], object]


def opened(name: str, location: Path | None, label_set: str | None = None) -> Source:
    return open_source(name, Request(location, Path("nowhere"), label_set))


def everything(source: Source, split: str) -> tuple[np.ndarray, np.ndarray]:
    """All labels and all pixels of a split."""
    chunks = list(source.splits[split].chunks())
    decoded = [chunk.decode() for chunk in chunks]
    pixels = [each.pixels if isinstance(each, Kept) else each for each in decoded]
    return np.concatenate([chunk.labels for chunk in chunks]), np.concatenate(pixels)


def assert_holds(source: Source, content: ImageSet, label_set: str = "fine") -> None:
    """The source gives exactly what the factory wrote."""
    assert source.class_names == content.names[label_set]
    for split, batch in content.splits.items():
        labels, pixels = everything(source, split)
        assert source.splits[split].records == len(batch)
        assert labels.tolist() == batch.labels[label_set].tolist()
        assert pixels.dtype == np.uint8
        np.testing.assert_array_equal(pixels, batch.pixels)


def refusal(name: str, location: Path | None, tmp_path: Path, **more: Any) -> str:
    """The message with which converting is refused: one line; and nothing was written."""
    out = tmp_path / "made" / "out"
    out.parent.mkdir()
    with pytest.raises(DataToolsError) as caught:
        convert(name, root=tmp_path / "root", source=location, out=out, **more)
    assert tree(out.parent) == {}
    assert not (tmp_path / "root").exists()
    message = str(caught.value)
    assert "\n" not in message
    return message


def cut(name: str, by: int = 1) -> Damage:
    return lambda folder: (folder / name).write_bytes((folder / name).read_bytes()[:-by])


def remove(name: str) -> Damage:
    return lambda folder: (folder / name).unlink()


def replace(name: str, content: bytes) -> Damage:
    return lambda folder: (folder / name).write_bytes(content)


def set_byte(name: str, place: int, value: int) -> Damage:
    def damage(folder: Path) -> None:
        data = bytearray((folder / name).read_bytes())
        data[place] = value
        (folder / name).write_bytes(data)

    return damage
