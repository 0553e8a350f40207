"""Contact sheets: which images, what is marked, and what stands under them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFont

from datatools.contact_sheet import MARK, Wanted, _fitting, _tiles, class_number, draw_sheet
from datatools.errors import DataToolsError
from datatools.format.dataset import Dataset
from datatools.format.manifest import Manifest, read_manifest, write_manifest
from tests.support.factories import clean_dataset, convert_source, made_up_source, noisy_dataset
from tests.support.reader import read_split


@pytest.fixture
def noisy(tmp_path: Path) -> Dataset:
    return noisy_dataset(clean_dataset(tmp_path / "clean", train=200, num_classes=4, test=12))


def records(dataset: Dataset, wanted: Wanted) -> list[int]:
    return [tile.record for tile in _tiles(dataset, wanted, 1)]


def sheet(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


# --- choosing --------------------------------------------------------------------------------------------------------


def test_the_choice_is_a_function_of_seed_and_id(noisy: Dataset) -> None:
    few, many = records(noisy, Wanted(count=10)), records(noisy, Wanted(count=60))
    assert few == records(noisy, Wanted(count=10))
    assert set(few) < set(many)
    assert many == sorted(many)
    assert set(few) != set(records(noisy, Wanted(count=10, seed=1)))
    # an image that is chosen among all is chosen among those of its kind
    flipped = records(noisy, Wanted(count=60, only="flipped"))
    assert {record for record in many if record in set(records(noisy, Wanted(count=200, only="flipped")))} <= set(
        flipped
    )


@pytest.mark.parametrize("only", ["flipped", "clean", None])
@pytest.mark.parametrize("name", [None, "class 2", "2", "CLASS 2"])
def test_only_and_class_mean_what_they_say(noisy: Dataset, only: str | None, name: str | None) -> None:
    clean = dict(enumerate(label for _, label, _ in read_split(noisy.path.parent / "clean", "train", 192)))
    given = {record: label for record, label, _ in read_split(noisy.path, "train", 192)}
    fits = {
        record
        for record in given
        if (only is None or (clean[record] != given[record]) == (only == "flipped"))
        and (name is None or clean[record] == 2)
    }
    tiles = _tiles(noisy, Wanted(count=200, only=only, class_name=name), 1)
    assert {tile.record for tile in tiles} == fits
    for tile in tiles:
        was, now = f"class {clean[tile.record]}", f"class {given[tile.record]}"
        assert tile.marked == (was != now)
        assert tile.caption == ((was, now) if tile.marked else (now,))


def test_a_tile_has_the_pixels_of_its_record(noisy: Dataset) -> None:
    for split, count in (("train", 200), ("test", 12)):
        stored = read_split(noisy.path, split, 192)
        tiles = _tiles(noisy, Wanted(split=split, count=500), 1)
        assert len(tiles) == count
        for tile in tiles:
            assert tile.pixels.transpose(2, 0, 1).tobytes() == stored[tile.record][2]
            assert not tile.marked or split == "train"


@pytest.mark.parametrize("labels", ["clean", "unknown"])
def test_without_noise_nothing_is_marked(tmp_path: Path, labels: str) -> None:
    made = clean_dataset(tmp_path / "clean", labels=labels)
    assert draw_sheet(made, tmp_path / "out.png", Wanted()) == 40
    assert not (sheet(tmp_path / "out.png") == MARK).all(axis=2).any()


def test_replaced_images_are_marked(tmp_path: Path, noisy: Dataset) -> None:
    manifest = read_manifest(noisy.manifest_path, 200, 4)
    replaced = np.full(200, -1)
    replaced[[3, 7]] = 5
    noisy.manifest_path.unlink()
    write_manifest(
        noisy.manifest_path,
        Manifest(**{**vars(manifest), "replaced_by": replaced, "clean_labels": manifest.noisy_labels}),
    )
    tiles = _tiles(noisy, Wanted(count=200, only="flipped"), 1)
    assert [tile.record for tile in tiles] == [3, 7]
    assert all(tile.caption[1] == "foreign image" and tile.marked for tile in tiles)


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        (Wanted(class_name="klass 2"), r"--class klass 2: no such class; a name \(class 2, "),
        (Wanted(class_name="4"), "--class 4: no such class"),
        (Wanted(class_name="-1"), "--class -1: no such class"),
        (Wanted(class_name="²"), "no such class"),
        (Wanted(split="test", only="flipped"), "no flipped test image, noise is in the training labels only"),
    ],
)
def test_what_is_not_there_is_said(tmp_path: Path, noisy: Dataset, wanted: Wanted, said: str) -> None:
    with pytest.raises(DataToolsError, match=said):
        draw_sheet(noisy, tmp_path / "out.png", wanted)
    assert not (tmp_path / "out.png").exists()


@pytest.mark.parametrize(("labels", "only"), [("clean", "flipped"), ("unknown", "flipped"), ("unknown", "clean")])
def test_only_needs_labels_that_are_known(tmp_path: Path, labels: str, only: str) -> None:
    made = clean_dataset(tmp_path / "clean", labels=labels)
    with pytest.raises(DataToolsError, match="leave --only out"):
        draw_sheet(made, tmp_path / "out.png", Wanted(only=only))


def test_a_class_without_an_image_is_said(tmp_path: Path) -> None:
    made = convert_source(made_up_source([0, 1, 1], [0], 3), tmp_path / "clean").dataset
    with pytest.raises(DataToolsError, match="no train image of class class 2"):
        draw_sheet(made, tmp_path / "out.png", Wanted(class_name="2"))


def test_a_name_goes_before_a_number() -> None:
    assert class_number(["1", "0", "x"], "0") == 1
    assert class_number(["1", "0", "x"], "2") == 2
    assert class_number(["Cat", "cat"], "cat") == 1
    with pytest.raises(DataToolsError, match="the name of classes 0, 1; give the number"):
        class_number(["cat", "cat"], "cat")


# --- drawing ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scale", [1, 5])
@pytest.mark.parametrize("depth", [1, 3])
def test_pixels_are_enlarged_and_nothing_else(tmp_path: Path, scale: int, depth: int) -> None:
    made = clean_dataset(tmp_path / "clean", train=1, num_classes=1, shape=(depth, 8, 6), train_files=1)
    draw_sheet(made, tmp_path / "out.png", Wanted(), scale)
    pixels = np.frombuffer(read_split(made.path, "train", 48 * depth)[0][2], np.uint8).reshape(depth, 8, 6)
    wanted = np.broadcast_to(pixels, (3, 8, 6)).transpose(1, 2, 0).repeat(scale, 0).repeat(scale, 1)
    left, top = 10 + 4, 10 + 17 + 4
    np.testing.assert_array_equal(sheet(tmp_path / "out.png")[top : top + 8 * scale, left : left + 6 * scale], wanted)


def test_a_flipped_image_has_a_frame_and_a_sign(tmp_path: Path, noisy: Dataset) -> None:
    draw_sheet(noisy, tmp_path / "flipped.png", Wanted(count=1, only="flipped"))
    draw_sheet(noisy, tmp_path / "clean.png", Wanted(count=1, only="clean"))
    flipped, clean = sheet(tmp_path / "flipped.png"), sheet(tmp_path / "clean.png")
    assert not (clean == MARK).all(axis=2).any()
    frame = flipped[27 : 27 + 104, 10 : 10 + 104]  # an 8x8 image at scale 12 and its frame
    marked = (frame == MARK).all(axis=2)
    for edge in (marked[:4, :80], marked[-4:], marked[:, :4], marked[20:, -4:]):
        assert edge.all()
    corner = (frame[:15, -15:] == 255).all(axis=2)
    assert corner[np.arange(5, 10), np.arange(5, 10)].all()  # a cross: both diagonals
    assert corner[np.arange(5, 10), np.arange(9, 4, -1)].all()
    assert not corner[[1, 7, 13, 7], [7, 1, 7, 13]].any()


def test_the_same_command_gives_the_same_bytes(tmp_path: Path, noisy: Dataset) -> None:
    for name in ("one.png", "two.PNG"):
        assert draw_sheet(noisy, tmp_path / name, Wanted()) == 50
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "two.PNG").read_bytes()


@pytest.mark.parametrize("names", [("é", "Ж", "日"), ("x" * 500, "two\nlines", ""), ("a", "b", "c")])
def test_any_name_can_be_written(tmp_path: Path, names: tuple[str, ...]) -> None:
    from dataclasses import replace

    made = convert_source(replace(made_up_source([0, 1, 2], [0], 3), class_names=names), tmp_path / "clean")
    assert draw_sheet(made.dataset, tmp_path / "out.png", Wanted()) == 3


def test_a_caption_is_cut_to_its_room() -> None:
    font = ImageFont.load_default(13)
    cut = _fitting("a very long name of a class indeed", font, 80)
    assert cut.endswith("...")
    assert font.getlength(cut) <= 80
    assert _fitting("cat", font, 80) == "cat"


def test_depth_that_is_no_picture_is_refused(tmp_path: Path) -> None:
    made = clean_dataset(tmp_path / "clean", shape=(2, 4, 4))
    with pytest.raises(DataToolsError, match="images of 2 planes"):
        draw_sheet(made, tmp_path / "out.png", Wanted())


def test_a_sheet_too_large_is_refused_before_it_is_drawn(tmp_path: Path) -> None:
    made = clean_dataset(tmp_path / "clean", train=40, shape=(1, 64, 64))
    with pytest.raises(DataToolsError, match="lower --count or --scale"):
        draw_sheet(made, tmp_path / "out.png", Wanted(count=40), scale=64)
