"""A contact sheet: some of a dataset's images with their labels, those with a changed label marked.

Which images is a function of (seed, id): a larger count shows the same ones and more.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from datatools.errors import DataToolsError, listed
from datatools.files.output import check_file, new_file
from datatools.format.dataset import Dataset
from datatools.printable import printable
from datatools.seeding import uniforms

SUFFIXES = (".png",)
MODES = {1: "L", 3: "RGB"}
WANTED_SIDE = 96
"""Images are enlarged to about this many pixels where no scale is given."""
FRAME = 4
GAP = 10
FONT_SIZE = 13
LEAST_WIDTH = 104
"""Room for a caption, in pixels."""
MAX_SHEET_PIXELS = 100_000_000
INK, PAPER, MARK = (20, 20, 20), (255, 255, 255), (213, 94, 0)
"""The mark is the vermilion of Okabe and Ito's palette for every kind of colour vision."""


@dataclass(frozen=True)
class Tile:
    """One image of the sheet: pixels (height, width, depth) uint8, its id, the lines of its caption, its mark.

    A caption of two lines is `clean` and then `noisy`, with an arrow between them.
    """

    pixels: np.ndarray
    record: int
    caption: tuple[str, ...]
    marked: bool


@dataclass(frozen=True)
class Wanted:
    """Which images: of which split, only "flipped" or "clean" ones or all (None), of which class, how many.

    `class_name` is a name or a number; it means the clean label where that is known, else the label.
    """

    split: str = "train"
    only: str | None = None
    class_name: str | None = None
    count: int = 50
    seed: int = 0


def draw_sheet(dataset: Dataset, out: Path, wanted: Wanted, scale: int | None = None, overwrite: bool = False) -> int:
    """Draw a contact sheet and return how many images are on it.

    Args:
        out: a name that ends in .png.
        scale: by how many whole pixels each pixel is enlarged; None for about 96 pixels a side.

    Raises:
        DataToolsError: no such class, no image of that kind, images that are neither grey nor RGB, a sheet too large,
            or `out` is taken or badly named.
    """
    check_file(out, SUFFIXES, overwrite)
    shape = dataset.metadata.image_shape
    if shape.depth not in MODES:
        raise DataToolsError(f"{dataset.path}: images of {shape.depth} planes; only grey (1) and RGB (3) can be shown")
    scale = scale or default_scale(shape.height, shape.width)
    tiles = _tiles(dataset, wanted, scale)
    sheet = _draw(tiles, _title(dataset, wanted, len(tiles)), scale)
    with new_file(out, SUFFIXES, overwrite) as partial:
        sheet.save(partial, "PNG")
    return len(tiles)


def draw_tiles(tiles: Sequence[Tile], title: str) -> Image.Image:
    """The contact sheet of tiles that the caller chose: at least one, all of one shape, grey or RGB.

    Raises:
        DataToolsError: a sheet too large.
    """
    rows, columns, _ = tiles[0].pixels.shape
    scale = default_scale(rows, columns)
    _check_size(len(tiles), rows * scale, columns * scale)
    return _draw(tiles, title, scale)


def default_scale(rows: int, columns: int) -> int:
    """By how many whole pixels each pixel of an image is enlarged to make about WANTED_SIDE a side."""
    return max(1, round(WANTED_SIDE / max(rows, columns)))


def class_number(names: Sequence[str], wanted: str) -> int:
    """The class that a user means by a name or, where no class is called so, by a number.

    Raises:
        DataToolsError: there is none, or several have this name.
    """
    for key in (str, str.casefold):
        numbers = [number for number, name in enumerate(names) if key(name) == key(wanted)]
        if len(numbers) > 1:
            raise DataToolsError(f"--class {wanted}: the name of classes {listed(numbers)}; give the number")
        if numbers:
            return numbers[0]
    if wanted.isdecimal() and wanted.isascii() and len(wanted) < 10 and int(wanted) < len(names):
        return int(wanted)
    near = difflib.get_close_matches(wanted, names[:10_000], n=3) or list(names)
    raise DataToolsError(
        f"--class {wanted}: no such class; a name ({listed(near, 3)}) or a number in 0..{len(names) - 1} is expected"
    )


# --- choosing --------------------------------------------------------------------------------------------------------


def _tiles(dataset: Dataset, wanted: Wanted, scale: int) -> list[Tile]:
    labels, ids = dataset.labels(wanted.split), dataset.ids(wanted.split)
    names = dataset.metadata.class_names
    if len(labels) and (labels.max() >= len(names) or ids.max() >= len(ids)):
        raise DataToolsError(f"{dataset.path}: ids or labels out of range; see `datatools verify`, make it anew")
    clean, changed = _truth(dataset, wanted.split, ids, labels)
    chosen = _choose(dataset, wanted, ids, clean, changed)
    shape = dataset.metadata.image_shape
    _check_size(len(chosen), shape.height * scale, shape.width * scale)
    pixels = _pixels(dataset, wanted.split, chosen)
    tiles = []
    for number, image in zip(chosen.tolist(), pixels, strict=True):
        label, was = names[labels[number]], names[clean[number]]
        if not changed[number]:
            caption: tuple[str, ...] = (label,)
        else:
            caption = (was, label if labels[number] != clean[number] else "foreign image")
        tiles.append(Tile(image, int(ids[number]), caption, bool(changed[number])))
    return tiles


def _check_size(count: int, height: int, width: int) -> None:
    """Raise DataToolsError where `count` images of so many enlarged pixels make too large a sheet."""
    if count * (height + 60) * max(LEAST_WIDTH, width + 20) > MAX_SHEET_PIXELS:
        raise DataToolsError(
            f"{count} images of {height}x{width} pixels make a sheet of more than {MAX_SHEET_PIXELS // 10**6} million; "
            "lower --count or --scale"
        )


def _truth(dataset: Dataset, split: str, ids: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(N,) clean labels, or the labels where those are not known; (N,) bool, what the noise changed."""
    manifest = dataset.manifest() if split == "train" else None
    if manifest is None:
        return labels, np.zeros(len(labels), bool)
    clean = manifest.clean_labels.astype(np.int64)[ids]
    return clean, manifest.is_changed[ids] | (clean != labels)


def _choose(dataset: Dataset, wanted: Wanted, ids: np.ndarray, clean: np.ndarray, changed: np.ndarray) -> np.ndarray:
    """(count or fewer,) record numbers, in the order of their ids."""
    state, kind = dataset.metadata.labels, f"{wanted.only} " if wanted.only else ""
    if wanted.only is not None and state == "unknown":
        raise DataToolsError(f"{dataset.path}: which of its labels are right is not known; leave --only out")
    if wanted.only == "flipped" and (state == "clean" or wanted.split != "train"):
        where = "its labels are clean" if state == "clean" else "noise is in the training labels only"
        raise DataToolsError(f"{dataset.path}: no flipped {wanted.split} image, {where}; leave --only out")
    fits = np.ones(len(ids), bool) if wanted.only is None else changed == (wanted.only == "flipped")
    of_class = ""
    if wanted.class_name is not None:
        number = class_number(dataset.metadata.class_names, wanted.class_name)
        fits &= clean == number
        of_class = f" of class {dataset.metadata.class_names[number]}"
    candidates = np.flatnonzero(fits)
    if not len(candidates):
        raise DataToolsError(f"{dataset.path}: no {kind}{wanted.split} image{of_class}; ask for others")
    early = uniforms(wanted.seed, f"contact sheet {wanted.split}", ids[candidates])
    first = candidates[np.lexsort((ids[candidates], early))][: wanted.count]
    return np.asarray(first[np.argsort(ids[first])])


def _pixels(dataset: Dataset, split: str, chosen: np.ndarray) -> list[np.ndarray]:
    """The (height, width, depth) pixels of the chosen records."""
    images: dict[int, np.ndarray] = {}
    start = 0
    for batch in dataset.batches(split):
        for number in chosen[(chosen >= start) & (chosen < start + len(batch))].tolist():
            images[number] = batch["pixels"][number - start].transpose(1, 2, 0).copy()
        start += len(batch)
    return [images[number] for number in chosen.tolist()]


def _title(dataset: Dataset, wanted: Wanted, shown: int) -> str:
    parts = [f"{shown} {wanted.only or ''} {wanted.split} images", f"seed {wanted.seed}"]
    if wanted.class_name is not None:
        parts.insert(1, f"class {wanted.class_name}")
    return printable(f"{dataset.metadata.name}: {', '.join(' '.join(part.split()) for part in parts)}")


# --- drawing ---------------------------------------------------------------------------------------------------------


def _font(texts: Sequence[str], size: int) -> ImageFont.ImageFont | ImageFont.FreeTypeFont:
    """Pillow's own font, or the one that matplotlib brings where there are letters that Pillow's lacks."""
    home = find_spec("matplotlib")
    if all(text.isascii() for text in texts) or home is None or home.origin is None:
        return ImageFont.load_default(size)
    return ImageFont.truetype(str(Path(home.origin).parent / "mpl-data" / "fonts" / "ttf" / "DejaVuSans.ttf"), size)


def _draw(tiles: Sequence[Tile], title: str, scale: int) -> Image.Image:
    font = _font([title, *(line for tile in tiles for line in tile.caption)], FONT_SIZE)
    rows, columns, _ = tiles[0].pixels.shape
    line = FONT_SIZE + 4
    across = max(LEAST_WIDTH, columns * scale + 2 * FRAME)
    down = rows * scale + 2 * FRAME + line * (1 + max(len(tile.caption) for tile in tiles))
    per_row = min(len(tiles), max(1, math.ceil(math.sqrt(len(tiles) * 1.6 * (down + GAP) / (across + GAP)))))
    height = math.ceil(len(tiles) / per_row) * (down + GAP) + GAP + line
    width = max(per_row * (across + GAP) + GAP, math.ceil(font.getlength(title[:200])) + 2 * GAP)
    sheet = Image.new("RGB", (width, height), PAPER)
    draw = ImageDraw.Draw(sheet)
    draw.text((GAP, GAP // 2), " ".join(title[:200].split()), INK, font)
    for number, tile in enumerate(tiles):
        row, column = divmod(number, per_row)
        left, top = GAP + column * (across + GAP), GAP + line + row * (down + GAP)
        _draw_tile(sheet, draw, tile, (left, top), scale, across, font)
    return sheet


def _draw_tile(
    sheet: Image.Image,
    draw: ImageDraw.ImageDraw,
    tile: Tile,
    corner: tuple[int, int],
    scale: int,
    across: int,
    font: ImageFont.ImageFont | ImageFont.FreeTypeFont,
) -> None:
    rows, columns, depth = tile.pixels.shape
    pixels = tile.pixels[:, :, 0] if depth == 1 else tile.pixels
    image = Image.fromarray(pixels).convert("RGB").resize((columns * scale, rows * scale), Image.Resampling.NEAREST)
    left, top = corner
    right, bottom = left + image.width + 2 * FRAME, top + image.height + 2 * FRAME
    if tile.marked:
        draw.rectangle((left, top, right - 1, bottom - 1), fill=MARK)
    sheet.paste(image, (left + FRAME, top + FRAME))
    if tile.marked:
        _cross(draw, right, top, min(15, max(7, image.width // 3)))
    line = FONT_SIZE + 4
    draw.text((left, bottom + 1), _fitting(f"#{tile.record}", font, across), INK, font)
    for number, text in enumerate(tile.caption, 1):
        y = bottom + 1 + number * line
        indent = 0
        if number > 1:
            _arrow(draw, left, y + FONT_SIZE // 2 + 1)
            indent = 18
        color = MARK if tile.marked and number > 1 else INK
        draw.text((left + indent, y), _fitting(text, font, across - indent), color, font)


def _cross(draw: ImageDraw.ImageDraw, right: int, top: int, side: int) -> None:
    """The sign of a changed label in the upper right corner, for whom the frame's colour says nothing."""
    draw.rectangle((right - side, top, right - 1, top + side - 1), fill=MARK)
    near, far = round(side * 0.27), side - 1 - round(side * 0.27)
    draw.line((right - side + near, top + near, right - side + far, top + far), PAPER, 2)
    draw.line((right - side + far, top + near, right - side + near, top + far), PAPER, 2)


def _arrow(draw: ImageDraw.ImageDraw, left: int, middle: int) -> None:
    """An arrow of lines: Pillow's font has none."""
    draw.line((left, middle, left + 12, middle), MARK, 2)
    draw.polygon(((left + 8, middle - 4), (left + 14, middle), (left + 8, middle + 4)), MARK)


def _fitting(text: str, font: ImageFont.ImageFont | ImageFont.FreeTypeFont, width: int) -> str:
    """The text in one line, cut where it would be wider than `width` pixels."""
    text = printable(" ".join(text[:200].split())) or "(no name)"
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(text + "...") > width:
        text = text[:-1]
    return text.rstrip() + "..."
