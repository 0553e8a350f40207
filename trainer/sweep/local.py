"""Cells as processes of this machine: one a GPU, or one a few processors."""

from __future__ import annotations

import queue
import shutil
import subprocess
import threading
from collections.abc import Sequence
from typing import Any

from datatools.processors import usable_processors
from trainer.sweep.cell import CellProcess, environment
from trainer.sweep.executor import Job, Resources


class LocalExecutor:
    """Slots that each take one cell after the other. The contract is `executor.Executor`."""

    def __init__(self, resources: Resources) -> None:
        self.slots, gpus = slots(resources)
        self._force = resources.force
        # with more slots than GPUs, cells share them in turn
        self._variables = [environment(resources.threads, slot % gpus if gpus else None) for slot in range(self.slots)]
        self._waiting: queue.SimpleQueue[Job] = queue.SimpleQueue()
        self._done: queue.SimpleQueue[tuple[Job, dict[str, Any]]] = queue.SimpleQueue()
        self._running: dict[int, CellProcess] = {}
        self._stopping = threading.Event()
        self._threads: list[threading.Thread] = []

    def start(self, jobs: Sequence[Job]) -> None:
        for job in jobs:
            self._waiting.put(job)
        self._threads = [threading.Thread(target=self._serve, args=[slot]) for slot in range(self.slots)]
        for thread in self._threads:
            thread.start()

    def _serve(self, slot: int) -> None:
        while not self._stopping.is_set():
            try:
                job = self._waiting.get_nowait()
            except queue.Empty:
                return
            process = CellProcess(job.cell, job.dataset, job.directory, self._variables[slot], self._force)
            self._running[slot] = process
            if self._stopping.is_set():
                process.stop()
            try:
                outcome = process.run()
            except OSError as error:
                outcome = {"state": "failed", "error": f"its process could not be started ({error})"}
            self._done.put((job, outcome))

    def finished(self, timeout: float) -> list[tuple[Job, dict[str, Any]]]:
        outcomes = []
        try:
            outcomes.append(self._done.get(timeout=timeout))
            while True:
                outcomes.append(self._done.get_nowait())
        except queue.Empty:
            return outcomes

    def stop(self) -> None:
        self._stopping.set()
        for process in list(self._running.values()):
            process.stop()
        for thread in self._threads:
            thread.join()


def slots(resources: Resources) -> tuple[int, int]:
    """How many cells run at a time, and how many GPUs they share.

    As many cells as asked for, else one a GPU, else what the processors have threads for.
    """
    gpus = count_gpus() if resources.gpus else 0
    return resources.jobs or gpus or max(1, usable_processors() // resources.threads), gpus


def count_gpus() -> int:
    """GPUs of this machine that the driver's own tool lists; 0 without it."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return 0
    listed = subprocess.run([tool, "-L"], capture_output=True, text=True, check=False)
    return sum(line.startswith("GPU ") for line in listed.stdout.splitlines())
