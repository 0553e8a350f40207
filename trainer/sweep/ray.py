"""Cells as tasks of a Ray cluster, whose nodes all see the same files.

A task is a thin supervisor: it starts the same process that the local executor starts. When its node or worker dies,
Ray starts the task elsewhere, and the cell goes on from its checkpoint.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from trainer.errors import TrainerError
from trainer.sweep.cell import CellProcess, environment
from trainer.sweep.executor import Job, Resources
from trainer.sweep.grid import Cell

NODE_RETRIES = 10
"""How often Ray starts a cell again whose node or worker died."""
STOP_SECONDS = 60
"""How long cells have to save their checkpoints."""


class RayExecutor:
    """The contract is `executor.Executor`."""

    def __init__(self, resources: Resources) -> None:
        """Join the cluster at `resources.address`, or start one on this machine.

        Raises:
            TrainerError: Ray is not installed, or the cluster cannot be reached.
        """
        try:
            import ray
        except ImportError as error:
            raise TrainerError(
                f"executor ray: cannot be loaded ({error}); install it with pip install 'selfie-noisy-labels[ray]'"
            ) from None
        self._ray, self._resources = ray, resources
        try:
            ray.init(
                address=resources.address, log_to_driver=False, logging_level=logging.ERROR, include_dashboard=False
            )
        except (ConnectionError, ValueError, RuntimeError) as error:
            raise TrainerError(
                f"--address {resources.address}: no Ray cluster answers there ({str(error).splitlines()[0]:.120}); "
                "start one with `ray start --head`, or leave --address out"
            ) from None
        self._jobs: dict[Any, Job] = {}
        self._waiting: list[Job] = []

    def start(self, jobs: Sequence[Job]) -> None:
        self._waiting = list(jobs)
        self._submit()

    def _submit(self) -> None:
        limit = self._resources.jobs or len(self._waiting) + len(self._jobs)
        while self._waiting and len(self._jobs) < limit:
            job = self._waiting.pop(0)
            wanted: dict[str, Any] = {"num_cpus": self._resources.threads, "num_gpus": self._resources.gpus}
            if self._resources.memory is not None:
                wanted["memory"] = self._resources.memory << 20
            task = self._ray.remote(max_retries=NODE_RETRIES, max_calls=1, **wanted)(_supervise)
            paths = str(job.dataset), str(job.directory)
            reference = task.remote(job.cell.to_json(), *paths, self._resources.threads, self._resources.force)
            self._jobs[reference] = job

    def finished(self, timeout: float) -> list[tuple[Job, dict[str, Any]]]:
        if not self._jobs:
            time.sleep(timeout)
            return []
        ready, _ = self._ray.wait(list(self._jobs), num_returns=1, timeout=timeout)
        outcomes = []
        for reference in ready:
            job = self._jobs.pop(reference)
            try:
                outcome = self._ray.get(reference)
            except self._ray.exceptions.RayError as error:
                outcome = {"state": "failed", "error": f"its Ray task ended ({str(error).splitlines()[0]:.200})"}
            outcomes.append((job, outcome))
        self._submit()
        return outcomes

    def stop(self) -> None:
        self._waiting.clear()
        for reference in self._jobs:
            self._ray.cancel(reference)
        if self._jobs:
            self._ray.wait(list(self._jobs), num_returns=len(self._jobs), timeout=STOP_SECONDS)
        self._ray.shutdown()


def _supervise(cell: dict[str, Any], dataset: str, directory: str, threads: int, force: bool) -> dict[str, Any]:
    """A Ray task: the cell's process, with the GPU that Ray set aside in CUDA_VISIBLE_DEVICES."""
    process = CellProcess(Cell(**cell), Path(dataset), Path(directory), environment(threads), force)
    try:
        return process.run()
    except KeyboardInterrupt:  # how ray.cancel reaches a task
        process.stop()
        process.wait(STOP_SECONDS)
        raise
