"""Packs folders into archives, and writes members and headers as no packer would."""

from __future__ import annotations

import io
import tarfile
import zipfile
from pathlib import Path


def pack(folder: Path, archive: Path, mode: str = "w:gz") -> Path:
    """`folder` as a tar archive that unpacks to a folder of its name."""
    with tarfile.open(archive, mode) as tar:  # type: ignore[call-overload]
        tar.add(folder, folder.name)
    return archive


def add_member(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(data)
    tar.addfile(member, io.BytesIO(data))


def tar_header(name: bytes, size: bytes, kind: bytes = b"0") -> bytes:
    """A tar header whose fields are written as given, with a good checksum."""
    header = bytearray(512)
    header[: len(name)] = name
    header[100:108], header[108:116], header[116:124] = b"0000644\0", b"0000000\0", b"0000000\0"
    header[124:136], header[136:148], header[148:156] = size, b"00000000000\0", b" " * 8
    header[156:157], header[257:265] = kind, b"ustar\x0000"
    header[148:156] = b"%06o\0 " % sum(header)
    return bytes(header)


def zipped(folder: Path, archive: Path, packing: int = zipfile.ZIP_STORED) -> Path:
    """`folder` as a zip archive that unpacks to a folder of its name."""
    with zipfile.ZipFile(archive, "w", packing) as file:
        for path in sorted(folder.rglob("*")):
            file.write(path, Path(folder.name) / path.relative_to(folder))
    return archive
