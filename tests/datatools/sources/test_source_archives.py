"""Archives that are cut short, damaged or forged are refused with one line, and write nothing outside."""

from __future__ import annotations

import bz2
import gzip
import lzma
import tarfile
from pathlib import Path

import pytest

from datatools.conversion import convert
from tests.support.archives import add_member, pack, tar_header
from tests.support.children import PEAK_MEMORY, needs_proc, run_python
from tests.support.cifar_files import cifar10_set, write_cifar10_binary
from tests.support.factories import tree
from tests.support.opened_sources import refusal


@pytest.fixture
def batches(tmp_path: Path) -> Path:
    return write_cifar10_binary(tmp_path / "cifar-10-batches-bin", cifar10_set())


def base256(number: int) -> bytes:
    """The size field of a tar header for numbers that octal digits cannot hold."""
    if number < 0:
        return b"\xff" + (256**11 + number).to_bytes(11, "big")
    return b"\x80" + number.to_bytes(11, "big")


def test_members_outside_the_folder_write_nothing_outside(tmp_path: Path, batches: Path) -> None:
    archive, inner = tmp_path / "evil.tar.gz", tmp_path / "inner"
    absolute = tmp_path / "absolute"
    with tarfile.open(archive, "w:gz") as tar:
        for number, path in enumerate(sorted(batches.iterdir())):
            add_member(tar, f"{'../' * number}x/{path.name}", path.read_bytes())
        for name in ("../escaped", "../../escaped", str(absolute / "escaped"), "a/../../escaped"):
            add_member(tar, name, b"outside")
    inner.mkdir()
    before = tree(tmp_path)
    convert("cifar10", source=archive, out=inner / "out")
    after = {path: content for path, content in tree(tmp_path).items() if not path.startswith("inner/")}
    assert after == before
    assert sorted(path.name for path in inner.iterdir()) == ["out"]


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE])
def test_members_that_are_no_plain_files_are_not_followed(tmp_path: Path, batches: Path, kind: bytes) -> None:
    archive = tmp_path / "links.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        for path in sorted(batches.iterdir()):
            if path.name == "data_batch_2.bin":
                link = tarfile.TarInfo("x/data_batch_2.bin")
                link.type, link.linkname = kind, str(path)
                tar.addfile(link)
            else:
                add_member(tar, f"x/{path.name}", path.read_bytes())
    assert "data_batch_2.bin missing" in refusal("cifar10", archive, tmp_path)


@pytest.mark.parametrize("size", [1 << 31, 1 << 40, 1 << 80])
def test_a_member_that_claims_to_be_huge_is_refused(tmp_path: Path, size: int) -> None:
    archive = tmp_path / "huge.tar"
    archive.write_bytes(tar_header(b"data_batch_1.bin", base256(size)) + bytes(10_240))
    assert "1 GiB" in refusal("cifar10", archive, tmp_path)


@pytest.mark.parametrize("kind", [b"x", b"g", b"L", b"K"], ids=["pax", "global pax", "long name", "long link"])
@pytest.mark.parametrize("size", [1 << 62, 1 << 80])
@pytest.mark.parametrize("mode", ["plain", "gz"])
def test_a_header_that_claims_to_be_huge_is_refused(tmp_path: Path, kind: bytes, size: int, mode: str) -> None:
    archive = tmp_path / "huge.tar"
    content = tar_header(b"name", base256(size), kind) + bytes(10_240)
    archive.write_bytes(gzip.compress(content) if mode == "gz" else content)
    refusal("cifar10", archive, tmp_path)


@pytest.mark.parametrize("size", [-512, -1024, -1])
def test_a_member_of_negative_size_does_not_hang(tmp_path: Path, size: int) -> None:
    good = tar_header(b"a", b"00000000000\0")
    (tmp_path / "negative.tar").write_bytes(good + tar_header(b"b", base256(size)) + bytes(10_240))
    child = run_python(
        """
import pathlib, sys
from datatools.errors import DataToolsError
from datatools.sources import open_source
from datatools.sources.base import Request
try:
    open_source("cifar10", Request(pathlib.Path(sys.argv[1]), pathlib.Path("raw")))
except DataToolsError:
    print("refused")
""",
        tmp_path / "negative.tar",
        timeout=5,
    )
    assert child.stdout == "refused\n", child.stderr


@needs_proc
def test_an_archive_that_unpacks_to_much_takes_little_memory(tmp_path: Path) -> None:
    # a long name of 300 MB, in 300 kB: tarfile reads it whole unless it is stopped
    size = 300 << 20
    with gzip.open(tmp_path / "bomb.tar.gz", "wb", compresslevel=1) as file:
        file.write(tar_header(b"././@LongLink", b"%011o\0" % size, b"L"))
        for _ in range(size >> 20):
            file.write(bytes(1 << 20))
        file.write(bytes(10_240))
    child = run_python(
        PEAK_MEMORY
        + """
import pathlib, sys
from datatools.errors import DataToolsError
from datatools.sources import cifar, open_source
from datatools.sources.base import Request
before = peak_memory()
try:
    open_source("cifar10", Request(pathlib.Path(sys.argv[1]), pathlib.Path("raw")))
except DataToolsError:
    print(peak_memory() - before)
""",
        tmp_path / "bomb.tar.gz",
    )
    assert child.stdout, child.stderr
    assert int(child.stdout) < 100 << 10  # KiB


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:bz2", "w:xz"])
@pytest.mark.parametrize("share", [0.0, 0.001, 0.3, 0.7, 0.95])
def test_an_archive_cut_short_is_refused(tmp_path: Path, batches: Path, mode: str, share: float) -> None:
    archive = pack(batches, tmp_path / "archive.tar", mode)
    data = archive.read_bytes()
    archive.write_bytes(data[: int(len(data) * share)])
    assert str(archive) in refusal("cifar10", archive, tmp_path)


@pytest.mark.parametrize("mode", ["w:gz", "w:bz2", "w:xz"])
@pytest.mark.parametrize("share", [0.01, 0.5, 0.9])
def test_a_packed_archive_that_is_damaged_is_refused(tmp_path: Path, batches: Path, mode: str, share: float) -> None:
    archive = pack(batches, tmp_path / "archive.tar", mode)
    data = bytearray(archive.read_bytes())
    start = int(len(data) * share)
    data[start : start + 400] = bytes(byte ^ 0x55 for byte in data[start : start + 400])
    archive.write_bytes(data)
    refusal("cifar10", archive, tmp_path)


@pytest.mark.parametrize(
    "content",
    [b"", b"no archive", gzip.compress(b"no tar", mtime=0), bz2.compress(b"no tar"), lzma.compress(b"no tar")],
)
def test_what_is_no_archive_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "archive").write_bytes(content)
    assert str(tmp_path / "archive") in refusal("cifar10", tmp_path / "archive", tmp_path)


def test_an_archive_within_an_archive_is_not_unpacked(tmp_path: Path, batches: Path) -> None:
    inner = pack(batches, tmp_path / "inner.tar.gz")
    with tarfile.open(tmp_path / "outer.tar.gz", "w:gz") as tar:
        tar.add(inner, "data_batch_1.bin")
    assert "missing" in refusal("cifar10", tmp_path / "outer.tar.gz", tmp_path)
