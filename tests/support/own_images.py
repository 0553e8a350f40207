"""Writes single images into folders as users have them, and opens or converts those folders."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from datatools.conversion import convert
from datatools.errors import DataToolsError
from datatools.sources import open_source
from datatools.sources.base import Request, Source

PIXELS = np.random.default_rng(5).integers(0, 256, (3, 12, 10), np.uint8)


def opened(location: Path, **more: Any) -> Source:
    return open_source("image-folder", Request(location, Path("nowhere"), **more))


def put(path: Path, pixels: np.ndarray = PIXELS, **more: Any) -> Path:
    """Write an image in the format that the file's name says."""
    path.parent.mkdir(parents=True, exist_ok=True)
    kind = {".jpg": "JPEG", ".jpeg": "JPEG"}.get(path.suffix.lower(), path.suffix[1:].upper())
    Image.fromarray(np.ascontiguousarray(pixels.transpose(1, 2, 0))).save(path, kind, **more)
    return path


def names(folder: Path) -> dict[str, list[str]]:
    """The paths in files.csv of each split, in id order."""
    with (folder / "files.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    found: dict[str, list[str]] = {"train": [], "test": []}
    for row in rows:
        assert int(row["id"]) == len(found[row["split"]])
        found[row["split"]].append(row["path"])
    return found


def refusal(source: Path, tmp_path: Path, **more: Any) -> str:
    """The one line with which converting is refused; nothing was written."""
    out = tmp_path / "made" / "out"
    with pytest.raises(DataToolsError) as caught:
        convert("image-folder", source=source, out=out, **more)
    assert not out.parent.exists()
    message = str(caught.value)
    assert "\n" not in message
    return message
