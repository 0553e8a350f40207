"""A server to download from, as several files of these tests are handed it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import ThreadingHTTPServer

import pytest

from tests.support.download_server import CONTENT, Behaviour, Handler, Server


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
