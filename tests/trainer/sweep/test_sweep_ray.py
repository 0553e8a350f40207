"""A sweep on a real Ray cluster of two nodes on this machine, one of which is killed in the middle.

`make test-ray` installs Ray and runs this; without Ray it is skipped.
"""

from __future__ import annotations

import csv
import logging
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from trainer.sweep.executor import Resources
from trainer.sweep.grid import Grid
from trainer.sweep.loop import sweep

pytest.importorskip("ray", reason="Ray is not installed: `make test-ray` installs it and runs these tests")

PORT = 6399
HOSTS = ("127.0.0.2", "127.0.0.3")
"""Loopback alone; of 127.0.0.1 itself Ray makes the machine's outward address."""
TIMING = {"seconds", "images_per_second"}
GRID = Grid(
    datasets=("digits",),
    methods=("default", "co-teaching"),
    rates=(0.2,),
    seeds=(0, 1),
    limit=300,
    settings={"preset": "quick", "epochs": 120},
)


def ray_command(*arguments: str, **options: Any) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [str(Path(sys.executable).parent / "ray"), *arguments],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        **options,
    )


class Node:
    """A Ray node of one processor that runs as a process group of its own, so that it can be killed as a machine is."""

    def __init__(self, folder: Path, host: str, *arguments: str) -> None:
        environment = {**os.environ, "RAY_USAGE_STATS_ENABLED": "0", "RAY_TMPDIR": str(folder)}
        common = ["--node-ip-address", host, "--num-cpus", "1", "--block", "--disable-usage-stats"]
        self.process = ray_command("start", *arguments, *common, env=environment)

    def kill(self) -> None:
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[tuple[str, Node]]:
    """The address of a cluster of two nodes, and the one of them that may die."""
    folder = Path("/tmp") / f"ray-test-{os.getpid()}"  # sockets' paths must be short
    folder.mkdir()
    head = Node(folder, HOSTS[0], "--head", "--port", str(PORT), "--include-dashboard", "false")
    second: Node | None = None
    try:
        time.sleep(5)
        second = Node(folder, HOSTS[1], "--address", f"{HOSTS[0]}:{PORT}")
        yield f"{HOSTS[0]}:{PORT}", second
    finally:
        for node in (second, head):
            if node is not None:
                node.kill()
        shutil.rmtree(folder, ignore_errors=True)


def rows(directory: Path) -> list[dict[str, str]]:
    with (directory / "metrics.csv").open() as file:
        return [{k: v for k, v in row.items() if k not in TIMING} for row in csv.DictReader(file)]


def test_a_sweep_survives_the_death_of_a_node_and_equals_the_local_one(
    tmp_path: Path, cluster: tuple[str, Node], monkeypatch: pytest.MonkeyPatch
) -> None:
    address, second = cluster
    wait_for_nodes(address, 2)
    out = tmp_path / "ray"
    begun: list[int] = []

    def kill_when_both_train() -> None:
        end = time.monotonic() + 120
        while time.monotonic() < end:
            begun[:] = [len(list(out.glob("*/*/checkpoint.h5")))]
            if begun[0] >= 2:
                second.kill()
                return
            time.sleep(0.05)

    killer = threading.Thread(target=kill_when_both_train)
    killer.start()
    content = sweep(GRID, tmp_path / "data", out, "ray", Resources(address=address), quiet=True)
    killer.join()
    assert second.process.poll() is not None, "the node was not killed"
    assert [(cell["state"], cell["error"]) for cell in content["cells"]] == [("finished", None)] * 4
    local = sweep(GRID, tmp_path / "data", tmp_path / "local", "local", Resources(jobs=2), quiet=True)
    assert [cell["run"] for cell in local["cells"]] == [cell["run"] for cell in content["cells"]]
    for cell in local["cells"]:
        ours, theirs = tmp_path / "local" / cell["run"], out / cell["run"]
        assert rows(ours) == rows(theirs)
        for name in ("samples.h5", "weights.h5"):
            assert (ours / name).read_bytes() == (theirs / name).read_bytes(), f"{cell['run']}/{name}"


def wait_for_nodes(address: str, count: int) -> None:
    import ray

    end = time.monotonic() + 90
    while True:
        try:
            ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
            alive = sum(node["Alive"] for node in ray.nodes())
            ray.shutdown()
            if alive == count:
                return
        except ConnectionError:
            pass
        assert time.monotonic() < end, "the cluster did not come up"
        time.sleep(1)
