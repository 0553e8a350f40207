"""Runs code in a Python process of its own: for what must not hang, grow or be killed in this one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
PEAK_MEMORY = """
def peak_memory():
    with open("/proc/self/status") as status:  # ru_maxrss would begin at what the parent process had
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM:"))
"""
needs_proc = pytest.mark.skipif(not Path("/proc/self/status").is_file(), reason="the peak of memory is read from /proc")


def environment() -> dict[str, str]:
    """This process's, with the repository importable from any folder."""
    return {**os.environ, "PYTHONPATH": str(REPOSITORY), "PYTHONDONTWRITEBYTECODE": "1"}


def run_python(
    code: str, *arguments: object, timeout: float = 60, cwd: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Run `code` with `arguments` in sys.argv[1:].

    Raises:
        subprocess.TimeoutExpired: it did not end in `timeout` seconds; it is killed then.
    """
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        env=environment(),
        cwd=cwd,
        timeout=timeout,
        capture_output=True,
        text=True,
    )
