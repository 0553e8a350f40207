"""Downloads: what comes, what is gone on with, and what is refused, from a server of our own."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from datatools.conversion import convert
from datatools.errors import DataToolsError
from datatools.files import download as downloading
from datatools.files.addresses import Archive, is_url, url_name
from datatools.files.connections import Limits
from datatools.files.download import download
from tests.support.children import environment
from tests.support.download_server import CONTENT, MD5, Server
from tests.support.factories import close_network, tree

OFFICIAL = Archive("a.bin", "http://nowhere.invalid/a.bin", MD5)
QUICK = Limits(5)


def fetch(
    server: Server, target: Path, official: Archive | None = OFFICIAL, limits: Limits = QUICK
) -> list[tuple[int, int]]:
    seen: list[tuple[int, int]] = []
    download(f"{server.url}/a.bin", target, official, lambda done, total: seen.append((done, total)), limits)
    return seen


def refusal(server: Server, target: Path, official: Archive | None = OFFICIAL, limits: Limits = QUICK) -> str:
    with pytest.raises(DataToolsError) as caught:
        fetch(server, target, official, limits)
    message = str(caught.value)
    assert not target.exists()
    assert "\n" not in message
    assert f"{server.url}/a.bin" in message
    return message


# --- the file itself -------------------------------------------------------------------------------------------------


def test_a_file_comes_whole_with_progress(server: Server, tmp_path: Path) -> None:
    seen = fetch(server, tmp_path / "raw" / "a.bin")
    assert tree(tmp_path) == {"raw": None, "raw/a.bin": CONTENT}
    assert seen[-1] == (len(CONTENT), len(CONTENT))
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)
    assert server.how.asked == [("/a.bin", None)]


def test_a_server_that_does_not_say_how_long_it_is(server: Server, tmp_path: Path) -> None:
    server.how.length = None
    fetch(server, tmp_path / "a.bin")
    assert (tmp_path / "a.bin").read_bytes() == CONTENT


def test_what_was_cut_is_kept_and_gone_on_with(server: Server, tmp_path: Path) -> None:
    server.how.cut_after = 100_000
    message = refusal(server, tmp_path / "a.bin")
    assert "ended after 100,000 of 307,200 bytes" in message
    assert "run it again" in message
    assert tree(tmp_path) == {"a.bin.part": CONTENT[:100_000]}
    server.how.cut_after = None
    seen = fetch(server, tmp_path / "a.bin")
    assert tree(tmp_path) == {"a.bin": CONTENT}
    assert server.how.asked == [("/a.bin", None), ("/a.bin", "bytes=100000-")]
    assert seen[0][0] > 100_000
    assert seen[-1] == (len(CONTENT), len(CONTENT))


def test_a_server_without_ranges_sends_it_all_again(server: Server, tmp_path: Path) -> None:
    (tmp_path / "a.bin.part").write_bytes(CONTENT[:5000])
    server.how.ranges = False
    fetch(server, tmp_path / "a.bin")
    assert tree(tmp_path) == {"a.bin": CONTENT}


def test_a_part_that_is_whole_only_wants_its_name(server: Server, tmp_path: Path) -> None:
    (tmp_path / "a.bin.part").write_bytes(CONTENT)
    assert fetch(server, tmp_path / "a.bin") == []
    assert tree(tmp_path) == {"a.bin": CONTENT}
    assert len(server.how.asked) == 1


def test_a_part_that_is_longer_than_the_file_is_begun_anew(server: Server, tmp_path: Path) -> None:
    (tmp_path / "a.bin.part").write_bytes(CONTENT + b"more")
    fetch(server, tmp_path / "a.bin")
    assert tree(tmp_path) == {"a.bin": CONTENT}


def test_a_part_with_another_beginning_is_found_out_and_removed(server: Server, tmp_path: Path) -> None:
    (tmp_path / "a.bin.part").write_bytes(bytes(5000))
    assert "is removed" in refusal(server, tmp_path / "a.bin")
    assert tree(tmp_path) == {}
    fetch(server, tmp_path / "a.bin")
    assert tree(tmp_path) == {"a.bin": CONTENT}


def test_another_range_than_asked_for_is_refused(server: Server, tmp_path: Path) -> None:
    (tmp_path / "a.bin.part").write_bytes(CONTENT[:5000])
    server.how.shift = 7
    assert "another part" in refusal(server, tmp_path / "a.bin")


def test_without_a_checksum_a_part_is_never_trusted(server: Server, tmp_path: Path) -> None:
    (tmp_path / "a.bin.part").write_bytes(bytes(5000))
    fetch(server, tmp_path / "a.bin", official=None)
    assert tree(tmp_path) == {"a.bin": CONTENT}
    assert server.how.asked == [("/a.bin", None)]


def test_a_wrong_checksum_is_said_and_the_file_removed(server: Server, tmp_path: Path) -> None:
    server.how.files["/a.bin"] = CONTENT[:-1] + b"x"
    message = refusal(server, tmp_path / "a.bin")
    assert MD5 in message
    assert hashlib.md5(CONTENT[:-1] + b"x", usedforsecurity=False).hexdigest() in message
    assert tree(tmp_path) == {}


@pytest.mark.parametrize("status", [404, 403, 500, 503])
def test_what_the_server_refuses_is_said(server: Server, tmp_path: Path, status: int) -> None:
    server.how.status = status
    message = refusal(server, tmp_path / "raw" / "a.bin")
    assert f"the server answered {404 if status == 404 else status}" in message
    assert f"put it at {tmp_path / 'raw' / 'a.bin'}" in message
    assert tree(tmp_path) == {}


def test_a_missing_file_is_said(server: Server, tmp_path: Path) -> None:
    server.how.files.clear()
    assert "answered 404" in refusal(server, tmp_path / "a.bin")


def test_a_server_that_falls_silent_is_given_up(server: Server, tmp_path: Path) -> None:
    server.how.seconds = 1.5
    began = time.monotonic()
    message = refusal(server, tmp_path / "a.bin", limits=Limits(0.2))
    assert time.monotonic() - began < 1.2
    assert "timed out" in message
    assert tree(tmp_path) == {"a.bin.part": CONTENT[:10]}


def test_a_slow_server_is_waited_for(server: Server, tmp_path: Path) -> None:
    server.how.seconds = 0.3
    fetch(server, tmp_path / "a.bin", limits=Limits(2))
    assert tree(tmp_path) == {"a.bin": CONTENT}


def test_a_file_that_is_too_large_is_refused_before_it_comes(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(downloading, "MAX_BYTES", 100_000)
    assert "larger than 100,000 bytes" in refusal(server, tmp_path / "raw" / "a.bin")
    assert tree(tmp_path) == {}
    server.how.length = None  # and where the server does not say so, as soon as it is
    assert "larger than 100,000 bytes" in refusal(server, tmp_path / "raw" / "a.bin")
    assert (tmp_path / "raw" / "a.bin.part").stat().st_size <= 100_000


@pytest.mark.parametrize("address", ["file:///etc/passwd", "ftp://127.0.0.1/a", "gopher://127.0.0.1/", "//etc/passwd"])
def test_a_redirect_leads_to_the_web_only(server: Server, tmp_path: Path, address: str) -> None:
    server.how.redirect = address
    if address.startswith("//"):  # the same scheme, another host: nobody there
        address = "http"
    message = refusal(server, tmp_path / "a.bin")
    assert tree(tmp_path) == {}
    assert "cannot be downloaded" in message


def test_a_redirect_to_another_address_is_followed(server: Server, tmp_path: Path) -> None:
    server.how.redirect = f"{server.url}/a.bin/moved"
    fetch(server, tmp_path / "a.bin")
    assert tree(tmp_path) == {"a.bin": CONTENT}


def test_redirects_in_a_circle_end(server: Server, tmp_path: Path) -> None:
    server.how.redirect = f"{server.url}/a.bin"
    refusal(server, tmp_path / "a.bin")


def test_two_downloads_do_not_write_into_one_file(server: Server, tmp_path: Path) -> None:
    part = tmp_path / "a.bin.part"
    part.write_bytes(CONTENT[:100])
    with part.open("rb") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(DataToolsError, match="another process"):
            fetch(server, tmp_path / "a.bin")
    assert part.read_bytes() == CONTENT[:100]


def test_nobody_there_is_one_line_with_the_place(tmp_path: Path, server: Server) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/a.bin"
    with pytest.raises(DataToolsError, match=r"refused.*put it at .*a\.bin, or name a file or a mirror") as caught:
        download(url, tmp_path / "raw" / "a.bin", OFFICIAL, lambda *_: None)
    assert "\n" not in str(caught.value)
    assert tree(tmp_path) == {}


def test_a_proxy_is_respected(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server.how.files["http://nowhere.invalid/a.bin"] = CONTENT
    monkeypatch.setenv("http_proxy", server.url)
    download("http://nowhere.invalid/a.bin", tmp_path / "a.bin", OFFICIAL, lambda *_: None)
    assert (tmp_path / "a.bin").read_bytes() == CONTENT


@pytest.mark.parametrize(
    "url",
    [
        "http://",
        "http://[::1",
        "http://a b/c.tar",
        "http://127.0.0.1:99999/c.tar",
        "http://x\0y/c",
        "http://é.invalid/ü",
    ],
)
def test_a_broken_address_is_one_line(tmp_path: Path, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    close_network(monkeypatch)
    with pytest.raises(DataToolsError) as caught:
        convert("cifar10", source=url, root=tmp_path / "data")
    assert "\n" not in str(caught.value)
    assert tree(tmp_path) == {}


def test_what_is_an_address() -> None:
    assert is_url("http://a/b")
    assert is_url("HTTPS://a/b")
    assert not is_url("a/b")
    assert not is_url("file:///a/b")
    assert url_name("http://a/b/c.tar.gz?token=1#x") == "c.tar.gz"
    assert url_name("http://a/b%20c.zip") == "b c.zip"
    for bad in (
        "http://a",
        "http://a/",
        "http://a/.hidden",
        "http://a/%2e%2e",
        "http://a/x%00y",
        "http://a/" + "x" * 300,
    ):
        with pytest.raises(DataToolsError):
            url_name(bad)
    assert url_name("http://a/..%2f..%2fetc%2fpasswd") == "passwd"


def test_a_full_disk_is_not_the_servers_fault(tmp_path: Path, server: Server) -> None:
    code = """
import pathlib, resource, sys
from datatools.files.addresses import Archive
from datatools.files.download import download
resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))
try:
    download(sys.argv[1], pathlib.Path(sys.argv[2]), Archive("a", "", sys.argv[3]), lambda *_: None)
except OSError as error:
    print(type(error).__name__, error.errno)
"""
    child = subprocess.run(
        [sys.executable, "-c", code, f"{server.url}/a.bin", str(tmp_path / "a.bin"), MD5],
        env={**environment(), "no_proxy": "127.0.0.1"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert child.stdout == f"OSError {errno.EFBIG}\n", child.stderr
    assert (tmp_path / "a.bin.part").stat().st_size <= 50_000
