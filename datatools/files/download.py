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
from typing import IO, BinaryIO

from datatools.errors import DataToolsError
from datatools.files.addresses import is_url
from datatools.progress import Progress

MAX_BYTES = 8 << 30
"""No archive of this project is larger; a server that sends more is cut off."""
TIMEOUT_SECONDS = 30.0
"""How long the connection, and each wait for more bytes, may take."""
BLOCK_BYTES = 1 << 18


def download(url: str, target: Path, md5: str | None, progress: Progress, timeout: float = TIMEOUT_SECONDS) -> None:
    """Fetch `url` to `target`.

    What an earlier run left in `target`.part is continued where the checksum is known, so that a wrong beginning cannot
    go unnoticed; otherwise it is fetched from the start.

    Args:
        md5: the checksum to expect, 32 hexadecimal digits, or None where none is published.
        timeout: seconds to wait for a connection or for more bytes.

    Raises:
        DataToolsError: no connection, no such file, cut short, too large, or another checksum.
    """
    part = target.with_name(f"{target.name}.part")
    try:
        _fetch(url, part, md5 is not None, progress, timeout)
    except (OSError, http.client.HTTPException, ValueError) as error:
        if isinstance(error, OSError) and not isinstance(error, _NETWORK_ERRORS):
            raise  # this side's: no room, no permission
        kept = f" {part} keeps what came: run it again to go on." if md5 and part.exists() else ""
        raise DataToolsError(
            f"{url}: cannot be downloaded ({_reason(error)}).{kept} Or fetch it by other means and put it at "
            f"{target}, or name a file or a mirror's address with --source"
        ) from None
    digest = _file_md5(part)
    if md5 is not None and digest != md5:
        part.unlink()
        raise DataToolsError(
            f"{url}: MD5 {digest}, the official archive's is {md5}; what was downloaded is removed: run it again, or "
            "name another address with --source"
        )
    part.replace(target)


_NETWORK_ERRORS = (urllib.error.URLError, TimeoutError, ConnectionError)


class _CutError(ConnectionError):
    """The connection ended before the file did."""


class _WebOnly(urllib.request.HTTPRedirectHandler):
    """Follows redirects to http and https and to nothing else: a server must not make us read local files."""

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: http.client.HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        if not is_url(newurl):
            raise urllib.error.URLError(f"redirected to {newurl:.80}, which is not http or https")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _reason(error: Exception) -> str:
    if isinstance(error, urllib.error.HTTPError):
        return " ".join(f"the server answered {error.code} {error.reason}".split())[:150]
    cause = error.reason if isinstance(error, urllib.error.URLError) else error
    text = cause.strerror if isinstance(cause, OSError) and cause.strerror else str(cause)
    return " ".join(text.split())[:150] or type(cause).__name__


def _fetch(url: str, part: Path, resume: bool, progress: Progress, timeout: float) -> None:
    """Bring `part` to the whole content of `url`; what is there of it is kept where `resume` and the server allow."""
    start = part.stat().st_size if resume and part.is_file() else 0
    try:
        response = _open(url, start, timeout)
    except urllib.error.HTTPError as error:
        if error.code != http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE or not start:
            raise
        if _whole_size(error.headers) == start:
            return  # all of it came the last time
        start = 0
        response = _open(url, 0, timeout)
    with response:
        if response.status != http.HTTPStatus.PARTIAL_CONTENT or _range_start(response.headers) != start:
            if response.status == http.HTTPStatus.PARTIAL_CONTENT:
                raise ValueError("the server sent another part of the file than was asked for")
            start = 0
        length = response.headers.get("Content-Length", "")
        total = start + int(length) if length.isdecimal() else None
        _check_size(total or 0)
        part.parent.mkdir(parents=True, exist_ok=True)
        with _locked(part) as file:
            file.truncate(start)
            file.seek(start)
            _receive(response, file, start, total, progress)


def _open(url: str, start: int, timeout: float) -> http.client.HTTPResponse:
    headers = {"User-Agent": "selfie-noisy-labels datatools", "Accept-Encoding": "identity"}
    if start:
        headers["Range"] = f"bytes={start}-"
    opener = urllib.request.build_opener(_WebOnly)
    response: http.client.HTTPResponse = opener.open(urllib.request.Request(url, headers=headers), timeout=timeout)
    return response


def _range_start(headers: email.message.Message) -> int | None:
    match = re.match(r"bytes (\d+)-", headers.get("Content-Range", ""))
    return int(match[1]) if match else None


def _whole_size(headers: email.message.Message) -> int | None:
    match = re.fullmatch(r"bytes \*/(\d+)", headers.get("Content-Range", ""))
    return int(match[1]) if match else None


def _check_size(size: int) -> None:
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


def _receive(
    response: http.client.HTTPResponse, file: BinaryIO, start: int, total: int | None, progress: Progress
) -> None:
    done = start
    while block := response.read1(BLOCK_BYTES):
        done += len(block)
        _check_size(done)
        file.write(block)
        progress(done, max(done, total or 0))
    if total is not None and done != total:
        raise _CutError(f"the connection ended after {done:,} of {total:,} bytes")


def _file_md5(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
