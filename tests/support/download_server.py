"""A server of this machine's own to download from, which can be told to misbehave."""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler

CONTENT = bytes(range(256)) * 1200
MD5 = hashlib.md5(CONTENT, usedforsecurity=False).hexdigest()


@dataclass
class Behaviour:
    """How the server answers; `asked` is what it was asked for: (path, Range)."""

    files: dict[str, bytes] = field(default_factory=dict)
    ranges: bool = True
    cut_after: int | None = None
    seconds: float = 0.0
    status: int = 200
    redirect: str | None = None
    length: int | None = -1  # -1: the true one, None: none
    shift: int = 0
    asked: list[tuple[str, str | None]] = field(default_factory=list)


class Handler(BaseHTTPRequestHandler):
    behaviour: Behaviour

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        how, wanted = self.behaviour, self.headers.get("Range")
        how.asked.append((self.path, wanted))
        if how.redirect is not None and not self.path.endswith("/moved"):
            self.send_response(302)
            self.send_header("Location", how.redirect)
            self.end_headers()
            return
        data = how.files.get(self.path.partition("?")[0].removesuffix("/moved"))
        if data is None or how.status != 200:
            self.send_error(404 if data is None else how.status)
            return
        self.answer(data, int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and how.ranges else None)

    def answer(self, data: bytes, start: int | None) -> None:
        how = self.behaviour
        if start is not None and start >= len(data):
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(data)}")
            self.end_headers()
            return
        if start is not None:
            start += how.shift
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
            data = data[start:]
        else:
            self.send_response(200)
        if how.length is not None:
            self.send_header("Content-Length", str(len(data) if how.length == -1 else how.length))
        self.end_headers()
        if how.seconds:
            self.wfile.write(data[:10])
            self.wfile.flush()
            time.sleep(how.seconds)
            data = data[10:]
        self.wfile.write(data if how.cut_after is None else data[: how.cut_after])


@dataclass
class Server:
    url: str
    how: Behaviour
