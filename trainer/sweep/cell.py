"""One cell in a process of its own: the same code whoever starts it.

The process imports a framework of its own, so that cells share neither its memory nor its device, and a crash ends one
cell alone. It watches its parent: when that dies it dies too, so that who takes the cell up again finds it free.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from datatools.errors import DataToolsError
from trainer.sweep.grid import Cell

RETRIES = 2
"""How often a cell whose process dies without a word is taken up again, from its checkpoint."""
WATCH_SECONDS = 0.5
THREAD_VARIABLES = ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "OMP_NUM_THREADS")


def environment(threads: int, gpu: int | None = None) -> dict[str, str]:
    """Variables of a cell's process: so many threads for its framework, and the GPU it sees."""
    variables = dict.fromkeys(THREAD_VARIABLES, str(threads))
    if threads == 1:
        variables["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false"
    if gpu is not None:
        variables["CUDA_VISIBLE_DEVICES"] = str(gpu)
    return variables


class CellProcess:
    """A cell's process, and what became of it."""

    def __init__(
        self, cell: Cell, dataset: Path, directory: Path, variables: dict[str, str], force: bool = False
    ) -> None:
        """`variables`: added to the environment. force: resume in spite of other code, packages or device."""
        paths = {"dataset": str(dataset), "directory": str(directory)}
        self.request = json.dumps({"cell": cell.to_json(), **paths, "force": force})
        self.variables = variables
        self._process: subprocess.Popen[str] | None = None
        self._stopped = False

    def run(self) -> dict[str, Any]:
        """Run the cell to its end.

        Returns:
            {"state": "finished", "result": …}, {"state": "failed", "error": one line} or {"state": "stopped"}.
        """
        outcome: dict[str, Any] = {"state": "stopped"}
        for _ in range(RETRIES + 1):
            if self._stopped:
                return {"state": "stopped"}
            outcome = self._once()
            if outcome.pop("silent", False) is False:
                return outcome
        return outcome

    def _once(self) -> dict[str, Any]:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "trainer.sweep.cell", str(os.getpid())],
            env={**os.environ, **self.variables, "PYTHONPATH": os.pathsep.join(sys.path)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,  # a Ctrl-C reaches the sweep alone, which passes it on
        )
        out, err = self._process.communicate(self.request)
        try:
            return dict(json.loads(out.splitlines()[-1]))
        except (IndexError, ValueError):
            if self._stopped:
                return {"state": "stopped"}
            code = self._process.returncode
            how = f"signal {-code}" if code < 0 else f"exit code {code}"
            last = f": {err.strip().splitlines()[-1]:.200}" if err.strip() else ""
            return {"state": "failed", "error": f"its process ended by {how}{last}", "silent": True}

    def stop(self) -> None:
        """Have the run save its checkpoint and end."""
        self._stopped = True
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()

    def wait(self, seconds: float) -> None:
        """Wait for the process to end, so long at most."""
        if self._process is not None:
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(seconds)


def run_cell(cell: Cell, dataset: Path, directory: Path, force: bool = False) -> dict[str, Any]:
    """Train a cell in this process; what became of it, as `CellProcess.run` tells."""
    from datatools.format.dataset import open_dataset
    from trainer.config import resolve
    from trainer.sweep.silent import Silent
    from trainer.training.loop import train
    from trainer.training.stopping import RunStoppedError

    settings = dict(cell.settings)
    every = settings.pop("checkpoint_every", 1)
    try:
        opened = open_dataset(dataset)
        config = resolve(
            cell.method, opened, network=cell.network, seed=cell.seed, method_options=cell.options, **settings
        )
        result = train(config, opened, directory, Silent(), resume=True, force=force, checkpoint_every=every)
    except RunStoppedError:
        return {"state": "stopped"}
    except (DataToolsError, OSError, MemoryError) as error:
        return {"state": "failed", "error": " ".join(str(error).split()) or type(error).__name__}
    kept = ("best_test_error", "last_test_error", "mean_last10_test_error", "wall_seconds")
    return {"state": "finished", "result": {key: result[key] for key in kept}}


def _watch_parent(parent: int) -> None:
    """End this process when its parent has ended."""
    while os.getppid() == parent:
        time.sleep(WATCH_SECONDS)
    os._exit(1)


def main() -> None:
    """A cell's process: a request on stdin, an outcome as the last line of stdout."""
    threading.Thread(target=_watch_parent, args=[int(sys.argv[1])], daemon=True).start()
    request = json.loads(sys.stdin.read())
    paths = Path(request["dataset"]), Path(request["directory"])
    outcome = run_cell(Cell(**request["cell"]), *paths, force=request["force"])
    print(json.dumps(outcome), flush=True)


if __name__ == "__main__":
    main()
