"""Finds the plain files of a tar archive, header by header.

The standard library takes apart a single header here, and no archive: `tarfile.TarFile` keeps all members, each with a
copy of what extended headers said before it, and reads those headers and the maps of sparse files whole. Nothing of
that is needed to find a file by its base name.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, NamedTuple, cast

MAX_UNPACKED_BYTES = 1 << 30
MAX_HEADERS = 10_000
PACKINGS: dict[bytes, Callable[[Path], Any]] = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ\x00": lzma.open}
"""How files begin that hold packed data, and what unpacks them."""
EXTENDED = (
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
)
"""Headers with content, about the header that follows: passed over."""


class Member(NamedTuple):
    """A plain file: its base name, where its bytes begin in the unpacked archive, and how many there are."""

    name: str
    start: int
    size: int


def unpacked(location: Path) -> BinaryIO:
    """The tar archive in the file, unpacked as it is read."""
    with location.open("rb") as file:
        magic = file.read(max(map(len, PACKINGS)))
    packings = [opener for beginning, opener in PACKINGS.items() if magic.startswith(beginning)]
    return cast(BinaryIO, packings[0](location) if packings else location.open("rb"))


def plain_files(stream: BinaryIO) -> Iterator[Member]:
    """The plain files of an unpacked archive, in its order.

    Raises:
        tarfile.TarError, EOFError, ValueError: it is damaged, cut short, too large or has too many members.
    """
    offset = 0
    for _ in range(MAX_HEADERS):
        if offset:  # behind the end a file can be sought, and nothing is read there
            stream.seek(offset - 1)
            if not stream.read(1):
                raise EOFError("it ends inside a member")
        block = stream.read(tarfile.BLOCKSIZE)
        if offset and not any(block):
            return  # the empty block at the end, which some programs leave out
        header = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
        offset += tarfile.BLOCKSIZE
        # checked header by header: the archive is unpacked only as far as it was seen to be harmless
        if not 0 <= header.size <= MAX_UNPACKED_BYTES - offset:
            raise ValueError(f"unpacks to more than {MAX_UNPACKED_BYTES >> 30} GiB")
        if header.type == tarfile.GNUTYPE_SPARSE:
            raise ValueError("a member has holes")
        if header.isreg():
            yield Member(PurePosixPath(header.name).name, offset, header.size)
        # links, folders and devices may say a size, and have no content
        if header.isreg() or header.type in EXTENDED or header.type not in tarfile.SUPPORTED_TYPES:
            offset += -(-header.size // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE
    raise ValueError(f"more than {MAX_HEADERS:,} members")


class MemberFile(io.RawIOBase):
    """A member, to be read from its start; one at a time."""

    def __init__(self, stream: BinaryIO, member: Member) -> None:
        self._stream, self._place, self._end = stream, member.start, member.start + member.size

    def read(self, size: int = -1) -> bytes:
        """The next `size` bytes, or all that are left."""
        left = self._end - self._place
        self._stream.seek(self._place)
        data = self._stream.read(left if size < 0 else min(size, left))
        self._place += len(data)
        return data
