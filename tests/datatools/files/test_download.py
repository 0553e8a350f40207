"""Archives from a server on this machine: whole, gone on with, cut, wrong, missing, slow."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from datatools.conversion import convert
from datatools.errors import DataToolsError
from datatools.files import download as downloading
from datatools.files.addresses import Archive, is_url, url_name
from datatools.files.connections import Limits
from datatools.files.download import download
from datatools.sources import cifar, mnist, tiny_imagenet
from tests.support.children import environment
from tests.support.factories import (
    cifar10_set,
    close_network,
    mnist_set,
    pack,
    tiny_imagenet_set,
    tree,
    write_cifar10_binary,
    write_mnist,
    write_tiny_imagenet,
    zipped,
)

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


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    how = Behaviour({"/a.bin": CONTENT})
    running = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (Handler,), {"behaviour": how}))
    thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield Server(f"http://127.0.0.1:{running.server_port}", how)
    running.shutdown()
    running.server_close()
    thread.join()


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


# --- what convert makes of it ----------------------------------------------------------------------------------------


def offer(server: Server, monkeypatch: pytest.MonkeyPatch, archive: Path) -> Archive:
    """Let the server be CIFAR-10's official one."""
    data = archive.read_bytes()
    server.how.files["/cifar-10-binary.tar.gz"] = data
    monkeypatch.setattr(cifar, "ADDRESS", f"{server.url}/")
    layout = cifar.CIFAR10.__class__(
        **{**vars(cifar.CIFAR10), "md5": (md5_of(data), "0" * 32), "sizes": (len(data), 0)}
    )
    monkeypatch.setattr(cifar, "CIFAR10", layout)
    return layout.archives[0]


def md5_of(data: bytes) -> str:
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    folder = write_cifar10_binary(tmp_path / "made" / "cifar-10-batches-bin", cifar10_set())
    return pack(folder, tmp_path / "made" / "cifar-10-binary.tar.gz")


def test_the_official_archive_is_downloaded_once(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, archive: Path
) -> None:
    official = offer(server, monkeypatch, archive)
    seen: list[tuple[int, int]] = []
    root = tmp_path / "data"
    made = convert("cifar10", root=root, download_progress=lambda done, total: seen.append((done, total)))
    assert seen[-1] == (archive.stat().st_size, archive.stat().st_size)
    assert f"downloaded from {official.url}" in made.notices[0]
    assert made.dataset.metadata.source["location"] == str(root / "raw" / "cifar-10-binary.tar.gz")
    convert("cifar10", root=root, overwrite=True)
    assert len(server.how.asked) == 1
    assert sorted(path.name for path in root.iterdir()) == ["cifar10", "raw"]


def test_what_lies_under_raw_needs_no_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, archive: Path) -> None:
    close_network(monkeypatch)
    (tmp_path / "data" / "raw").mkdir(parents=True)
    archive.rename(tmp_path / "data" / "raw" / archive.name)
    assert convert("cifar10", root=tmp_path / "data").dataset.metadata.num_records("train") == 50


def test_a_cut_download_goes_on_when_convert_is_run_again(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, archive: Path
) -> None:
    offer(server, monkeypatch, archive)
    server.how.cut_after = 5000
    with pytest.raises(DataToolsError, match="run it again"):
        convert("cifar10", root=tmp_path / "data")
    assert [path.name for path in (tmp_path / "data").rglob("*")] == ["raw", "cifar-10-binary.tar.gz.part"]
    server.how.cut_after = None
    convert("cifar10", root=tmp_path / "data")
    assert server.how.asked[1] == ("/cifar-10-binary.tar.gz", "bytes=5000-")


def test_a_mirror_of_the_official_archive_is_held_to_its_checksum(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, archive: Path
) -> None:
    offer(server, monkeypatch, archive)
    url = f"{server.url}/mirror/cifar-10-binary.tar.gz"
    server.how.files["/mirror/cifar-10-binary.tar.gz"] = archive.read_bytes()
    made = convert("cifar10", root=tmp_path / "data", source=url)
    assert "the official archive's" in made.notices[0]
    assert made.dataset.metadata.source["sha256"] == hashlib.sha256(archive.read_bytes()).hexdigest()
    again = convert("cifar10", root=tmp_path / "data", source=url, overwrite=True)
    assert "there already" in again.notices[0]
    server.how.files["/mirror/cifar-10-binary.tar.gz"] = archive.read_bytes()[:-1] + b"x"
    with pytest.raises(DataToolsError, match="MD5"):
        convert("cifar10", root=tmp_path / "other", source=url)
    assert not list((tmp_path / "other").rglob("*.*"))


def test_another_archive_is_taken_and_said_to_be_unchecked(server: Server, tmp_path: Path, archive: Path) -> None:
    server.how.files["/my-cifar.tgz"] = archive.read_bytes()
    made = convert("cifar10", root=tmp_path / "data", source=f"{server.url}/my-cifar.tgz?key=1")
    assert "downloaded unchecked" in made.notices[0]
    assert (tmp_path / "data" / "raw" / "my-cifar.tgz").is_file()


def test_tiny_imagenet_is_downloaded(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, _ = write_tiny_imagenet(tmp_path / "made" / "tiny-imagenet-200", tiny_imagenet_set())
    data = zipped(folder, tmp_path / "made" / "tiny.zip").read_bytes()
    server.how.files["/tiny-imagenet-200.zip"] = data
    monkeypatch.setattr(
        tiny_imagenet, "ARCHIVE", Archive("tiny-imagenet-200.zip", f"{server.url}/tiny-imagenet-200.zip", md5_of(data))
    )
    assert convert("tiny-imagenet", root=tmp_path / "data").dataset.metadata.num_records("train") == 12


@pytest.mark.parametrize("mirror", [False, True])
def test_mnist_is_four_files(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mirror: bool) -> None:
    folder = write_mnist(tmp_path / "made", mnist_set(), gzipped=True)
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    server.how.files |= {f"/m/{name}": data for name, data in files.items()}
    monkeypatch.setattr(
        mnist,
        "ARCHIVES",
        tuple(
            Archive(
                archive.name, f"{server.url}/{'away' if mirror else 'm'}/{archive.name}", md5_of(files[archive.name])
            )
            for archive in mnist.ARCHIVES
        ),
    )
    source = f"{server.url}/m" if mirror else None
    missing = server.how.files.pop("/m/t10k-labels-idx1-ubyte.gz")
    with pytest.raises(DataToolsError, match="404"):
        convert("mnist", root=tmp_path / "data", source=source)
    server.how.files["/m/t10k-labels-idx1-ubyte.gz"] = missing
    assert convert("mnist", root=tmp_path / "data", source=source).dataset.metadata.num_records("train") == 30
    assert len(server.how.asked) == 5  # what was there was not fetched again
    assert len(list((tmp_path / "data" / "raw" / "mnist").iterdir())) == 4


def test_the_published_checksums_are_whole() -> None:
    archives = [*cifar.CIFAR10.archives, *cifar.CIFAR100.archives, tiny_imagenet.ARCHIVE, *mnist.ARCHIVES]
    assert len({archive.md5 for archive in archives}) == len({archive.url for archive in archives}) == 9
    assert len({archive.size for archive in archives} - {None}) == 9
    for archive in archives:
        assert re.fullmatch(r"[0-9a-f]{32}", archive.md5)
        assert archive.sha256 is None or re.fullmatch(r"[0-9a-f]{64}", archive.sha256)
        assert url_name(archive.url) == archive.name


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
