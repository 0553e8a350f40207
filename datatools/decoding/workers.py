"""Chunks decoded in several processes, in order, with a bounded number under way.

The processes are started by a fork server (multiprocessing's "forkserver"): it is a fresh process that has loaded the
decoder once and has no threads, so what it forks starts at once and safely. A worker watches its parent and ends with
it, however that ends; Ctrl-C is the parent's to handle. Pixels come back through memory that all of them share: through
pipes they cost a tenth of the decoding.
"""

from __future__ import annotations

import math
import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from ctypes import Array, c_ubyte
from multiprocessing import forkserver, resource_tracker
from types import FrameType, TracebackType

import numpy as np

from datatools.decoding.chunks import Chunk, Kept
from datatools.errors import DataToolsError
from datatools.processors import usable_processors

MAX_DEFAULT_WORKERS = 8
UNDER_WAY = 3
"""Chunks for each worker that are waiting, being decoded or waiting to be written."""
SLOT_BYTES = 2 << 20
"""Shared memory for the pixels of one chunk; larger ones come back through a pipe."""
Pixels = np.ndarray | Kept
Decoded = tuple[Chunk, Pixels]
Returned = tuple[Pixels | None, tuple[int, ...] | None]
"""What a worker sends back: what it decoded, but for pixels that lie in its slot, and their shape then."""


def default_workers() -> int:
    """One for each processor that this process may use, up to MAX_DEFAULT_WORKERS."""
    return min(MAX_DEFAULT_WORKERS, usable_processors())


def start_server() -> None:
    """Start the fork server, which loads the decoder while this process goes on; does nothing where it runs."""
    multiprocessing.get_context("forkserver").set_forkserver_preload(["datatools.decoding.images"])
    resource_tracker.ensure_running()  # by itself: starting it lets interrupts through again
    with _one_blas_thread(), _interrupts_blocked():
        forkserver.ensure_running()


class Decoders:
    """Decodes chunks, in this process or in others; a context manager.

    Args:
        workers: how many other processes; with 1 everything happens in this one.
    """

    def __init__(self, workers: int) -> None:
        self._bound = workers * UNDER_WAY
        self._pool: ProcessPoolExecutor | None = None
        if workers > 1:
            start_server()
            context = multiprocessing.get_context("forkserver")
            memory = context.RawArray("B", self._bound * SLOT_BYTES)
            self._slots = np.frombuffer(memory, np.uint8).reshape(self._bound, SLOT_BYTES)
            self._pool = ProcessPoolExecutor(workers, context, _begin_worker, (memory, self._slots.shape))

    def decode(self, chunks: Iterable[Chunk]) -> Iterator[Decoded]:
        """(chunk, its pixels) of every chunk, in order; the pixels are overwritten once the next are asked for.

        Raises:
            DataToolsError: as decoding raises it, or a process was killed.
        """
        if self._pool is None:
            for chunk in chunks:
                yield chunk, chunk.decode()
            return
        under_way: deque[tuple[Chunk, np.ndarray, Future[Returned]]] = deque()
        try:
            for number, chunk in enumerate(chunks):
                slot = number % self._bound  # its last user was yielded before this one is begun
                # a submission may start workers and the thread that ends them: all of that or nothing
                with _interrupts_held(), _death_of_a_worker():
                    future = self._pool.submit(_decode_into, slot, chunk.decode)
                under_way.append((chunk, self._slots[slot], future))
                if len(under_way) == self._bound:
                    yield _result(*under_way.popleft())
            while under_way:
                yield _result(*under_way.popleft())
        finally:  # nobody may write to a slot that is given out anew
            wait([future for _, _, future in under_way if not future.cancel()])

    def __enter__(self) -> Decoders:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)


def _result(chunk: Chunk, slot: np.ndarray, future: Future[Returned]) -> Decoded:
    with _death_of_a_worker():
        decoded, shape = future.result()
    if shape is None:
        assert decoded is not None
        return chunk, decoded
    pixels = slot[: math.prod(shape)].reshape(shape)
    return chunk, pixels if decoded is None else Kept(pixels, *decoded[1:])


_worker_slots = np.empty((0, 0), np.uint8)
"""In a worker: the shared memory, (slots, SLOT_BYTES)."""


def _decode_into(slot: int, decode: Callable[[], Pixels]) -> Returned:
    """In a worker: decode, and leave the pixels in the slot where they fit."""
    decoded = decode()
    pixels = decoded.pixels if isinstance(decoded, Kept) else decoded
    if pixels.nbytes > SLOT_BYTES:
        return decoded, None
    _worker_slots[slot, : pixels.nbytes].reshape(pixels.shape)[...] = pixels
    return (decoded._replace(pixels=pixels[:0]) if isinstance(decoded, Kept) else None), pixels.shape


@contextmanager
def _death_of_a_worker() -> Iterator[None]:
    try:
        yield
    except BrokenProcessPool:
        raise DataToolsError(
            "a decoding process was killed, most likely for want of memory; run it again with fewer --workers"
        ) from None


def _begin_worker(memory: Array[c_ubyte], shape: tuple[int, int]) -> None:
    global _worker_slots
    _worker_slots = np.frombuffer(memoryview(memory), np.uint8).reshape(shape)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


@contextmanager
def _interrupts_blocked() -> Iterator[None]:
    """Let a process that is started meanwhile, and all it forks, inherit that Ctrl-C is not for them."""
    old = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, old)


@contextmanager
def _interrupts_held() -> Iterator[None]:
    """Let Ctrl-C wait until the block has ended.

    Not by a signal mask: that is one thread's, and NumPy's threads would take the signal for this one.
    """
    handler = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(handler):
        yield  # nobody will raise anything here
        return
    came: list[FrameType | None] = []
    signal.signal(signal.SIGINT, lambda _, frame: came.append(frame))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)
        if came:
            handler(signal.SIGINT, came[0])


@contextmanager
def _one_blas_thread() -> Iterator[None]:
    """Keep NumPy in a process that is started meanwhile from making threads, with which forking is unsafe."""
    name = "OPENBLAS_NUM_THREADS"
    old = os.environ.get(name)
    os.environ[name] = "1"
    try:
        yield
    finally:
        if old is None:
            del os.environ[name]
        else:
            os.environ[name] = old
