"""Hears SIGINT and SIGTERM at every moment, also while C code keeps Python's own handlers from running.

Python notes a signal in a pipe at once (`signal.set_wakeup_fd`), and a thread reads it. The thread only notes it, has
it acknowledged and, for a command, ends the process at the second one; the run itself looks at `Stop.signal` between
its steps. Nothing is imported here that takes time, so that a command can listen from its first line on.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)
ACKNOWLEDGEMENT = "stopping after this step; again to end now"
REPEAT_SECONDS = 1.0
"""So soon after the first signal a SIGTERM is no second one: timeout(1) sends it to the process and to its group."""

Acknowledge = Callable[[str], None]


class Stop:
    """Whether a signal has asked the run to end.

    Attributes:
        signal: the name of the first one.
    """

    def __init__(self, acknowledge: Acknowledge = lambda text: None, ends_process: bool = False) -> None:
        """See `stop_on_signals`."""
        self.signal: str | None = None
        self._acknowledge, self._ends_process = acknowledge, ends_process
        self._handled = self._heard = 0
        self._first = 0.0

    def ask(self, number: int, frame: FrameType | None) -> None:
        """Python's handler: the run ends after the steps under way.

        Raises:
            KeyboardInterrupt: at a second Ctrl-C, where the process is not ended by `listen`.
        """
        self._handled += 1
        self.signal = self.signal or signal.Signals(number).name
        if number == signal.SIGINT and not self._ends_process and max(self._handled, self._heard) > 1:
            raise KeyboardInterrupt

    def listen(self, pipe: int) -> None:
        """Hear the signals that come through a pipe, a byte each, until it is closed."""
        while numbers := os.read(pipe, 64):
            for number in numbers:
                if number in SIGNALS:
                    self._hear(number)

    def _hear(self, number: int) -> None:
        now = time.monotonic()
        self._heard += 1
        if self._heard == 1:
            self._first = now
            self.signal = self.signal or signal.Signals(number).name
            # in a thread of its own: a screen that takes nothing must not keep the second signal from being heard
            threading.Thread(target=self._acknowledge, args=[ACKNOWLEDGEMENT], daemon=True).start()
        elif self._ends_process and (number == signal.SIGINT or now - self._first > REPEAT_SECONDS):
            os._exit(128 + number)


_active: Stop | None = None


@contextmanager
def stop_on_signals(acknowledge: Acknowledge = lambda text: None, *, ends_process: bool = False) -> Iterator[Stop]:
    """Note SIGINT and SIGTERM, within the block, instead of dying of them. Only a main thread can.

    A block inside another one has the Stop of that one.

    Args:
        acknowledge: called at the first signal, at once and in another thread, with the line to show.
        ends_process: a second signal ends the process at once, with exit code 130 or 143, wherever it is. Without it, a
            second Ctrl-C raises KeyboardInterrupt as soon as Python gets to it.
    """
    global _active
    if threading.current_thread() is not threading.main_thread():
        yield Stop()
        return
    if _active is not None:
        yield _active
        return
    stop = _active = Stop(acknowledge, ends_process)
    reads, writes = os.pipe()
    os.set_blocking(writes, False)
    listener = threading.Thread(target=stop.listen, args=[reads], name="signals", daemon=True)
    listener.start()
    wakeup = signal.set_wakeup_fd(writes, warn_on_full_buffer=False)
    # what is ignored stays so: a shell starts its background jobs deaf to the Ctrl-C that is meant for others
    heard = [number for number in SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]
    before = {number: signal.signal(number, stop.ask) for number in heard}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(wakeup)
        os.close(writes)
        listener.join()
        os.close(reads)
        _active = None
