"""A full or read-only disk and little memory: the commands say so in one line, and leave nothing."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from datatools.format.dataset import Dataset
from tests.support.children import run_python
from tests.support.cifar_files import cifar10_set, write_cifar10_binary
from tests.support.datatools_command import CONVERT, CORRUPT, RUN, Command, Outcome, assert_refused, in_child
from tests.support.factories import SOURCE_FACTORIES, convert_source, made_up_source, tree

LIMITED = """
import resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]),) * 2)
del sys.argv[1]
import cli
cli.datatools()
"""


@pytest.fixture
def many_classes(tmp_path: Path) -> Dataset:
    """A dataset whose manifest is larger than any of its other files."""
    source = made_up_source(list(range(100)) * 2, [0], 100, (1, 1, 1))
    return convert_source(source, tmp_path / "clean").dataset


@pytest.mark.parametrize("room", [0, 10_000, 30_000])
def test_convert_leaves_nothing_where_a_file_cannot_grow(tmp_path: Path, room: int) -> None:
    write_cifar10_binary(tmp_path / "good", cifar10_set(50, 20))
    before = tree(tmp_path)
    child = run_python(LIMITED, room, *CONVERT, "--source", "good", "--out", "out", cwd=tmp_path)
    assert_refused(Outcome(child.returncode, child.stdout, child.stderr), "_batch")
    assert re.search(r"/out/(data_batch_1|test_batch)\.bin: File too large; ", child.stderr)
    assert tree(tmp_path) == before


@pytest.mark.parametrize("room", [0, 500, 2_000, 30_000, 100_000])
def test_corrupt_leaves_nothing_where_a_file_cannot_grow(tmp_path: Path, many_classes: Dataset, room: int) -> None:
    before = tree(tmp_path)
    child = run_python(LIMITED, room, *CORRUPT, 0.5, "--data", many_classes.path, cwd=tmp_path)
    assert_refused(Outcome(child.returncode, child.stdout, child.stderr), "File too large")
    assert re.search(r"/clean-pair-0.5-seed0/(\w+_batch(_1)?\.bin|manifest\.h5|dataset\.json): ", child.stderr)
    assert tree(tmp_path) == before


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 128 KiB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = shutil.which("mount") and subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=128k", "tmpfs", str(disk)], capture_output=True
    )
    if not mounted or mounted.returncode:
        pytest.skip("a small file system can be mounted by root only")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


@pytest.mark.parametrize("filled", [0, 60 << 10, 100 << 10])
def test_a_full_disk_gets_one_line_and_leaves_nothing(small_disk: Path, many_classes: Dataset, filled: int) -> None:
    write_cifar10_binary(small_disk.parent / "good", cifar10_set(50, 20))
    images = SOURCE_FACTORIES["tiny-imagenet"](small_disk.parent).location
    (small_disk / "other").write_bytes(bytes(filled))
    for arguments in (
        [*CONVERT, "--source", "good", "--out", "disk/out"],
        ["convert", "--dataset", "tiny-imagenet", "--source", str(images), "--out", "disk/out", "--workers", "2"],
        [*CORRUPT, "0.5", "--data", many_classes.path, "--out", "disk/out"],
        ["export", many_classes.path, "--to", "image-folder", "--out", "disk/out"],
    ):
        outcome = in_child(*arguments, cwd=small_disk.parent)
        assert_refused(outcome, "No space left on device")
        assert re.search(r"/disk/out/\S+: No space", outcome.err), outcome.err
        assert [path.name for path in small_disk.iterdir()] == ["other"]


def test_a_read_only_disk_gets_one_line(small_disk: Path) -> None:
    images = SOURCE_FACTORIES["tiny-imagenet"](small_disk.parent).location
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    for workers in (1, 2):
        outcome = in_child(
            *("convert", "--dataset", "tiny-imagenet", "--source", images, "--out", "disk/out", "--workers", workers),
            cwd=small_disk.parent,
        )
        assert_refused(outcome, "Read-only")
    assert list(small_disk.iterdir()) == []


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
def test_a_read_only_folder_gets_one_line(tmp_path: Path, datatools: Command) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o555)
    assert_refused(datatools("convert", "--dataset", "digits", "--out", "closed/out"), "closed")


def test_convert_holds_little_memory(tmp_path: Path) -> None:
    write_cifar10_binary(tmp_path / "good", cifar10_set(20_000, 10))  # 60 MB
    code = f"""

try:
    {RUN}
finally:
    with open("/proc/self/status") as status:
        print(*[line.split()[1] for line in status if line.startswith("VmHWM:")])
"""
    if not Path("/proc/self/status").is_file():
        pytest.skip("the peak of memory is read from /proc")
    child = run_python(code, *CONVERT, "--source", "good", "--out", "out", cwd=tmp_path)
    assert child.returncode == 0, child.stderr
    assert int(child.stdout.split()[-1]) < 200 << 10  # KiB
