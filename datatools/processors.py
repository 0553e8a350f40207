"""How many processors there are to work with."""

from __future__ import annotations

import os


def usable_processors() -> int:
    """The processors that this process may use; at least 1."""
    if hasattr(os, "sched_getaffinity"):  # a container or a scheduler may allow fewer than the machine has
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
