"""Connections over HTTP that are ended where a server is too slow, whatever it is at: greeting, headers or content.

A time limit of a socket is for each wait, so a server that sends a byte now and then holds a program for ever. Here a
thread watches over all connections of a download, and shuts them down where too little came.
"""

from __future__ import annotations

import http.client
import socket
import threading
import time
import urllib.request
from contextlib import suppress
from types import TracebackType
from typing import IO, Any, NamedTuple
from urllib.error import URLError

from datatools.files.addresses import is_url


class Limits(NamedTuple):
    """How long a download may take.

    Attributes:
        silence: seconds that the connection, and each wait for more bytes, may take.
        total: seconds that all of it may take.
        least_rate: bytes a second that have to come in each `window` of seconds, the time before the first included.
    """

    silence: float = 30.0
    total: float = 24 * 3600.0
    least_rate: float = 1024.0
    window: float = 60.0


DEFAULT_LIMITS = Limits()


class Watch:
    """Watches over the connections of a download while it is a context.

    Attributes:
        received: how many bytes of content came, counted by whom receives them.
        reason: why the connections were shut down, or nothing.
    """

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.received = 0
        self.reason = ""
        self._sockets: list[socket.socket] = []
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="watch over a download", daemon=True)

    def opener(self) -> urllib.request.OpenerDirector:
        """Opens addresses over connections that are watched; it follows redirects to the web alone."""
        return urllib.request.build_opener(_WebOnly(), _Http(self), _Https(self))

    def add(self, connected: socket.socket) -> None:
        """Watch over a socket that was connected, before anything else is done with it."""
        with self._lock:
            self._sockets.append(connected.dup())  # TLS takes the socket itself over
            if self.reason:
                self._shut_down()

    def _watch(self) -> None:
        limits, end, before = self.limits, time.monotonic() + self.limits.total, 0
        while not self._over.wait(min(limits.window, max(0.0, end - time.monotonic()))):
            if time.monotonic() >= end:
                reason = f"it took longer than {limits.total:,.6g} seconds"
            elif self.received - before < limits.least_rate * limits.window:
                came = self.received - before
                reason = f"too slow: {came:,} bytes in {limits.window:g} seconds"
            else:
                before = self.received
                continue
            with self._lock:
                self.reason = reason
                self._shut_down()
            return

    def _shut_down(self) -> None:
        for connected in self._sockets:
            with suppress(OSError):
                connected.shutdown(socket.SHUT_RDWR)

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()
        for connected in self._sockets:
            connected.close()


class _Http(urllib.request.HTTPHandler):
    """Opens http over connections that are watched."""

    def __init__(self, watch: Watch) -> None:
        super().__init__()
        self.watch = watch

    def http_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return _open(self, http.client.HTTPConnection, self.watch, req)


class _Https(urllib.request.HTTPSHandler):
    """Opens https over connections that are watched."""

    def __init__(self, watch: Watch) -> None:
        super().__init__()
        self.watch = watch

    def https_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return _open(self, http.client.HTTPSConnection, self.watch, req)


def _open(
    handler: urllib.request.AbstractHTTPHandler,
    kind: type[http.client.HTTPConnection],
    watch: Watch,
    request: urllib.request.Request,
) -> http.client.HTTPResponse:
    def create(*arguments: Any, **options: Any) -> socket.socket:
        connected = socket.create_connection(*arguments, **options)
        watch.add(connected)
        return connected

    def connection(host: str, **options: Any) -> http.client.HTTPConnection:
        made = kind(host, **options)
        made._create_connection = create  # type: ignore[attr-defined] # connect() has TLS done when it returns
        return made

    response: http.client.HTTPResponse = handler.do_open(connection, request)
    return response


class _WebOnly(urllib.request.HTTPRedirectHandler):
    """Follows redirects to http and https and to nothing else, and never from https to http.

    A server must not make us read local files, nor anyone on the way take over what was asked for safely.
    """

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
            raise URLError(f"redirected to {newurl:.80}, which is not http or https")
        if req.full_url.lower().startswith("https:") and not newurl.lower().startswith("https:"):
            raise URLError(f"redirected from https to {newurl:.80}, where anyone on the way could change it")
        return super().redirect_request(req, fp, code, msg, headers, newurl)
