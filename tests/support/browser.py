"""A headless Chromium, driven through its DevTools protocol over a pipe: no driver and no port.

Messages are JSON texts that end with a zero byte; Chromium reads them from file descriptor 3 and writes to 4.
https://chromedevtools.github.io/devtools-protocol/
"""

from __future__ import annotations

import base64
import fcntl
import json
import os
import select
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome")
ARGUMENTS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-default-apps",
    "--no-first-run",
    "--hide-scrollbars",
    "--remote-debugging-pipe",
)
SECONDS = 60
"""How long an answer may take, on a busy machine."""


def chromium() -> str | None:
    """The path of a Chromium that is installed, or None."""
    return next((path for name in NAMES if (path := shutil.which(name))), None)


class Page:
    """A page in the browser.

    Attributes:
        events: what it reported, in order: method and parameters.
    """

    def __init__(self, commands: int, answers: int) -> None:
        self._commands, self._answers, self._rest = commands, answers, b""
        self._number, self._session = 0, ""
        self.events: list[tuple[str, dict[str, Any]]] = []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Send a command and wait for its answer."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._commands, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._read()
            if answer.get("id") == self._number:
                assert "error" not in answer, answer
                return dict(answer["result"])

    def open(self, file: Path, width: int, height: int, scheme: str) -> None:
        """Show a file from disk in a window of a size, in the colour scheme "light" or "dark"."""
        phone = width < 600
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=phone)
        feature = {"name": "prefers-color-scheme", "value": scheme}
        self.call("Emulation.setEmulatedMedia", media="screen", features=[feature])
        self.events.clear()
        self.call("Page.navigate", url=file.resolve().as_uri())
        while not any(name == "Page.loadEventFired" for name, _ in self.events):
            self._read()

    def evaluate(self, expression: str) -> Any:
        """The value of a JavaScript expression in the page."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def press(self, *keys: str) -> None:
        """Press and let go keys: a letter, or the name of a key such as "ArrowLeft" or "Enter"."""
        codes = {"Enter": 13, "Escape": 27, "Tab": 9, "ArrowLeft": 37, "ArrowUp": 38, "ArrowRight": 39, "ArrowDown": 40}
        for key in keys:
            text = {"Enter": "\r"}.get(key, key if len(key) == 1 else "")
            code = codes.get(key) or ord(key.upper())
            for kind in ("keyDown", "keyUp"):
                more = {"text": text} if text and kind == "keyDown" else {}
                self.call("Input.dispatchKeyEvent", type=kind, key=key, windowsVirtualKeyCode=code, **more)

    def click(self, selector: str) -> None:
        """Click with the mouse in the middle of an element, after scrolling it into view."""
        middle = """(() => { const element = document.querySelector(%s); element.scrollIntoView({block: 'center'});
            const box = element.getBoundingClientRect(); return [box.x + box.width / 2, box.y + box.height / 2]; })()"""
        x, y = self.evaluate(middle % json.dumps(selector))
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def choose_file(self, selector: str, path: Path) -> None:
        """Choose a file in an `<input type="file">`."""
        root = self.call("DOM.getDocument")["root"]["nodeId"]
        node = self.call("DOM.querySelector", nodeId=root, selector=selector)["nodeId"]
        self.call("DOM.setFileInputFiles", files=[str(path)], nodeId=node)

    def wait(self, expression: str) -> None:
        """Wait until a JavaScript expression is true."""
        deadline = time.monotonic() + SECONDS
        while not self.evaluate(expression):
            assert time.monotonic() < deadline, f"never true: {expression}"
            time.sleep(0.02)

    def screenshot(self, path: Path, whole: bool = False) -> None:
        """A PNG of the window, or of the whole page."""
        data = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=whole)["data"]
        path.write_bytes(base64.b64decode(data))

    def _read(self) -> dict[str, Any]:
        deadline = time.monotonic() + SECONDS
        while b"\0" not in self._rest:
            ready, _, _ = select.select([self._answers], [], [], max(0, deadline - time.monotonic()))
            part = os.read(self._answers, 1 << 20) if ready else b""
            assert part, "the browser does not answer" if not ready else "the browser has ended"
            self._rest += part
        text, _, self._rest = self._rest.partition(b"\0")
        message = dict(json.loads(text))
        if "method" in message:
            self.events.append((message["method"], message.get("params", {})))
        return message


@contextmanager
def browser(path: str, profile: Path) -> Iterator[Page]:
    """A page in a new browser with a profile of its own, which ends with the block."""
    ends = [os.pipe(), os.pipe()]
    # numbers far from 3 and 4, which the child gives to its own ends
    (read, commands), (answers, write) = ([fcntl.fcntl(end, fcntl.F_DUPFD, 20) for end in pair] for pair in ends)
    for pair in ends:
        for end in pair:
            os.close(end)

    def hand_over() -> None:
        os.dup2(read, 3)
        os.dup2(write, 4)

    process = subprocess.Popen(
        [path, *ARGUMENTS, f"--user-data-dir={profile}", "about:blank"],
        preexec_fn=hand_over,
        pass_fds=(3, 4),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.close(read)
    os.close(write)
    try:
        yield Page(commands, answers)
    finally:
        os.close(commands)
        os.close(answers)
        process.kill()
        process.wait()
