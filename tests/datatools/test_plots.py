"""Heat maps: what is drawn where, at every number of classes, and the same bytes each time."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from datatools.errors import DataToolsError
from datatools.format.dataset import open_dataset
from datatools.format.manifest import Manifest, read_manifest, write_manifest
from datatools.noise.transition import pair
from datatools.plots import Layout, Panel, _share_texts, draw, plot_transition, transition_panels
from tests.support.factories import clean_dataset, noisy_dataset

MAGIC = {".png": b"\x89PNG", ".svg": b"<?xml", ".pdf": b"%PDF"}


@pytest.fixture
def noisy(tmp_path: Path) -> Path:
    return noisy_dataset(clean_dataset(tmp_path / "clean", train=40, num_classes=4)).path


def svg_of(noisy: Path, tmp_path: Path, **more: bool) -> str:
    """The picture as SVG with its texts as text: each is written as a comment before its outline."""
    plot_transition(open_dataset(noisy), tmp_path / "out.svg", **more)
    return (tmp_path / "out.svg").read_text(encoding="utf-8")


@pytest.mark.parametrize("suffix", MAGIC)
def test_the_same_dataset_gives_the_same_picture(tmp_path: Path, noisy: Path, suffix: str) -> None:
    one, two = tmp_path / f"one{suffix}", tmp_path / f"two{suffix.upper()}"
    assert plot_transition(open_dataset(noisy), one) == ()
    plot_transition(open_dataset(noisy), two)
    assert one.read_bytes() == two.read_bytes()
    assert one.read_bytes().startswith(MAGIC[suffix])
    assert b"matplotlib" not in one.read_bytes().lower() or suffix != ".png"


def test_the_picture_says_what_it_shows(tmp_path: Path, noisy: Path) -> None:
    texts = svg_of(noisy, tmp_path)
    for text in ("clean-pair-0.4-seed0", "pair noise, rate 0.4 requested, 0.4 realised", "requested", "realised"):
        assert f"<!-- {text} -->" in texts
    assert texts.count("<!-- .40 -->") == 8  # four classes, two panels
    assert texts.count("<!-- .60 -->") == 8
    assert texts.count("<!-- class 2 -->") == 3  # a row, and a column of each panel


def test_without_a_requested_matrix_there_is_one_panel(tmp_path: Path, noisy: Path) -> None:
    manifest = read_manifest(noisy / "manifest.h5", 40, 4)
    human = Manifest(**{**vars(manifest), "transition_matrix": None, "rate": None, "noise_type": "human", "seed": None})
    (noisy / "manifest.h5").unlink()
    write_manifest(noisy / "manifest.h5", human)
    assert [panel.title for panel in transition_panels(human)] == ["realised"]
    texts = svg_of(noisy, tmp_path)
    assert "<!-- human noise, no rate requested, 0.4 realised -->" in texts
    assert "<!-- requested -->" not in texts
    assert texts.count("<!-- .40 -->") == 4


@pytest.mark.parametrize("labels", ["clean", "unknown"])
def test_without_noise_there_is_nothing_to_plot(tmp_path: Path, labels: str) -> None:
    made = clean_dataset(tmp_path / "clean", labels=labels)
    with pytest.raises(DataToolsError, match="no transition matrix to plot"):
        plot_transition(made, tmp_path / "out.png")
    assert not (tmp_path / "out.png").exists()


def test_replaced_images_have_no_matrix(tmp_path: Path, noisy: Path) -> None:
    manifest = read_manifest(noisy / "manifest.h5", 40, 4)
    replaced = Manifest(**{**vars(manifest), "replaced_by": np.full(40, -1), "noise_type": "open-set"})
    (noisy / "manifest.h5").unlink()
    write_manifest(noisy / "manifest.h5", replaced)
    with pytest.raises(DataToolsError, match="open-set noise replaces images"):
        plot_transition(open_dataset(noisy), tmp_path / "out.png")


@pytest.mark.parametrize("num_classes", [1, 2, 10, 47, 100, 200, 1000, 30_000])
def test_names_and_numbers_never_overlap(num_classes: int) -> None:
    layout = Layout.of(num_classes)
    assert layout.side <= 10.5
    assert layout.name_step * layout.cell_points >= 1.1 * layout.name_font
    assert layout.name_font >= 5
    assert (num_classes - 1) // layout.name_step + 1 >= min(num_classes, 50)  # enough of them are named
    texts = np.array([[".20", ".004"]], object)
    font = layout.number_font(texts)
    assert font * 0.6 * 4 <= layout.cell_points
    assert (font > 0) == (num_classes <= 47)
    assert layout.guide_step * layout.cell_points >= 12


@pytest.mark.parametrize("num_classes", [1, 10, 200])
def test_each_cell_is_where_it_belongs(tmp_path: Path, num_classes: int) -> None:
    """Found again in the pixels: dark on the diagonal, mid-tone beside it, white elsewhere."""
    matrix = pair(num_classes, 0.3) if num_classes > 1 else np.ones((1, 1))
    panel = Panel("realised", matrix, np.full(matrix.shape, "", object))
    names = [f"a rather long name {number}" for number in range(num_classes)]
    draw([panel], names, "title", ("columns", "rows"), tmp_path / "out.png")
    with Image.open(tmp_path / "out.png") as image:
        pixels = np.asarray(image.convert("RGB")).astype(int)
    assert max(pixels.shape) < 2_600
    blue = (pixels[..., 2] - pixels[..., 0] > 50) & (pixels.sum(axis=2) < 330)
    rows, columns = np.nonzero(blue[:, : int(pixels.shape[1] * 0.85)])  # without the colour bar
    side = rows.max() - rows.min() + 1
    assert side == pytest.approx(columns.max() - columns.min() + 1, rel=0.02)
    on_diagonal = np.abs((rows - rows.min()) - (columns - columns.min())) <= side / num_classes + 2
    assert on_diagonal.all()
    assert len(rows) == pytest.approx(side**2 / num_classes, rel=0.35)


def test_shares_are_short_and_never_round_to_nothing() -> None:
    matrix = np.array([[1.0, 0.9999, 0.996, 0.8], [0.2, 0.0101, 0.0042, 0.0001], [0.0, 0.0095, 0.0005, 0.0099]])
    assert _share_texts(matrix).tolist() == [
        ["1", "1.000", ".996", ".80"],
        [".20", ".01", ".004", "+0"],
        ["", ".01", ".001", ".01"],
    ]


def test_names_are_text_and_nothing_else(tmp_path: Path) -> None:
    panel = Panel("p", np.eye(3), np.full((3, 3), "", object))
    names = ["$\\frac{", "two\nlines", ""]
    assert draw([panel], names, "$x$ & <b>", ("c", "r"), tmp_path / "out.svg") == ()
    text = (tmp_path / "out.svg").read_text(encoding="utf-8")
    assert "two lines" in text
    notices = draw([panel], ["日", "本", "c"], "t", ("c", "r"), tmp_path / "boxes.png")
    assert "2 characters" in notices[0]


@pytest.mark.parametrize("name", ["out.jpg", "out", "out.png.txt"])
def test_another_suffix_is_refused(tmp_path: Path, noisy: Path, name: str) -> None:
    with pytest.raises(DataToolsError, match=r"ends in \.png or \.svg or \.pdf"):
        plot_transition(open_dataset(noisy), tmp_path / name)


def test_a_picture_is_replaced_only_when_asked(tmp_path: Path, noisy: Path) -> None:
    out = tmp_path / "out.png"
    out.write_bytes(b"mine")
    with pytest.raises(DataToolsError, match="--overwrite"):
        plot_transition(open_dataset(noisy), out)
    assert out.read_bytes() == b"mine"
    plot_transition(open_dataset(noisy), out, overwrite=True)
    assert out.read_bytes().startswith(MAGIC[".png"])
    shutil.rmtree(noisy)
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []
