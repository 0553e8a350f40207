"""Where a source's files lie: a folder or a tar archive, read the same way.

Archives are untrusted. Members are read by name, in place, and never extracted; only plain files are seen; an archive
that unpacks to more, or to more members, than any image set of this kind is refused.
"""

from __future__ import annotations

import lzma
import tarfile
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Protocol, cast

from datatools.errors import DataToolsError
from datatools.files import tars

BROKEN_ARCHIVE = (
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    ValueError,
    OverflowError,  # a seek to an offset beyond 2^63
    NotImplementedError,  # zipfile, for a compression or a version it does not know
    RuntimeError,  # zipfile, for an encrypted member
)
"""What the standard library raises on an archive that is damaged, cut short or forged."""


class SourceFiles(Protocol):
    """The files of a source by their base names.

    Attributes:
        many_readers: whether several files can be read at the same time.
    """

    location: Path
    many_readers: bool

    def size(self, name: str) -> int | None:
        """Size in bytes, or None where there is no such file."""

    def open(self, name: str) -> BinaryIO:
        """Open a file that `size` knows, for reading from its start."""


class FolderFiles:
    """The plain files directly inside a folder."""

    many_readers = True

    def __init__(self, location: Path) -> None:
        self.location = location

    def size(self, name: str) -> int | None:
        path = self.location / name
        return path.stat().st_size if path.is_file() else None

    def open(self, name: str) -> BinaryIO:
        return (self.location / name).open("rb")


class TarFiles:
    """The plain files of a tar archive, whatever its compression, whatever folder they are in."""

    many_readers = False

    def __init__(self, location: Path) -> None:
        self.location = location
        with archive_errors(location):
            self._stream = tars.unpacked(location)
            self._members = {member.name: member for member in tars.plain_files(self._stream)}

    def size(self, name: str) -> int | None:
        member = self._members.get(name)
        return None if member is None else member.size

    def open(self, name: str) -> BinaryIO:
        return cast(BinaryIO, tars.MemberFile(self._stream, self._members[name]))


@contextmanager
def archive_errors(location: Path, member: str = "") -> Iterator[None]:
    """Turn what a broken archive, or a broken member of it, raises into one line."""
    try:
        yield
    except (*BROKEN_ARCHIVE, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # the system's; what bz2 and gzip say of damaged data has no number
        reason = " ".join(str(error).split())[:100] or type(error).__name__
        raise DataToolsError(f"{location / member}: damaged or cut short ({reason}); fetch it again") from None


def open_files(location: Path, folders: Sequence[str]) -> SourceFiles:
    """The files of an archive or a folder.

    Args:
        folders: names of the folder the official archive unpacks to; looked into where `location` has one.
    """
    if location.is_dir():
        inner = [location / folder for folder in folders if (location / folder).is_dir()]
        return FolderFiles(inner[0] if inner else location)
    if location.is_file():
        return TarFiles(location)
    raise DataToolsError(f"{location}: no such file or folder; give --source an archive or an unpacked folder")


def read_whole(files: SourceFiles, name: str, limit: int) -> bytes:
    """The content of a small file.

    Raises:
        DataToolsError: it is missing, or larger than `limit` bytes.
    """
    size = files.size(name)
    if size is None:
        raise DataToolsError(f"{files.location}: no file {name}; the set is incomplete: fetch it again")
    if size > limit:
        raise DataToolsError(f"{files.location}: {name} has {size:,} bytes, at most {limit:,} are expected")
    with archive_errors(files.location), files.open(name) as file:
        data = file.read(limit + 1)
    if len(data) != size:
        raise DataToolsError(f"{files.location}: {name} ends after {len(data):,} of {size:,} bytes; fetch it again")
    return data
