"""Official archives over HTTP: resumed where they were cut, and checked before they get their name.

A file grows as NAME.part beside its place and is renamed when its checksum is right, so a file under its own name is
whole. Proxy variables (http_proxy, https_proxy, no_proxy) are respected, as urllib does.
"""

from __future__ import annotations

import email.message
import fcntl
import hashlib
import http.client
import os
import re
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from datatools.errors import DataToolsError
from datatools.files.addresses import Archive
from datatools.files.connections import DEFAULT_LIMITS, Limits, Watch
from datatools.progress import Progress

MAX_BYTES = 8 << 30
"""No archive of this project is larger; a server that sends more is cut off."""
BLOCK_BYTES = 1 << 18


def download(
    url: str, target: Path, official: Archive | None, progress: Progress, limits: Limits = DEFAULT_LIMITS
) -> None:
    """Fetch `url` to `target`.

    What an earlier run left in `target`.part is continued where the checksum is known, so that a wrong beginning cannot
    go unnoticed; otherwise it is fetched from the start.

    Args:
        official: the archive that it has to be, by its size and checksums, or None where none is published.

    Raises:
        DataToolsError: no connection, no such file, cut short, too slow, of another size, or of another checksum.
    """
    part = target.with_name(f"{target.name}.part")
    try:
        _fetch(url, part, official, progress, limits)
    except (_NetworkError, urllib.error.URLError, http.client.HTTPException, ValueError) as error:
        kept = f" {part} keeps what came: run it again to go on." if official and part.exists() else ""
        raise DataToolsError(
            f"{url}: cannot be downloaded ({_reason(error)}).{kept} Or fetch it by other means and put it at "
            f"{target}, or name a file or a mirror's address with --source"
        ) from None
    if official is not None:
        _check_digests(url, part, official)
    part.replace(target)


class _NetworkError(Exception):
    """The connection failed, or ended before the file did."""


def _reason(error: Exception) -> str:
    if isinstance(error, urllib.error.HTTPError):
        return " ".join(f"the server answered {error.code} {error.reason}".split())[:150]
    cause = error.reason if isinstance(error, urllib.error.URLError) else error.__cause__ or error
    text = cause.strerror if isinstance(cause, OSError) and cause.strerror else str(cause)
    return " ".join(text.split())[:150] or type(cause).__name__


def _fetch(url: str, part: Path, official: Archive | None, progress: Progress, limits: Limits) -> None:
    """Bring `part` to the whole content of `url`; what is there of an official archive is kept where that can be."""
    start = part.stat().st_size if official is not None and part.is_file() else 0
    with Watch(limits) as watch:
        try:
            response = _open(watch, url, start)
        except urllib.error.HTTPError as error:
            if error.code != http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE or not start:
                raise
            if _whole_size(error.headers) == start:
                return  # all of it came the last time
            start = 0
            response = _open(watch, url, 0)
        with response:
            if response.status != http.HTTPStatus.PARTIAL_CONTENT or _range_start(response.headers) != start:
                if response.status == http.HTTPStatus.PARTIAL_CONTENT:
                    raise ValueError("the server sent another part of the file than was asked for")
                start = 0
            length = response.headers.get("Content-Length", "")
            total = start + int(length) if length.isdecimal() else None
            _check_size(total or 0, official)
            if total is not None and official and official.size and total < official.size:
                raise ValueError(f"it has {total:,} bytes, the official archive {official.size:,}")
            part.parent.mkdir(parents=True, exist_ok=True)
            with _locked(part) as file:
                file.truncate(start)
                file.seek(start)
                for block in _blocks(response, watch):
                    _check_size(file.tell() + len(block), official)
                    file.write(block)
                    progress(file.tell(), max(file.tell(), total or 0))
                if total is not None and file.tell() != total:
                    raise _NetworkError(f"the connection ended after {file.tell():,} of {total:,} bytes")


def _open(watch: Watch, url: str, start: int) -> http.client.HTTPResponse:
    headers = {"User-Agent": "selfie-noisy-labels datatools", "Accept-Encoding": "identity"}
    if start:
        headers["Range"] = f"bytes={start}-"
    request = urllib.request.Request(url, headers=headers)
    with _network_errors(watch):
        response: http.client.HTTPResponse = watch.opener().open(request, timeout=watch.limits.silence)
    return response


def _blocks(response: http.client.HTTPResponse, watch: Watch) -> Iterator[bytes]:
    """What the server sends, until it ends."""
    block = b"-"
    while block:
        with _network_errors(watch):
            block = response.read1(BLOCK_BYTES)
            if watch.reason:
                raise OSError
        watch.received += len(block)
        yield block


@contextmanager
def _network_errors(watch: Watch) -> Iterator[None]:
    """Tell what the network is to blame for from what this machine is: a full disk, no permission."""
    try:
        yield
    except (OSError, http.client.HTTPException, ValueError) as error:
        if watch.reason:
            raise _NetworkError(watch.reason) from None
        if isinstance(error, OSError) and not isinstance(error, urllib.error.URLError):
            raise _NetworkError from error
        raise


def _range_start(headers: email.message.Message) -> int | None:
    match = re.match(r"bytes (\d+)-", headers.get("Content-Range", ""))
    return int(match[1]) if match else None


def _whole_size(headers: email.message.Message) -> int | None:
    match = re.fullmatch(r"bytes \*/(\d+)", headers.get("Content-Range", ""))
    return int(match[1]) if match else None


def _check_size(size: int, official: Archive | None) -> None:
    if official is not None and official.size is not None and size > official.size:
        raise ValueError(f"it is larger than the {official.size:,} bytes of the official archive")
    if size > MAX_BYTES:
        raise ValueError(f"it is larger than {MAX_BYTES:,} bytes, so not an archive meant here")


@contextmanager
def _locked(part: Path) -> Iterator[BinaryIO]:
    """`part`, open for writing by this process alone."""
    descriptor = os.open(part, os.O_RDWR | os.O_CREAT, 0o666)
    with os.fdopen(descriptor, "r+b") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DataToolsError(f"{part}: another process is downloading it; wait for that one") from None
        yield file


def _check_digests(url: str, part: Path, official: Archive) -> None:
    """Remove `part` and raise DataToolsError unless it has the official archive's checksums."""
    md5, sha256 = hashlib.md5(usedforsecurity=False), hashlib.sha256()
    with part.open("rb") as file:
        while block := file.read(BLOCK_BYTES):
            md5.update(block)
            sha256.update(block)
    for name, digest, published in (
        ("MD5", md5.hexdigest(), official.md5),
        ("SHA-256", sha256.hexdigest(), official.sha256),
    ):
        if published is not None and digest != published:
            part.unlink()
            raise DataToolsError(
                f"{url}: {name} {digest}, the official archive's is {published}; what was downloaded is removed: run "
                "it again, or name another address with --source"
            )
