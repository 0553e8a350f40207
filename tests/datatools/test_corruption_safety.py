"""A corruption that is cut off at any moment leaves nothing or all."""

from __future__ import annotations

import errno
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from datatools.corruption import corrupt
from datatools.format.dataset import Dataset, open_dataset
from datatools.verification import verify
from tests.support.children import environment
from tests.support.factories import clean_dataset, convert_source, made_up_source, tree

KILLS = 16
CHILD = """
import sys
from pathlib import Path
from datatools.corruption import corrupt
from datatools.format.dataset import open_dataset
parent = open_dataset(sys.argv[1])
options = {"donor": Path(sys.argv[3])} if len(sys.argv) > 3 else {}
print("ready", flush=True)
sys.stdin.readline()
corrupt(parent, noise=sys.argv[2], rate=0.4, overwrite=True, **options)
"""


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A parent of 40 MB in five files, large enough that a kill can come in the middle, and a donor."""
    folder = tmp_path_factory.mktemp("killed")
    shape = (3, 64, 64)
    for name, records, seed in (("clean", 3_300, 0), ("donor", 1_400, 1)):
        made_up = made_up_source(np.arange(records) % 4, [0, 1], 4, shape, seed)
        convert_source(made_up, folder / name, train_files=5)
    return folder


def start(workplace: Path, noise: str) -> subprocess.Popen[str]:
    options = [str(workplace / "donor")] if noise == "open-set" else []
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(workplace / "clean"), noise, *options],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=environment(),
        text=True,
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "ready\n"
    return child


def begin(child: subprocess.Popen[str]) -> None:
    assert child.stdin is not None
    child.stdin.write("\n")
    child.stdin.flush()


def is_complete(path: Path) -> bool:
    return all(check.passed for check in verify(open_dataset(path)))


@pytest.mark.parametrize("noise", ["pair", "open-set"])
def test_a_killed_corruption_leaves_nothing_or_all_and_can_be_repeated(workplace: Path, noise: str) -> None:
    out = workplace / f"clean-{noise}-0.4-seed0"
    whole = start(workplace, noise)
    started = time.perf_counter()
    begin(whole)
    assert whole.wait(60) == 0
    usual = time.perf_counter() - started
    expected = tree(out)
    shutil.rmtree(out)
    moments = random.Random(noise)
    killed_early = 0
    for number in range(KILLS):
        child = start(workplace, noise)
        begin(child)
        # one in every sixteenth of the usual time, at a random place in it
        time.sleep(usual * (number + moments.random()) / KILLS)
        child.kill()
        assert child.wait(60) in (0, -signal.SIGKILL)
        if out.exists():
            assert tree(out) == expected
            shutil.rmtree(out)
        else:
            killed_early += 1
    assert killed_early >= KILLS // 4  # else nothing was cut off in the middle
    options: dict[str, Any] = {"donor": workplace / "donor"} if noise == "open-set" else {}
    again = corrupt(open_dataset(workplace / "clean"), noise=noise, rate=0.4, **options).dataset
    assert tree(out) == expected
    assert is_complete(again.path)
    assert not list(workplace.glob(".*partial*"))  # what the killed ones left is swept away
    shutil.rmtree(out)


@pytest.mark.parametrize("call", [1, 2, 3, 4])
def test_a_kill_between_two_files_leaves_nothing(tmp_path: Path, call: int) -> None:
    parent = clean_dataset(tmp_path / "clean", train_files=3)
    before = set(tree(tmp_path))
    child = os.fork()
    if child == 0:
        calls = 0

        def progress(done: int, total: int) -> None:
            nonlocal calls
            calls += 1
            if calls == call:
                os.kill(os.getpid(), signal.SIGKILL)

        corrupt(parent, noise="pair", rate=0.4, progress=progress)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert os.WTERMSIG(status) == signal.SIGKILL
    assert not (tmp_path / "clean-pair-0.4-seed0").exists()
    assert any(name.startswith(".clean-pair") for name in set(tree(tmp_path)) - before)
    assert is_complete(corrupt(parent, noise="pair", rate=0.4).dataset.path)
    assert not list(tmp_path.glob(".*partial*"))


def failing(path: Path, *more: Any) -> Any:
    raise OSError(errno.ENOSPC, "No space left on device", str(path))


@pytest.mark.parametrize(
    "step",
    [
        "format.copying.copy_file",
        "format.copying.copy_changed",
        "corruption.write_manifest",
        "corruption.write_metadata",
    ],
)
def test_a_step_that_fails_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    parent: Dataset = clean_dataset(tmp_path / "clean")
    before = tree(tmp_path)
    monkeypatch.setattr(f"datatools.{step}", failing)
    with pytest.raises(OSError, match="No space"):
        corrupt(parent, noise="pair", rate=0.4)
    assert tree(tmp_path) == before
