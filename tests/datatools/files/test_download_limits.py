"""Servers that keep a download waiting, send another size, or lead it from https to http: each is one line, soon."""

from __future__ import annotations

import email.message
import hashlib
import io
import socket
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from datatools.errors import DataToolsError
from datatools.files.addresses import Archive
from datatools.files.connections import Limits, Watch
from datatools.files.download import download
from datatools.sources import mnist
from tests.support.factories import real, tree

CONTENT = bytes(range(256)) * 40
MD5 = hashlib.md5(CONTENT, usedforsecurity=False).hexdigest()
OK = b"HTTP/1.1 200 OK\r\nContent-Type: x\r\n"
SLOW = Limits(silence=5, total=60, least_rate=1000, window=0.3)
Answer = Callable[[socket.socket], None]


class RawServer:
    """Answers every connection with what `answer` sends, byte by byte if it likes."""

    def __init__(self, answer: Answer) -> None:
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}/a.bin"
        self._answer = answer
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                connected, _ = self._listening.accept()
                with connected, suppress(OSError):
                    connected.recv(1 << 16)
                    self._answer(connected)

    def close(self) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self._thread.join(5)
        assert not self._thread.is_alive()


Serve = Callable[[Answer], str]


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Iterator[Serve]:
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    running: list[RawServer] = []

    def start(answer: Answer) -> str:
        running.append(RawServer(answer))
        return running[-1].url

    yield start
    for server in running:
        server.close()


def drip(before: bytes, again: bytes) -> Answer:
    """Sends `before`, and then `again` every 20 ms without end."""

    def answer(connected: socket.socket) -> None:
        connected.sendall(before)
        while True:
            connected.sendall(again)
            time.sleep(0.02)

    return answer


def send(data: bytes, then_wait: bool = False) -> Answer:
    """Sends `data`, and ends the connection, or leaves that to the other side."""

    def answer(connected: socket.socket) -> None:
        connected.sendall(data)
        if then_wait:
            connected.recv(1)

    return answer


def refusal(url: str, target: Path, limits: Limits, official: Archive | None) -> str:
    began = time.monotonic()
    with pytest.raises(DataToolsError) as caught:
        download(url, target, official, lambda *_: None, limits)
    assert time.monotonic() - began < 3
    assert not target.exists()
    message = str(caught.value)
    assert message.startswith(f"{url}: ")
    assert "\n" not in message
    return message


# --- time ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "again"),
    [
        (b"", b"H"),
        (OK + b"X-Header: ", b"x"),
        (OK, b"X: y\r\n"),
        (OK + b"Content-Length: 10240\r\n\r\n", b"c"),
        (OK + b"\r\n", b"c"),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n100;", b"x"),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\nc\r\n"),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n0\r\n", b"t"),
    ],
    ids=["status", "a header", "headers", "content", "no length", "length of a chunk", "chunks", "trailer"],
)
def test_a_server_that_sends_a_byte_now_and_then_is_given_up(
    serve: Serve, tmp_path: Path, before: bytes, again: bytes
) -> None:
    message = refusal(serve(drip(before, again)), tmp_path / "a.bin", SLOW, None)
    assert "too slow" in message or "got more than" in message  # a hundred headers end it too


def test_what_a_slow_server_sent_is_kept_for_the_next_time(serve: Serve, tmp_path: Path) -> None:
    url = serve(send(OK + b"Content-Length: 10240\r\n\r\n" + CONTENT[:900], then_wait=True))
    message = refusal(url, tmp_path / "a.bin", SLOW, Archive("a.bin", "", MD5))
    assert "too slow: 900 bytes in 0.3 seconds" in message or "too slow: 0 bytes" in message
    assert "a.bin.part keeps what came: run it again" in message
    assert tree(tmp_path) == {"a.bin.part": CONTENT[:900]}


def test_a_download_has_to_end_some_day(serve: Serve, tmp_path: Path) -> None:
    url = serve(drip(OK + b"\r\n", bytes(1000)))  # fast enough, and no end
    message = refusal(url, tmp_path / "a.bin", Limits(total=0.5, least_rate=1000, window=0.1), None)
    assert "it took longer than 0.5 seconds" in message


def test_a_download_within_its_limits_is_left_alone(serve: Serve, tmp_path: Path) -> None:
    def answer(connected: socket.socket) -> None:
        connected.sendall(OK + b"Content-Length: 10240\r\n\r\n")
        for start in range(0, len(CONTENT), 1024):
            connected.sendall(CONTENT[start : start + 1024])
            time.sleep(0.05)

    threads = threading.active_count()
    download(serve(answer), tmp_path / "a.bin", Archive("a.bin", "", MD5, len(CONTENT)), lambda *_: None, SLOW)
    assert tree(tmp_path) == {"a.bin": CONTENT}
    assert threading.active_count() == threads + 1  # the server's


# --- size and checksums ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("announced", [9_000, 11_000])
def test_another_size_than_the_archives_is_refused_before_it_comes(
    serve: Serve, tmp_path: Path, announced: int
) -> None:
    url = serve(send(OK + b"Content-Length: %d\r\n\r\n" % announced + bytes(100)))
    message = refusal(url, tmp_path / "raw" / "a.bin", SLOW, Archive("a.bin", "", MD5, len(CONTENT)))
    assert "official archive" in message
    assert "10,240" in message
    assert tree(tmp_path) == {}


def test_more_than_the_archive_has_is_cut_off(serve: Serve, tmp_path: Path) -> None:
    url = serve(drip(OK + b"\r\n" + CONTENT, bytes(4096)))
    message = refusal(url, tmp_path / "a.bin", SLOW, Archive("a.bin", "", MD5, len(CONTENT)))
    assert "larger than the 10,240 bytes of the official archive" in message
    assert (tmp_path / "a.bin.part").stat().st_size <= len(CONTENT)


def test_a_file_with_the_right_md5_needs_the_right_sha256(serve: Serve, tmp_path: Path) -> None:
    url = serve(send(OK + b"Content-Length: 10240\r\n\r\n" + CONTENT))
    sha256 = hashlib.sha256(CONTENT).hexdigest()
    message = refusal(url, tmp_path / "a.bin", SLOW, Archive("a.bin", "", MD5, None, "0" * 64))
    assert f"SHA-256 {sha256}, the official archive's is 000000" in message
    assert tree(tmp_path) == {}
    download(url, tmp_path / "a.bin", Archive("a.bin", "", MD5, None, sha256), lambda *_: None, SLOW)
    assert tree(tmp_path) == {"a.bin": CONTENT}


def test_the_sha256_of_mnists_files_are_those_of_files_with_the_published_md5() -> None:
    known = [archive for archive in mnist.ARCHIVES if archive.sha256 is not None]
    assert len(known) == 3
    for archive in known:
        data = real("mnist", archive.name).read_bytes()
        assert hashlib.md5(data, usedforsecurity=False).hexdigest() == archive.md5
        assert (len(data), hashlib.sha256(data).hexdigest()) == (archive.size, archive.sha256)


# --- redirects -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("begun", "led", "followed"),
    [
        ("https://a/x", "http://b/x", False),
        ("HTTPS://a/x", "HTTP://b/x", False),
        ("https://a/x", "file:///etc/passwd", False),
        ("https://a/x", "https://b/x", True),
        ("http://a/x", "https://b/x", True),
        ("http://a/x", "http://b/x", True),
    ],
)
def test_a_redirect_never_leads_from_https_to_http(begun: str, led: str, followed: bool) -> None:
    request, headers = urllib.request.Request(begun), email.message.Message()
    headers["Location"] = led
    request.timeout = 1
    opened: list[str] = []

    class Opened(urllib.request.BaseHandler):
        handler_order = 1

        def http_open(self, req: urllib.request.Request) -> io.BytesIO:
            opened.append(req.full_url)
            return io.BytesIO()

        https_open = http_open

    opener = Watch(SLOW).opener()
    opener.process_response = {}  # type: ignore[attr-defined] # nothing is looked at in the answers
    opener.add_handler(Opened())
    if followed:
        opener.error("http", request, io.BytesIO(), 302, "Found", headers)
        assert opened == [led]
    else:
        with pytest.raises(urllib.error.URLError, match=r"redirected|not allowed"):
            opener.error("http", request, io.BytesIO(), 302, "Found", headers)
        assert opened == []
