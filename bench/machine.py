"""How long tasks take, on what machine that was measured, and where it is written down."""

from __future__ import annotations

import datetime
import json
import os
import platform
import shutil
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"


def machine() -> dict[str, Any]:
    """Kind of machine and date; no name, no path."""
    cpu = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.is_file():
        models = [line.partition(":")[2].strip() for line in info.read_text().splitlines() if "model name" in line]
        cpu = models[0] if models else cpu
    return {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "cpu": cpu,
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "python": platform.python_version(),
    }


def report(name: str, figures: dict[str, Any]) -> None:
    """Print figures as JSON and keep them in bench/results/<name>.json."""
    text = json.dumps({"bench": name, "machine": machine(), **figures}, indent=2)
    print(text)
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.json").write_text(text + "\n")


def seconds(tasks: Mapping[str, Callable[[Path], object]], folder: Path, repeats: int) -> dict[str, float]:
    """Seconds of each task, the best of its repeats, as another program makes a run slower and never faster.

    The tasks take turns. Each is called with a new path in `folder`, and what it makes there is removed.
    """
    taken: dict[str, list[float]] = {name: [] for name in tasks}
    for number in range(repeats + 1):
        for name, task in tasks.items():
            out = folder / f"{name}-{number}"
            os.sync()  # or the disk would be busy with what came before
            started = time.perf_counter()
            task(out)
            if number:  # the first round warms up
                taken[name].append(time.perf_counter() - started)
            shutil.rmtree(out, ignore_errors=True)
    return {name: min(values) for name, values in taken.items()}


def real_data() -> Path:
    """The folder of real archives, from DATATOOLS_REAL_DATA."""
    folder = os.environ.get("DATATOOLS_REAL_DATA")
    if not folder:
        raise SystemExit("set DATATOOLS_REAL_DATA to a folder that holds cifar-10-batches-bin")
    return Path(folder).resolve()
