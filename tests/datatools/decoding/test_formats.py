"""HEIC and AVIF where there is a decoder, and one line that says what to install where there is none."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, features

from datatools.conversion import convert
from datatools.decoding import formats
from datatools.decoding.formats import readable_formats
from datatools.decoding.images import UnreadableError, load_image
from tests.support.own_images import put, refusal

FLAT = Image.new("RGB", (64, 48), (200, 100, 50))
HEIC_HEADER = b"\0\0\0\x1cftypheic" + bytes(400)


@pytest.fixture
def no_decoder(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """As where neither pillow-heif is installed nor Pillow has AVIF."""
    monkeypatch.setattr(formats, "_is_readable", lambda name: name not in ("AVIF", "HEIF"))
    readable_formats.cache_clear()
    yield
    readable_formats.cache_clear()


def assert_flat(path: Path, out: Path, workers: int) -> None:
    FLAT.save(path.with_name("other.png"))
    made = convert("image-folder", source=path.parent.parent, out=out, workers=workers).dataset
    pixels = np.concatenate([batch["pixels"] for split in ("train", "test") for batch in made.batches(split)])
    assert np.abs(pixels.mean(axis=(0, 2, 3)) - (200, 100, 50)).max() < 5


@pytest.mark.parametrize("workers", [1, 2])
def test_heic_is_read_where_pillow_heif_is_installed(tmp_path: Path, workers: int) -> None:
    heif = pytest.importorskip("pillow_heif", reason="pillow-heif is not installed: no HEIC is read")
    heif.register_heif_opener()
    (tmp_path / "cat").mkdir()
    FLAT.save(tmp_path / "cat" / "a.heic", "HEIF")
    assert_flat(tmp_path / "cat" / "a.heic", tmp_path / "made" / "out", workers)


@pytest.mark.skipif("avif" not in features.modules or not features.check("avif"), reason="this Pillow has no AVIF")
def test_avif_is_read_where_pillow_has_it(tmp_path: Path) -> None:
    (tmp_path / "cat").mkdir()
    FLAT.save(tmp_path / "cat" / "a.avif")
    assert_flat(tmp_path / "cat" / "a.avif", tmp_path / "made" / "out", 1)


@pytest.mark.usefixtures("no_decoder")
def test_files_without_a_decoder_are_named_with_what_to_install(tmp_path: Path) -> None:
    source = tmp_path / "source"
    put(source / "cat" / "a.png")
    put(source / "cat" / "b.png")
    for name in ("c.HEIC", "d.avif"):
        (source / "cat" / name).write_bytes(b"never looked at")
    message = refusal(source, tmp_path)
    assert "cat/c.HEIC: HEIC without a decoder (pip install pillow-heif)" in message
    assert "cat/d.avif: AVIF without a decoder (pip install 'pillow>=11.3')" in message
    assert convert("image-folder", source=source, out=tmp_path / "out", skip_bad=True).dataset.metadata.skipped


@pytest.mark.usefixtures("no_decoder")
@pytest.mark.parametrize(("brand", "needed"), [(b"heic", "pillow-heif"), (b"avif", "pillow>=11.3")])
def test_the_content_tells_whatever_the_name(brand: bytes, needed: str) -> None:
    with pytest.raises(UnreadableError, match=needed):
        load_image(HEIC_HEADER.replace(b"heic", brand), readable_formats(), orient=True)


def test_damaged_heic_is_one_reason() -> None:
    pytest.importorskip("pillow_heif", reason="pillow-heif is not installed: no HEIC is read")
    load_image(_heic(), readable_formats(), orient=True)
    for data in (HEIC_HEADER, _heic()[:-50]):
        with pytest.raises(UnreadableError, match="not a readable image"):
            load_image(data, readable_formats(), orient=True)


def _heic() -> bytes:
    buffer = io.BytesIO()
    FLAT.save(buffer, "HEIF")
    return buffer.getvalue()
