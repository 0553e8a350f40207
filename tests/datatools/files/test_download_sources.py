"""What convert makes of downloads: the official archives, their mirrors, and others."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import pytest

from datatools.conversion import convert
from datatools.errors import DataToolsError
from datatools.files.addresses import Archive, url_name
from datatools.sources import cifar, mnist, tiny_imagenet
from tests.support.archives import pack, zipped
from tests.support.cifar_files import cifar10_set, write_cifar10_binary
from tests.support.download_server import Server
from tests.support.factories import close_network
from tests.support.official_files import mnist_set, tiny_imagenet_set, write_mnist, write_tiny_imagenet


def offer(server: Server, monkeypatch: pytest.MonkeyPatch, archive: Path) -> Archive:
    """Let the server be CIFAR-10's official one."""
    data = archive.read_bytes()
    server.how.files["/cifar-10-binary.tar.gz"] = data
    monkeypatch.setattr(cifar, "ADDRESS", f"{server.url}/")
    layout = cifar.CIFAR10.__class__(
        **{**vars(cifar.CIFAR10), "md5": (md5_of(data), "0" * 32), "sizes": (len(data), 0)}
    )
    monkeypatch.setattr(cifar, "CIFAR10", layout)
    return layout.archives[0]


def md5_of(data: bytes) -> str:
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    folder = write_cifar10_binary(tmp_path / "made" / "cifar-10-batches-bin", cifar10_set())
    return pack(folder, tmp_path / "made" / "cifar-10-binary.tar.gz")


def test_the_official_archive_is_downloaded_once(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, archive: Path
) -> None:
    official = offer(server, monkeypatch, archive)
    seen: list[tuple[int, int]] = []
    root = tmp_path / "data"
    made = convert("cifar10", root=root, download_progress=lambda done, total: seen.append((done, total)))
    assert seen[-1] == (archive.stat().st_size, archive.stat().st_size)
    assert f"downloaded from {official.url}" in made.notices[0]
    assert made.dataset.metadata.source["location"] == str(root / "raw" / "cifar-10-binary.tar.gz")
    convert("cifar10", root=root, overwrite=True)
    assert len(server.how.asked) == 1
    assert sorted(path.name for path in root.iterdir()) == ["cifar10", "raw"]


def test_what_lies_under_raw_needs_no_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, archive: Path) -> None:
    close_network(monkeypatch)
    (tmp_path / "data" / "raw").mkdir(parents=True)
    archive.rename(tmp_path / "data" / "raw" / archive.name)
    assert convert("cifar10", root=tmp_path / "data").dataset.metadata.num_records("train") == 50


def test_a_cut_download_goes_on_when_convert_is_run_again(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, archive: Path
) -> None:
    offer(server, monkeypatch, archive)
    server.how.cut_after = 5000
    with pytest.raises(DataToolsError, match="run it again"):
        convert("cifar10", root=tmp_path / "data")
    assert [path.name for path in (tmp_path / "data").rglob("*")] == ["raw", "cifar-10-binary.tar.gz.part"]
    server.how.cut_after = None
    convert("cifar10", root=tmp_path / "data")
    assert server.how.asked[1] == ("/cifar-10-binary.tar.gz", "bytes=5000-")


def test_a_mirror_of_the_official_archive_is_held_to_its_checksum(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, archive: Path
) -> None:
    offer(server, monkeypatch, archive)
    url = f"{server.url}/mirror/cifar-10-binary.tar.gz"
    server.how.files["/mirror/cifar-10-binary.tar.gz"] = archive.read_bytes()
    made = convert("cifar10", root=tmp_path / "data", source=url)
    assert "the official archive's" in made.notices[0]
    assert made.dataset.metadata.source["sha256"] == hashlib.sha256(archive.read_bytes()).hexdigest()
    again = convert("cifar10", root=tmp_path / "data", source=url, overwrite=True)
    assert "there already" in again.notices[0]
    server.how.files["/mirror/cifar-10-binary.tar.gz"] = archive.read_bytes()[:-1] + b"x"
    with pytest.raises(DataToolsError, match="MD5"):
        convert("cifar10", root=tmp_path / "other", source=url)
    assert not list((tmp_path / "other").rglob("*.*"))


def test_another_archive_is_taken_and_said_to_be_unchecked(server: Server, tmp_path: Path, archive: Path) -> None:
    server.how.files["/my-cifar.tgz"] = archive.read_bytes()
    made = convert("cifar10", root=tmp_path / "data", source=f"{server.url}/my-cifar.tgz?key=1")
    assert "downloaded unchecked" in made.notices[0]
    assert (tmp_path / "data" / "raw" / "my-cifar.tgz").is_file()


def test_tiny_imagenet_is_downloaded(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, _ = write_tiny_imagenet(tmp_path / "made" / "tiny-imagenet-200", tiny_imagenet_set())
    data = zipped(folder, tmp_path / "made" / "tiny.zip").read_bytes()
    server.how.files["/tiny-imagenet-200.zip"] = data
    monkeypatch.setattr(
        tiny_imagenet, "ARCHIVE", Archive("tiny-imagenet-200.zip", f"{server.url}/tiny-imagenet-200.zip", md5_of(data))
    )
    assert convert("tiny-imagenet", root=tmp_path / "data").dataset.metadata.num_records("train") == 12


@pytest.mark.parametrize("mirror", [False, True])
def test_mnist_is_four_files(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mirror: bool) -> None:
    folder = write_mnist(tmp_path / "made", mnist_set(), gzipped=True)
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    server.how.files |= {f"/m/{name}": data for name, data in files.items()}
    monkeypatch.setattr(
        mnist,
        "ARCHIVES",
        tuple(
            Archive(
                archive.name, f"{server.url}/{'away' if mirror else 'm'}/{archive.name}", md5_of(files[archive.name])
            )
            for archive in mnist.ARCHIVES
        ),
    )
    source = f"{server.url}/m" if mirror else None
    missing = server.how.files.pop("/m/t10k-labels-idx1-ubyte.gz")
    with pytest.raises(DataToolsError, match="404"):
        convert("mnist", root=tmp_path / "data", source=source)
    server.how.files["/m/t10k-labels-idx1-ubyte.gz"] = missing
    assert convert("mnist", root=tmp_path / "data", source=source).dataset.metadata.num_records("train") == 30
    assert len(server.how.asked) == 5  # what was there was not fetched again
    assert len(list((tmp_path / "data" / "raw" / "mnist").iterdir())) == 4


def test_the_published_checksums_are_whole() -> None:
    archives = [*cifar.CIFAR10.archives, *cifar.CIFAR100.archives, tiny_imagenet.ARCHIVE, *mnist.ARCHIVES]
    assert len({archive.md5 for archive in archives}) == len({archive.url for archive in archives}) == 9
    assert len({archive.size for archive in archives} - {None}) == 9
    for archive in archives:
        assert re.fullmatch(r"[0-9a-f]{32}", archive.md5)
        assert archive.sha256 is None or re.fullmatch(r"[0-9a-f]{64}", archive.sha256)
        assert url_name(archive.url) == archive.name
