"""Decoding in several processes: the same bytes, errors as they are, and nobody left behind."""

from __future__ import annotations

import dataclasses
import json
import os
import random
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from datatools.conversion import convert
from datatools.decoding import workers as decoding_workers
from datatools.decoding.chunks import Chunk
from datatools.decoding.workers import Decoders, default_workers
from datatools.errors import DataToolsError
from datatools.format.records import ImageShape
from datatools.sources import SOURCES
from datatools.sources.base import Source, SourceSplit
from tests.support.archives import zipped
from tests.support.children import environment
from tests.support.factories import SOURCE_FACTORIES, convert_source, tree
from tests.support.official_files import image_folder_set, tiny_imagenet_set, write_image_folder, write_tiny_imagenet

pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").is_file(), reason="processes are looked up in /proc")


def constant(value: int, seconds: float = 0.0) -> np.ndarray:
    """(4, 1, 2, 2) uint8; stands in for decoding in tests, here and in workers."""
    time.sleep(seconds)
    return np.full((4, 1, 2, 2), value, np.uint8)


def refuse(value: int) -> np.ndarray:
    raise DataToolsError(f"image {value} is damaged")


def end_abruptly() -> np.ndarray:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError


def source_of(chunks: list[Chunk]) -> Source:
    records = sum(len(chunk.labels) for chunk in chunks)
    test = [Chunk(np.zeros(4, np.int64), partial(constant, 0))]
    splits = {"train": SourceSplit(records, lambda: iter(chunks)), "test": SourceSplit(4, lambda: iter(test))}
    return Source(ImageShape(1, 2, 2), ("a", "b"), splits, "made up", decodes=True)


def labelled(decode: partial[np.ndarray]) -> Chunk:
    return Chunk(np.array([0, 1, 0, 1]), decode)


# --- the same bytes --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SOURCES)
def test_every_source_gives_the_same_bytes_whatever_the_workers(tmp_path: Path, name: str) -> None:
    location = SOURCE_FACTORIES[name](tmp_path).location
    trees = []
    for workers in (1, 2, 5):
        made = convert(name, source=location, out=tmp_path / str(workers) / "out", workers=workers)
        trees.append(tree(made.dataset.path))
    assert trees[1] == trees[0]
    assert trees[2] == trees[0]


def test_tiny_imagenet_is_the_same_from_folder_and_zip_whatever_the_workers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("datatools.decoding.images.CHUNK_BYTES", 3 * 64 * 64 * 5)  # many chunks
    folder, _ = write_tiny_imagenet(tmp_path / "tiny-imagenet-200", tiny_imagenet_set(4, 12, 30))
    batches = []
    for location in (folder, zipped(folder, tmp_path / "tiny.zip")):
        for workers in (1, 2, 5):
            made = convert("tiny-imagenet", source=location, out=tmp_path / "out", workers=workers, overwrite=True)
            batches.append({name: data for name, data in tree(made.dataset.path).items() if name.endswith(".bin")})
    assert len(batches[0]) == 5
    assert all(other == batches[0] for other in batches)


def test_results_come_in_order_whoever_is_first(tmp_path: Path) -> None:
    chunks = [labelled(partial(constant, value, 0.05 * (value % 3 == 0))) for value in range(20)]
    made = convert_source(source_of(chunks), tmp_path / "out", workers=3).dataset
    pixels = np.concatenate([batch["pixels"] for batch in made.batches("train")])
    assert pixels[:, 0, 0, 0].tolist() == [value for value in range(20) for _ in range(4)]


def test_few_chunks_are_under_way_at_a_time() -> None:
    taken = 0

    def chunks():  # type: ignore[no-untyped-def]
        nonlocal taken
        for value in range(100):
            taken += 1
            yield labelled(partial(constant, value))

    with Decoders(2) as decoders:
        for number, (_, pixels) in enumerate(decoders.decode(chunks())):
            assert isinstance(pixels, np.ndarray)
            assert taken <= number + 2 * decoding_workers.UNDER_WAY + 1
    assert taken == 100


def test_skipped_images_are_the_same_whatever_the_workers(tmp_path: Path) -> None:
    source = write_image_folder(tmp_path / "source", image_folder_set())
    for path in sorted(source.rglob("*.png"))[::4]:
        path.write_bytes(b"broken")
    made = [
        convert("image-folder", source=source, out=tmp_path / str(workers) / "out", workers=workers, skip_bad=True)
        for workers in (1, 2)
    ]
    assert made[0].notices == made[1].notices
    assert tree(made[0].dataset.path) == tree(made[1].dataset.path)


def test_the_default_is_the_usable_cores_up_to_eight(monkeypatch: pytest.MonkeyPatch) -> None:
    for cores, workers in ((1, 1), (3, 3), (64, 8)):
        monkeypatch.setattr(os, "sched_getaffinity", lambda _, cores=cores: set(range(cores)))
        assert default_workers() == workers


@pytest.mark.parametrize("workers", [0, -1, 1000])
def test_a_silly_number_of_workers_is_refused(tmp_path: Path, workers: int) -> None:
    with pytest.raises(DataToolsError, match=f"workers {workers}"):
        convert("digits", out=tmp_path / "out", workers=workers)


# --- errors ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("workers", [1, 2])
def test_the_error_of_a_worker_arrives_as_it_is(tmp_path: Path, workers: int) -> None:
    chunks = [labelled(partial(refuse if value in (7, 9) else constant, value)) for value in range(12)]
    with pytest.raises(DataToolsError) as caught:
        convert_source(source_of(chunks), tmp_path / "out", workers=workers)
    assert str(caught.value) == "image 7 is damaged"
    assert tree(tmp_path) == {}


def test_what_lies_behind_the_limit_is_no_error(tmp_path: Path) -> None:
    chunks = [labelled(partial(refuse if value >= 2 else constant, value)) for value in range(12)]
    for workers in (1, 2):
        made = convert_source(source_of(chunks), tmp_path / str(workers), workers=workers, limit=8).dataset
        assert made.metadata.num_records("train") == 8


def test_a_worker_that_is_killed_is_one_line(tmp_path: Path) -> None:
    chunks = [labelled(partial(constant, 1)), labelled(partial(end_abruptly)), labelled(partial(constant, 2))]
    with pytest.raises(DataToolsError, match="a decoding process was killed"):
        convert_source(source_of(chunks), tmp_path / "out", workers=2)
    assert tree(tmp_path) == {}


# --- kill and interrupt ----------------------------------------------------------------------------------------------

# Converts argv[1] to argv[2] with argv[3] workers, slowly: decoding goes image by image
SLOWLY = """
import pathlib, sys
import cli
from datatools import conversion
from datatools.decoding import images
images.CHUNK_BYTES = 1
check_free = conversion.check_free
def ready(*arguments):
    print("ready", flush=True)
    check_free(*arguments)
conversion.check_free = ready
cli.datatools.main(["convert", "--dataset", "tiny-imagenet", "--source", sys.argv[1], "--out", sys.argv[2],
                    "--workers", sys.argv[3]])
"""


@pytest.fixture(scope="module")
def many_images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Tiny-ImageNet of 600 images."""
    folder = tmp_path_factory.mktemp("many")
    location, _ = write_tiny_imagenet(folder / "tiny-imagenet-200", tiny_imagenet_set(5, 100, 100))
    return zipped(location, folder / "tiny.zip")


def start(source: Path, out: Path, workers: int) -> subprocess.Popen[str]:
    child = subprocess.Popen(
        [sys.executable, "-c", SLOWLY, str(source), str(out), str(workers)],
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "ready\n"
    return child


def members(session: int) -> set[int]:
    """The living processes of a session."""
    found = set()
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, _, own = path.read_text().rpartition(")")[2].split()[:4]
        except OSError:  # it has just ended
            continue
        if int(own) == session and state != "Z":
            found.add(int(path.parent.name))
    return found


def assert_all_end(session: int) -> None:
    deadline = time.monotonic() + 10
    while left := members(session):
        assert time.monotonic() < deadline, f"still there: {left}"
        time.sleep(0.02)


def is_whole(out: Path) -> bool:
    metadata = json.loads((out / "dataset.json").read_text())
    files = [file for split in metadata["splits"].values() for file in split["files"]]
    return all((out / file["name"]).stat().st_size == file["records"] * (8 + 3 * 64 * 64) for file in files)


@pytest.mark.parametrize("workers", [1, 2])
def test_a_conversion_killed_at_any_moment_leaves_nothing_or_everything(
    tmp_path: Path, many_images: Path, workers: int
) -> None:
    generator = random.Random(workers)
    outcomes = set()
    out = tmp_path / "out"
    for _ in range(8):
        child = start(many_images, out, workers)
        time.sleep(generator.uniform(0, 0.6))
        child.kill()
        child.communicate()
        assert_all_end(child.pid)
        assert {path.name for path in tmp_path.iterdir() if not path.name.startswith(".out.partial-")} <= {"out"}
        outcomes.add(out.exists())
        if out.exists():
            assert is_whole(out)
            for path in out.iterdir():
                path.unlink()
            out.rmdir()
    assert False in outcomes  # some were killed in the middle
    convert("tiny-imagenet", source=many_images, out=out)
    assert is_whole(out)
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize("moment", [0.0, 0.1, 0.25, 0.4])
def test_an_interrupt_ends_every_process_and_leaves_nothing(tmp_path: Path, many_images: Path, moment: float) -> None:
    child = start(many_images, tmp_path / "out", 2)
    time.sleep(moment)
    os.killpg(child.pid, signal.SIGINT)  # as the terminal does it: to all of them
    _, err = child.communicate(timeout=20)
    assert_all_end(child.pid)
    assert "Traceback" not in err
    assert [path.name for path in tmp_path.iterdir()] in ([], ["out"])
    if (tmp_path / "out").exists():  # it was done by then
        assert is_whole(tmp_path / "out")
    else:
        assert (child.returncode, err.strip()) == (1, "Aborted!")


def test_nobody_is_left_after_an_error(tmp_path: Path, many_images: Path) -> None:
    data = bytearray(many_images.read_bytes())
    place = data.rindex(b"images/val_99.JPEG", 0, data.index(b"PK\x01\x02"))
    data[place + 100 : place + 900] = bytes(800)
    broken = tmp_path / "broken.zip"
    broken.write_bytes(data)
    child = start(broken, tmp_path / "out", 2)
    _, err = child.communicate(timeout=20)
    assert child.returncode == 1
    assert err.count("\n") == 1
    assert "val_99.JPEG" in err
    assert_all_end(child.pid)
    assert [path.name for path in tmp_path.iterdir()] == ["broken.zip"]


def test_sources_that_decode_nothing_start_no_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[int] = []
    monkeypatch.setattr(decoding_workers, "start_server", lambda: started.append(1))
    convert("digits", out=tmp_path / "out", workers=4)
    plain = dataclasses.replace(source_of([labelled(partial(constant, 1))]), decodes=False)
    convert_source(plain, tmp_path / "plain", workers=4)
    assert started == []
