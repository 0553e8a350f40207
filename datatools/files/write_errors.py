"""Gives the system's errors the name of the file they are about: the system names none as it writes."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS})
"""What the system says to writing and never to reading."""


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Let an OSError of the block, which only writes to `path`, name it where it names no file."""
    try:
        yield
    except OSError as error:
        if error.filename is None:
            error.filename = str(path)
        raise


@contextmanager
def named_as_meant(partial: Path, out: Path) -> Iterator[None]:
    """Let an OSError of the block, which fills `partial`, name the place in `out` that the file was meant for.

    One that names no file may be about what is read; it gets the name of `out` where only writing can meet it.
    """
    try:
        yield
    except OSError as error:
        if error.filename is None and error.errno in NO_ROOM:
            error.filename = str(out)
        elif isinstance(error.filename, str) and Path(error.filename).is_relative_to(partial):
            error.filename = str(out / Path(error.filename).relative_to(partial))
            error.filename2 = None
        raise
