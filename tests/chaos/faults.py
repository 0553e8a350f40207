"""Counts the calls by which a process changes files, and lets one of them go wrong.

The calls are Python's own functions, wrapped: those of `os`, writing to a file that was opened, the exchange of two
folders, and locks left out. Nothing is traced from outside. `Faults.install` changes the process for good, so it is for
a child that ends soon.
"""

from __future__ import annotations

import builtins
import fcntl
import io
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from datatools.files import placing

KILLED = 77
"""The exit code of a process that a fault ended."""
PATH_CALLS = ("rename", "replace", "link", "unlink", "rmdir", "mkdir", "truncate")
FILE_CALLS = {"pwrite": 0, "write": 0, "ftruncate": 0, "copy_file_range": 1, "sendfile": 0, "fsync": 0}
"""Calls of `os` on what is open, and which argument is the descriptor of the file that changes."""
CLEANING = frozenset({"unlink", "rmdir"})
"""Calls that only remove: what they leave, the next build sweeps."""


class Fault(NamedTuple):
    """What goes wrong.

    Attributes:
        kind: "kill", "torn write" (half of what is written, then a kill), "power cut" (a kill, and all that was not
            synced is lost) or "error". number: at which call, from 1 on. code: the errno of an error.
    """

    kind: str
    number: int
    code: int = 0


class Faults:
    """Lets `fault` happen in this process.

    Args:
        root: the folder in which outputs take their place; a power cut loses what is deeper.
        reached: called when it happens.
    """

    def __init__(self, fault: Fault, root: Path, reached: Callable[[], object]) -> None:
        self.fault, self.root, self.reached = fault, root, reached
        self.calls = 0
        self.lock = threading.Lock()
        self.truncate, self.remove = os.truncate, os.unlink
        self.unsynced: set[int] = set()
        """Inodes of files with data that a power cut takes."""
        self.unsynced_names: dict[int, int] = {}
        """Inodes of files whose names a power cut takes, with the inode of the folder that has the name."""

    def install(self) -> None:
        """Wrap the calls."""
        for name in (*PATH_CALLS, *FILE_CALLS):
            if hasattr(os, name):
                setattr(os, name, self._counted(name, getattr(os, name)))
        fcntl.ioctl = self._counted("ioctl", fcntl.ioctl)
        placing.exchange = self._counted("exchange", placing.exchange)
        os_open = self._counted("open", os.open)
        plain_os_open, plain_open = os.open, io.open

        def open_descriptor(path: Any, flags: int, *arguments: Any, **options: Any) -> int:
            return int((os_open if flags & os.O_CREAT else plain_os_open)(path, flags, *arguments, **options))

        def open_file(file: Any, mode: str = "r", *arguments: Any, **options: Any) -> Any:
            if set(mode).isdisjoint("wax+"):
                return plain_open(file, mode, *arguments, **options)
            return self._open(file, mode, *arguments, **options)

        os.open, io.open, builtins.open = open_descriptor, open_file, open_file

    def _open(
        self,
        file: Any,
        mode: str,
        buffering: int = -1,
        encoding: str | None = None,
        errors: str | None = None,
        newline: str | None = None,
    ) -> Any:
        """As `io.open` for writing, but that each write to the file is counted."""
        counted = self._counted

        class CountedFile(io.FileIO):
            def write(self, data: Any) -> int:
                return int(counted("file.write", super().write, self.fileno())(data))

            def truncate(self, size: int | None = None) -> int:
                return int(counted("file.truncate", super().truncate, self.fileno())(size))

        raw = self._counted("open", CountedFile)(file, mode.replace("b", "").replace("t", ""))
        if buffering == 0:
            return raw
        buffered = io.BufferedRandom(raw) if "+" in mode else io.BufferedWriter(raw)
        return buffered if "b" in mode else io.TextIOWrapper(buffered, encoding, errors, newline)

    def _counted(self, name: str, call: Callable[..., Any], descriptor: int | None = None) -> Callable[..., Any]:
        def counted(*arguments: Any, **options: Any) -> Any:
            with self.lock:  # one at a time, so that the count says what was done
                self.calls += 1
                if self.calls == self.fault.number:
                    self._strike(name, call, arguments)
                result = call(*arguments, **options)
                if self.fault.kind == "power cut":
                    self._note(name, arguments, result, descriptor)
                return result

        return counted

    # --- what happens ------------------------------------------------------------------------------------------------

    def _strike(self, name: str, call: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
        self.reached()
        if self.fault.kind == "error":
            if name in CLEANING:
                return
            path = str(arguments[0]) if isinstance(arguments[0], (str, Path)) else None
            raise OSError(self.fault.code, os.strerror(self.fault.code), path)
        if self.fault.kind == "torn write" and name in ("file.write", "write", "pwrite"):
            position = 0 if name == "file.write" else 1
            data = memoryview(arguments[position]).cast("B")
            call(*arguments[:position], data[: len(data) // 2], *arguments[position + 1 :])
        if self.fault.kind == "power cut":
            self._lose()
        os._exit(KILLED)

    def _note(self, name: str, arguments: tuple[Any, ...], result: Any, descriptor: int | None) -> None:
        """Keep account of what a power cut would take."""
        if name == "fsync":
            inode = os.fstat(arguments[0]).st_ino
            self.unsynced.discard(inode)
            self.unsynced_names = {file: folder for file, folder in self.unsynced_names.items() if folder != inode}
        elif descriptor is not None or name in FILE_CALLS or name == "ioctl":
            number = arguments[FILE_CALLS.get(name, 0)] if descriptor is None else descriptor
            self.unsynced.add(os.fstat(number).st_ino)
        elif name in ("open", "mkdir", "rename", "replace", "link") and not isinstance(arguments[0], int):
            path = Path(arguments[0] if name in ("open", "mkdir") else arguments[1])
            self.unsynced_names[path.stat().st_ino] = path.parent.stat().st_ino

    def _lose(self) -> None:
        top = self.root.stat().st_ino
        for path in sorted(self.root.rglob("*"), reverse=True):
            inode = path.stat().st_ino
            if path.is_file() and self.unsynced_names.get(inode, top) != top:
                self.remove(path)
            elif path.is_file() and inode in self.unsynced:
                self.truncate(path, 0)
