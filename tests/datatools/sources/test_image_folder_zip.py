"""A zip archive of a folder gives what the folder gives, and is not trusted."""

from __future__ import annotations

import stat
import zipfile
from pathlib import Path

import pytest

from datatools.conversion import convert
from datatools.files import trees
from datatools.format.records import file_sha256
from tests.support.factories import tree
from tests.support.official_files import image_folder_set, png, write_image_folder
from tests.support.own_images import PIXELS, names, put, refusal

PNG = png(PIXELS)


def archive(path: Path, members: dict[str, bytes], packing: int = zipfile.ZIP_STORED) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", packing) as file:
        for name, data in members.items():
            file.writestr(name, data)
    return path


def pets(prefix: str = "") -> dict[str, bytes]:
    return {f"{prefix}{name}/{number}.png": PNG for name in ("cat", "dog") for number in range(3)}


def zipped(folder: Path, path: Path, prefix: str) -> Path:
    content = {str(Path(prefix) / name.relative_to(folder)): name.read_bytes() for name in folder.rglob("*.png")}
    return archive(path, content, zipfile.ZIP_DEFLATED)


@pytest.mark.parametrize("prefix", ["", "photos", "photos/all"])
@pytest.mark.parametrize("splits", [["train"], ["train", "test"]])
@pytest.mark.parametrize("workers", [1, 2])
def test_it_gives_the_bytes_of_its_folder(tmp_path: Path, prefix: str, splits: list[str], workers: int) -> None:
    folder = write_image_folder(tmp_path / "pets", image_folder_set(), splits)
    location = zipped(folder, tmp_path / "zips" / "pets.zip", prefix)
    made = [
        convert("image-folder", source=source, root=tmp_path / source.name, workers=workers).dataset
        for source in (folder, location)
    ]
    assert made[1].path.name == "pets"
    trees_of = [{**tree(dataset.path), "dataset.json": b""} for dataset in made]
    assert trees_of[1] == trees_of[0]
    source = made[1].metadata.source
    assert (source["location"], source["sha256"]) == (str(location / prefix), file_sha256(location))


def test_a_single_class_without_folders_in_it_is_a_class(tmp_path: Path) -> None:
    location = archive(tmp_path / "pets.zip", {f"cat/{number}.png": PNG for number in range(3)})
    assert convert("image-folder", source=location, out=tmp_path / "out").dataset.metadata.class_names == ("cat",)


def test_what_a_mac_adds_is_passed_over(tmp_path: Path) -> None:
    extra = {"__MACOSX/photos/cat/._0.png": b"x", "__MACOSX/photos/._cat": b"x", "photos/.DS_Store": b"x"}
    location = archive(tmp_path / "pets.zip", {**pets("photos/"), **extra})
    made = convert("image-folder", source=location, out=tmp_path / "out")
    assert made.notices == (
        f"{location / 'photos'}: hidden and system files and folders, passed over: 2 (.DS_Store, __MACOSX)",
    )


def test_an_empty_class_folder_is_named(tmp_path: Path) -> None:
    location = archive(tmp_path / "pets.zip", {**pets(), "eel/": b""})
    assert f"{location / 'eel'}: no images in this class folder" in refusal(location, tmp_path)


@pytest.mark.parametrize("name", ["../out.png", "/etc/a.png", "cat/../../a.png", "cat\\a.png"])
def test_members_that_lead_out_are_bad_files(tmp_path: Path, name: str) -> None:
    location = archive(tmp_path / "zips" / "pets.zip", {**pets(), name: PNG})
    assert f"{name}: a link, or a path that leads out of the archive" in refusal(location, tmp_path)
    made = convert("image-folder", source=location, out=tmp_path / "made" / "out", skip_bad=True)
    assert sorted(path for paths in names(made.dataset.path).values() for path in paths) == sorted(pets())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["made", "zips"]


def test_a_link_in_an_archive_is_a_bad_file(tmp_path: Path) -> None:
    location = archive(tmp_path / "pets.zip", pets())
    link = zipfile.ZipInfo("cat/passwd.png")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(location, "a") as file:
        file.writestr(link, "/etc/passwd")
    assert "cat/passwd.png: a link" in refusal(location, tmp_path)


def test_a_bomb_is_refused_before_it_is_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    location = archive(tmp_path / "pets.zip", {**pets(), "cat/a.bmp": bytes(4 << 20)}, zipfile.ZIP_DEFLATED)
    monkeypatch.setattr(trees, "MAX_UNPACKED_BYTES", 1 << 20)
    message = refusal(location, tmp_path)
    assert f"{location}: {location.stat().st_size:,} bytes that unpack to " in message
    assert "at most 100 times" in message


def test_a_member_larger_than_an_image_is_a_bad_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("datatools.sources.image_folder.MAX_IMAGE_BYTES", 1000)
    location = archive(tmp_path / "pets.zip", {**pets(), "cat/a.bmp": bytes(1001)})
    assert "cat/a.bmp: larger than the 1,000 bytes that are expected at most" in refusal(location, tmp_path)


@pytest.mark.parametrize("packing", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@pytest.mark.parametrize("workers", [1, 2])
def test_damaged_members_are_bad_files_all_at_once(tmp_path: Path, packing: int, workers: int) -> None:
    location = archive(tmp_path / "pets.zip", pets(), packing)
    data = bytearray(location.read_bytes())
    with zipfile.ZipFile(location) as file:
        for name in ("cat/1.png", "dog/2.png"):
            data[file.getinfo(name).header_offset + 30 + len(name) + 60] ^= 0xFF
    location.write_bytes(data)
    message = refusal(location, tmp_path, workers=workers)
    assert "2 of 6 files cannot be used" in message
    assert "cat/1.png: damaged or cut short (" in message
    assert "dog/2.png: damaged or cut short (" in message
    made = convert("image-folder", source=location, out=tmp_path / "out", skip_bad=True, workers=workers).dataset
    assert made.metadata.skipped is not None
    assert made.metadata.skipped["files"] == 2


def test_what_is_no_zip_is_refused(tmp_path: Path) -> None:
    (tmp_path / "pets.zip").write_bytes(b"no zip")
    assert "pets.zip: damaged or cut short" in refusal(tmp_path / "pets.zip", tmp_path)
    put(tmp_path / "pets.png")
    assert "a folder of class folders, or a .zip of one" in refusal(tmp_path / "pets.png", tmp_path)
