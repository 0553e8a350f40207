"""A folder of images or the zip archive of one, read the same way.

Archives are untrusted: members are read in place, nothing is extracted, and only plain files with a harmless path are
seen: no links, no `..`, no absolute paths.
"""

from __future__ import annotations

import io
import os
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from datatools.errors import DataToolsError
from datatools.files.archives import archive_errors
from datatools.names import is_plain_path

Encoded = bytes | Path
"""An image file on its way to a decoder: its content, or where another process finds it."""
LOCAL_HEADER = struct.Struct("<4s5H3L2H")
DIRECTORY_ENTRY = b"PK\x01\x02"
MAX_DIRECTORY_BYTES = 64 << 20
MAX_MEMBERS = 300_000
"""Tiny-ImageNet has 120,000. zipfile makes an object of each, before anything can be asked."""
MAX_UNPACKED_BYTES = 4 << 30
MAX_RATIO = 100
"""Deflate makes 1,000 bytes of one at most; members that overlap make any number. Images hardly pack at all."""
EXTRA_BYTES = 64
"""How much longer a member's own header may be than the directory says, and still be read at once with its content."""
ENCRYPTED = 1


class Tree(Protocol):
    """The files below a folder, by their path there (with "/")."""

    location: Path

    def names(self) -> list[str]:
        """All of them, in no particular order."""

    def read(self, name: str, limit: int) -> bytes:
        """The content of a file; raises DataToolsError if it is missing or larger than `limit` bytes."""

    def encoded(self, name: str, limit: int) -> Encoded:
        """What another process needs to read the file."""


class FolderTree:
    """A folder."""

    def __init__(self, location: Path) -> None:
        self.location = location

    def names(self) -> list[str]:
        return list(self._names())

    def _names(self) -> Iterator[str]:
        prefixes = [""]
        while prefixes:
            prefix = prefixes.pop()
            with os.scandir(self.location / prefix) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):  # a link to a folder could lead round in a circle
                        prefixes.append(f"{prefix}{entry.name}/")
                    elif entry.is_file():
                        yield prefix + entry.name

    def read(self, name: str, limit: int) -> bytes:
        try:
            return read_file(self.location / name, limit)
        except FileNotFoundError:
            raise _missing(self.location, name) from None

    def encoded(self, name: str, limit: int) -> Encoded:
        return self.location / name


class _ZipFile(io.BufferedReader):
    """The file of an archive. zipfile reads the directory in one piece; one beyond an image set's does not reach it."""

    def read(self, size: int | None = -1) -> bytes:
        if size is not None and size > MAX_DIRECTORY_BYTES:
            raise zipfile.BadZipFile(f"a directory of {size:,} bytes")
        data = super().read(size)
        if data.count(DIRECTORY_ENTRY) > MAX_MEMBERS:
            raise zipfile.BadZipFile(f"more than {MAX_MEMBERS:,} members")
        return data


class ZipTree:
    """A zip archive."""

    def __init__(self, location: Path) -> None:
        self.location = location
        with archive_errors(location):
            self._file = _ZipFile(location.open("rb", buffering=0))
            self._size = location.stat().st_size
            self._archive = zipfile.ZipFile(self._file)
            self._members = {info.filename: info for info in self._archive.infolist() if _is_plain(info)}

    def names(self) -> list[str]:
        return list(self._members)

    def folders(self) -> list[str]:
        """The folders that it names, which may be empty; not all archives name the others."""
        return [
            name for info in self._archive.infolist() if info.is_dir() and is_plain_path(name := info.filename[:-1])
        ]

    def unseen(self) -> list[str]:
        """Members that are not read: links, and paths that are no harmless ones."""
        members = self._archive.infolist()
        return [info.filename for info in members if info.filename not in self._members and not info.is_dir()]

    def check_unpacked_size(self) -> None:
        """Refuse an archive that claims to unpack to MAX_RATIO times its size, and to more than MAX_UNPACKED_BYTES."""
        unpacked = sum(info.file_size for info in self._members.values())
        if unpacked > max(MAX_UNPACKED_BYTES, MAX_RATIO * self._size):
            raise DataToolsError(
                f"{self.location}: {self._size:,} bytes that unpack to {unpacked:,}, at most {MAX_RATIO} times as many "
                "are expected; unpack it yourself if you trust it"
            )

    def read(self, name: str, limit: int) -> bytes:
        info = self._members.get(name)
        if info is None:
            raise _missing(self.location, name)
        if info.file_size > limit:
            raise _too_large(self.location / name, limit)
        with archive_errors(self.location, name):
            if not 0 <= info.header_offset < self._size:
                raise zipfile.BadZipFile("it lies outside the archive")
            if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise NotImplementedError("packed otherwise than by deflate")
            if info.compress_type == zipfile.ZIP_STORED and not info.flag_bits & ENCRYPTED:
                return self._stored(info)
            with self._archive.open(info) as file:
                data = file.read(limit + 1)
        if len(data) > limit:
            raise _too_large(self.location / name, limit)
        return data

    def encoded(self, name: str, limit: int) -> Encoded:
        # read here, so that no other process has to hold the archive's directory: 120,000 members are 100 MB
        return self.read(name, limit)

    def _stored(self, info: zipfile.ZipInfo) -> bytes:
        """An uncompressed member, as most images are: zipfile's way to it takes as long as half the decoding."""
        descriptor = self._file.fileno()
        # header and content in one go: the directory knows the name's length, and nearly that of the rest
        expected = LOCAL_HEADER.size + len(info.orig_filename.encode()) + len(info.extra) + EXTRA_BYTES
        data_read = os.pread(descriptor, expected + info.file_size, info.header_offset)
        if len(data_read) < LOCAL_HEADER.size:
            raise EOFError("the archive ends inside it")
        signature, *_, name_length, extra_length = LOCAL_HEADER.unpack_from(data_read)
        if signature != b"PK\x03\x04":
            raise zipfile.BadZipFile("no file header where the directory says")
        start = LOCAL_HEADER.size + name_length + extra_length
        data = data_read[start : start + info.file_size]
        if len(data) != info.file_size:
            data = os.pread(descriptor, info.file_size, info.header_offset + start)
        if len(data) != info.file_size or zlib.crc32(data) != info.CRC:
            raise zipfile.BadZipFile("its checksum is wrong")
        return data


def _is_plain(info: zipfile.ZipInfo) -> bool:
    """Whether it is a plain file with a path that stays inside: no folder, no link."""
    return stat.S_IFMT(info.external_attr >> 16) in (0, stat.S_IFREG) and is_plain_path(info.filename)


def open_tree(location: Path, inner: str) -> Tree:
    """The tree at `location`: a folder, the folder `inner` in it where there is one, or a zip archive.

    Raises:
        DataToolsError: neither, or a broken archive.
    """
    if location.is_dir():
        return FolderTree(location / inner if (location / inner).is_dir() else location)
    if location.is_file():
        return ZipTree(location)
    raise DataToolsError(f"{location}: no such file or folder; give --source a zip archive or an unpacked folder")


def read_file(path: Path, limit: int) -> bytes:
    """The content of a file; raises DataToolsError if it is larger than `limit` bytes."""
    with path.open("rb") as file:
        data = file.read(limit + 1)
    if len(data) > limit:
        raise _too_large(path, limit)
    return data


def _missing(location: Path, name: str) -> DataToolsError:
    return DataToolsError(f"{location}: no {name} in it; the set is incomplete or another one: fetch it again")


def _too_large(origin: Path, limit: int) -> DataToolsError:
    return DataToolsError(f"{origin}: larger than the {limit:,} bytes that are expected at most; fetch the set again")
