"""Exports in every format: the same bytes each time, whole or not at all, and in little memory."""

from __future__ import annotations

import os
import re
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest

from datatools.errors import DataToolsError
from datatools.export import EXPORTS, export_dataset
from datatools.format.dataset import Dataset, open_dataset
from tests.support.children import PEAK_MEMORY, environment, needs_proc, run_python
from tests.support.exported import target
from tests.support.factories import clean_dataset, convert_source, made_up_source, tree


def content(path: Path) -> dict[str, bytes | None]:
    return tree(path) if path.is_dir() else {path.name: path.read_bytes()}


@pytest.mark.parametrize("to", EXPORTS)
def test_the_same_dataset_gives_the_same_bytes(tmp_path: Path, dataset: Dataset, to: str) -> None:
    one, two = target(tmp_path / "one", to), target(tmp_path / "deeper" / "two", to)
    seen: list[tuple[int, int]] = []
    export_dataset(dataset, to, one, progress=lambda done, total: seen.append((done, total)))
    if to == "hdf5":
        time.sleep(1.1)  # its library asks the system itself what time it is, in seconds
    with mock.patch("time.time", return_value=2e9), mock.patch("time.localtime", time.gmtime):
        export_dataset(dataset, to, two)
    assert content(one) == content(two)
    assert seen[-1] == (50, 50)


@pytest.mark.parametrize("to", EXPORTS)
def test_an_output_is_replaced_only_when_asked(tmp_path: Path, noisy: Dataset, to: str) -> None:
    out = target(tmp_path, to)
    export_dataset(open_dataset(tmp_path / "data" / "clean"), to, out)
    before = content(out)
    with pytest.raises(DataToolsError, match="--overwrite"):
        export_dataset(noisy, to, out)
    assert content(out) == before
    export_dataset(noisy, to, out, overwrite=True)
    assert content(out) != before
    fresh = target(tmp_path / "fresh", to)
    export_dataset(noisy, to, fresh)
    assert content(out) == content(fresh)
    assert not [path for path in tmp_path.iterdir() if "partial" in path.name]


@pytest.mark.parametrize("to", EXPORTS)
@pytest.mark.parametrize("what", ["folder", "link", "dataset", "itself", "parent", "inside"])
def test_what_no_export_made_is_never_replaced(tmp_path: Path, noisy: Dataset, to: str, what: str) -> None:
    out = target(tmp_path, to)
    if what == "folder":
        out.mkdir()
        (out / "chapter").write_text("a thesis")
    elif what == "link":
        (tmp_path / "elsewhere").mkdir()
        out.symlink_to(tmp_path / "elsewhere")
    elif what == "dataset":
        clean_dataset(out)
    else:
        out = {"itself": noisy.path, "parent": noisy.path.parent, "inside": target(noisy.path, to, "x")}[what]
    before = tree(tmp_path)
    with pytest.raises(DataToolsError) as caught:
        export_dataset(noisy, to, out, overwrite=True)
    assert "\n" not in str(caught.value)
    assert str(out) in str(caught.value)
    assert tree(tmp_path) == before


@pytest.mark.parametrize("to", EXPORTS)
@pytest.mark.parametrize("fault", ["cut", "gone", "label", "id", "manifest"])
def test_a_broken_dataset_leaves_nothing_behind(tmp_path: Path, noisy: Dataset, to: str, fault: str) -> None:
    batch = noisy.path / "data_batch_2.bin"
    data = bytearray(batch.read_bytes())
    if fault == "manifest":
        (noisy.path / "manifest.h5").unlink()
    elif fault == "gone":
        batch.unlink()
    else:
        if fault in ("label", "id"):
            data[{"id": 0, "label": 4}[fault] : {"id": 4, "label": 8}[fault]] = struct.pack(">I", 40)
        batch.write_bytes(data[:-1] if fault == "cut" else data)
    before = tree(tmp_path)
    with pytest.raises(DataToolsError) as caught:
        export_dataset(noisy, to, target(tmp_path / "new" / "folders", to))
    assert ("manifest.h5" if fault == "manifest" else "data_batch_2.bin") in str(caught.value)
    assert "\n" not in str(caught.value)
    assert tree(tmp_path) == before


LIMITED = """
import resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]),) * 2)
import cli
cli.datatools.main(["export", *sys.argv[2:]], prog_name="datatools")
"""


@pytest.mark.parametrize("to", EXPORTS)
@pytest.mark.parametrize("room", [0, 700, 60_000])
def test_a_file_that_cannot_grow_gets_one_line_and_leaves_nothing(tmp_path: Path, to: str, room: int) -> None:
    shape = (3, 200, 200) if to == "image-folder" else (3, 32, 32)
    holds_labels_alone = to in ("csv", "noise-json", "npy")
    train = 8 if to == "image-folder" else 1_500 if holds_labels_alone else 100
    clean_dataset(tmp_path / "clean", train=train, test=2, shape=shape, train_files=1)
    before = tree(tmp_path)
    out = target(tmp_path / "new", to)
    child = run_python(LIMITED, room, tmp_path / "clean", "--to", to, "--out", out, cwd=tmp_path)
    if holds_labels_alone and room == 60_000:
        assert child.returncode == 0  # the control: what fits is written
        assert all(path.stat().st_size < room for path in (out.iterdir() if out.is_dir() else [out]))
        return
    assert (child.returncode, child.stdout) == (1, ""), child.stderr
    assert child.stderr.startswith("datatools: error: ")
    assert child.stderr.count("\n") == 1
    inside = "" if EXPORTS[to].suffixes else "/"
    assert re.search(rf"{re.escape(str(out))}{inside}.*: File too large; ", child.stderr)
    assert tree(tmp_path) == before


@pytest.mark.parametrize("to", ["hdf5", "image-folder"])
def test_what_a_killed_export_leaves_is_swept_away_by_the_next(tmp_path: Path, noisy: Dataset, to: str) -> None:
    out = target(tmp_path, to)
    stop = "import os, signal; from datatools.export import rows; inner = rows._forget\n"
    stop += "rows._forget = lambda batch: os.kill(os.getpid(), signal.SIGSTOP)\n"
    run = "import sys, cli; cli.datatools.main(sys.argv[1:])"
    command = [sys.executable, "-c", stop + run, "export", str(noisy.path), "--to", to, "--out", str(out)]
    with subprocess.Popen(command, env=environment()) as child:
        _, status = os.waitpid(child.pid, os.WUNTRACED)
        assert os.WIFSTOPPED(status)
        started = [path.name for path in tmp_path.iterdir() if "partial" in path.name]
        assert len(started) == 1
        export_dataset(noisy, to, out)  # beside a living one, which keeps its own
        assert [path.name for path in tmp_path.iterdir() if "partial" in path.name] == started
        child.send_signal(signal.SIGKILL)
    export_dataset(noisy, to, out, overwrite=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", out.name]


@needs_proc
@pytest.mark.parametrize("to", ["hdf5", "npz", "csv", "noise-json", "npy", "croissant"])
def test_memory_stays_flat(tmp_path: Path, to: str) -> None:
    """60 MB more of images in one file cost no more than a few chunks."""
    code = f"""
import sys
from pathlib import Path
from datatools.format.dataset import open_dataset
from datatools.export import export_dataset
{PEAK_MEMORY}
for name in ("small", "large"):
    export_dataset(open_dataset(name), sys.argv[1], Path(name + sys.argv[2]))
    print(peak_memory())
"""
    for name, records in (("small", 3_000), ("large", 23_000)):  # 9 and 71 MB
        source = made_up_source(np.zeros(records, np.int64), [0], 2, (3, 32, 32))
        convert_source(source, tmp_path / name, train_files=1)
    child = run_python(code, to, (*EXPORTS[to].suffixes, "-out")[0], cwd=tmp_path)
    assert child.returncode == 0, child.stderr
    small, large = map(int, child.stdout.split())
    assert large - small < 16 << 10  # KiB


def test_an_unknown_format_is_named(tmp_path: Path, noisy: Dataset) -> None:
    with pytest.raises(DataToolsError, match="export format 'tar': not known; known are hdf5"):
        export_dataset(noisy, "tar", tmp_path / "out.tar")


def test_the_registry_leads_to_functions() -> None:
    from importlib import import_module

    for spec in EXPORTS.values():
        module, function = spec.writer.split(":")
        writer: Callable[..., Any] = getattr(import_module(module), function)
        assert callable(writer)
