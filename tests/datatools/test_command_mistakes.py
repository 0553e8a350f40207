"""Every mistake on the command line gets one line, and writes nothing."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from datatools.format.dataset import open_dataset
from tests.support.cifar_files import cifar10_set, python3_pickle, write_cifar10_binary, write_cifar10_python
from tests.support.datatools_command import CONVERT, CORRUPT, Command, assert_refused, in_child
from tests.support.factories import clean_dataset, noisy_dataset, tree


@pytest.fixture
def desk(tmp_path: Path) -> Path:
    """A folder in which every mistake below can be made."""
    content = cifar10_set()
    write_cifar10_binary(tmp_path / "good", content)
    write_cifar10_binary(tmp_path / "cut", content)
    batch = tmp_path / "cut" / "data_batch_4.bin"
    batch.write_bytes(batch.read_bytes()[:-1])
    write_cifar10_binary(tmp_path / "wrong-size", content)
    (tmp_path / "wrong-size" / "test_batch.bin").write_bytes(bytes(10_000))
    write_cifar10_python(tmp_path / "payload", content, python3_pickle)
    (tmp_path / "payload" / "data_batch_2").write_bytes(b"cos\nsystem\n(S'touch sentinel'\ntR.")
    write_cifar10_binary(tmp_path / "bad-label", content)
    batch = tmp_path / "bad-label" / "test_batch.bin"
    batch.write_bytes(b"\xff" + batch.read_bytes()[1:])
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("a file")
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter").write_text("not a dataset")
    for root, names in {"one": ["a"], "two": ["a", "b"]}.items():
        for name in names:
            clean_dataset(tmp_path / root / name)
    noisy = noisy_dataset(open_dataset(tmp_path / "one" / "a"))
    (tmp_path / "noisy-only").mkdir()
    shutil.copytree(noisy.path, tmp_path / "noisy-only" / "n")
    shutil.copytree(tmp_path / "one" / "a", tmp_path / "broken-json")
    (tmp_path / "broken-json" / "dataset.json").write_text("{")
    shutil.copytree(tmp_path / "one" / "a", tmp_path / "cut-batch")
    batch = tmp_path / "cut-batch" / "data_batch_1.bin"
    batch.write_bytes(batch.read_bytes()[:-1])
    return tmp_path


MISTAKES: dict[str, tuple[list[str], int, str]] = {
    "no command": (["nonsense"], 2, "nonsense"),
    "an unknown option": ([*CONVERT, "--nonsense"], 2, "--nonsense"),
    "an unknown dataset": (["convert", "--dataset", "svhn"], 2, "svhn"),
    "no dataset": (["convert"], 2, "--dataset"),
    "a missing folder": ([*CONVERT, "--source", "missing"], 1, "missing"),
    "nothing under raw and no network": (CONVERT, 1, "put it at data/raw/cifar-10-binary.tar.gz"),
    "an address that is no file's": ([*CONVERT, "--source", "http://127.0.0.1:9/"], 1, "does not end in a file name"),
    "a mirror that is not there": ([*CONVERT, "--source", "http://127.0.0.1:9/x.tar"], 1, "http://127.0.0.1:9/x.tar"),
    "animal-10n without a source": (["convert", "--dataset", "animal-10n"], 1, "dm.kaist.ac.kr"),
    "an image folder without a source": (["convert", "--dataset", "image-folder"], 1, "--source"),
    "an image folder at an address": (
        ["convert", "--dataset", "image-folder", "--source", "http://a/b.zip"],
        1,
        "folder",
    ),
    "an image folder without classes": (["convert", "--dataset", "image-folder", "--source", "empty"], 1, "empty"),
    "an image folder with other files": (["convert", "--dataset", "image-folder", "--source", "."], 1, "not an image"),
    "a test fraction for cifar10": ([*CONVERT, "--source", "good", "--test-fraction", "0.1"], 1, "--test-fraction"),
    "a test fraction of one": ([*CONVERT, "--source", "good", "--test-fraction", "1"], 2, "--test-fraction"),
    "a seed for cifar10": ([*CONVERT, "--source", "good", "--seed", "1"], 1, "--seed"),
    "bad images of cifar10": ([*CONVERT, "--source", "good", "--skip-bad"], 1, "--skip-bad"),
    "no workers": ([*CONVERT, "--source", "good", "--workers", "0"], 2, "--workers"),
    "an empty folder": ([*CONVERT, "--source", "empty"], 1, "empty"),
    "a file that is no archive": ([*CONVERT, "--source", "file"], 1, "file"),
    "a truncated batch": ([*CONVERT, "--source", "cut"], 1, "data_batch_4.bin"),
    "a wrong record size": ([*CONVERT, "--source", "wrong-size"], 1, "test_batch.bin"),
    "a pickle with a payload": ([*CONVERT, "--source", "payload"], 1, "os.system"),
    "a label out of range": ([*CONVERT, "--source", "bad-label"], 1, "record 0 has label 255"),
    "coarse labels of cifar10": ([*CONVERT, "--source", "good", "--labels", "coarse"], 1, "--labels coarse"),
    "a label set that no source has": ([*CONVERT, "--source", "good", "--labels", "x"], 2, "--labels"),
    "a limit of zero": ([*CONVERT, "--source", "good", "--limit", "0"], 2, "--limit"),
    "a limit that is no number": ([*CONVERT, "--source", "good", "--limit", "many"], 2, "--limit"),
    "an output that exists": ([*CONVERT, "--source", "good", "--out", "one/a"], 1, "--overwrite"),
    "an output that is a file": ([*CONVERT, "--source", "good", "--out", "file", "--overwrite"], 1, "file"),
    "an output that is no dataset": ([*CONVERT, "--source", "good", "--out", "thesis", "--overwrite"], 1, "thesis"),
    "an output below a file": ([*CONVERT, "--source", "good", "--out", "file/out"], 1, "file"),
    "a root that is a file": ([*CONVERT, "--source", "good", "--root", "file"], 2, "--root"),
    "a root below a file": ([*CONVERT, "--source", "good", "--root", "file/root"], 1, "file"),
    "an output with too long a name": ([*CONVERT, "--source", "good", "--out", "x" * 300], 1, "1 to 255 bytes"),
    "a source with too long a name": ([*CONVERT, "--source", "x" * 300], 1, "name too long"),
    "a source for the digits": (["convert", "--dataset", "digits", "--source", "good"], 1, "--source"),
    "a folder with mnist's name only": (["convert", "--dataset", "mnist", "--source", "empty"], 1, "train-images"),
    "no rate": (["corrupt", "--type", "pair"], 2, "--rate"),
    "no type": (["corrupt", "--rate", "0.2"], 2, "--type"),
    "a rate of one": ([*CORRUPT, "1", "--data", "one/a"], 1, "rate 1"),
    "a rate above one": ([*CORRUPT, "1.5", "--data", "one/a"], 1, "rate 1.5"),
    "a rate below zero": ([*CORRUPT, "-0.1", "--data", "one/a"], 1, "rate -0.1"),
    "a rate that is no number": ([*CORRUPT, "nan", "--data", "one/a"], 1, "rate nan"),
    "an infinite rate": ([*CORRUPT, "inf", "--data", "one/a"], 1, "rate inf"),
    "a rate that is a word": ([*CORRUPT, "much", "--data", "one/a"], 2, "--rate"),
    "an unknown type": (["corrupt", "--rate", "0.2", "--type", "salt", "--data", "one/a"], 2, "salt"),
    "an unknown sampling": ([*CORRUPT, "0.2", "--sampling", "loose", "--data", "one/a"], 2, "loose"),
    "a negative seed": ([*CORRUPT, "0.2", "--seed", "-1", "--data", "one/a"], 2, "--seed"),
    "a seed too large to be written down": ([*CORRUPT, "0.2", "--seed", str(1 << 64), "--data", "one/a"], 0, "seed"),
    "no dataset and no --data": ([*CORRUPT, "0.2"], 1, "datatools convert"),
    "two datasets and no --data": ([*CORRUPT, "0.2", "--root", "two"], 1, "--data"),
    "only noisy datasets": ([*CORRUPT, "0.2", "--root", "noisy-only"], 1, "no clean dataset"),
    "a parent that is no dataset": ([*CORRUPT, "0.2", "--data", "thesis"], 1, "thesis"),
    "a missing parent": ([*CORRUPT, "0.2", "--data", "missing"], 1, "missing"),
    "a noisy parent": ([*CORRUPT, "0.2", "--data", "noisy-only/n"], 1, "noise already"),
    "a broken parent": ([*CORRUPT, "0.2", "--data", "broken-json"], 1, "broken-json/dataset.json"),
    "a parent with a truncated batch": ([*CORRUPT, "0.2", "--data", "cut-batch"], 1, "data_batch_1.bin"),
    "a matrix for pair noise": ([*CORRUPT, "0.2", "--matrix", "file", "--data", "one/a"], 2, "--matrix"),
    "a donor for pair noise": ([*CORRUPT, "0.2", "--donor", "two/a", "--data", "one/a"], 2, "--donor"),
    "labels for pair noise": ([*CORRUPT, "0.2", "--labels", "file", "--data", "one/a"], 2, "--labels"),
    "a rate for a matrix": (["corrupt", "--type", "matrix", "--rate", "0.2", "--matrix", "file"], 2, "--rate"),
    "no matrix": (["corrupt", "--type", "matrix", "--data", "one/a"], 2, "--matrix"),
    "a matrix that is none": (["corrupt", "--type", "matrix", "--matrix", "file", "--data", "one/a"], 1, "line 1"),
    "a missing matrix": (["corrupt", "--type", "matrix", "--matrix", "missing", "--data", "one/a"], 1, "no such file"),
    "no label file": (["corrupt", "--type", "human", "--column", "c", "--data", "one/a"], 2, "--labels"),
    "no column": (["corrupt", "--type", "human", "--labels", "file", "--data", "one/a"], 2, "--column"),
    "a label file that is none": (
        ["corrupt", "--type", "human", "--labels", "file", "--column", "c", "--data", "one/a"],
        1,
        "neither a .pt",
    ),
    "a seed for human labels": (
        ["corrupt", "--type", "human", "--labels", "file", "--column", "c", "--seed", "1", "--data", "one/a"],
        2,
        "--seed",
    ),
    "exact instance noise": (
        ["corrupt", "--type", "instance", "--rate", "0.2", "--sampling", "exact", "--data", "one/a"],
        2,
        "bernoulli",
    ),
    "no donor": (["corrupt", "--type", "open-set", "--rate", "0.2", "--data", "one/a"], 2, "--donor"),
    "a donor that is no dataset": (
        ["corrupt", "--type", "open-set", "--rate", "0.2", "--donor", "thesis", "--data", "one/a"],
        1,
        "thesis",
    ),
    "classes without a map": (["corrupt", "--type", "asymmetric", "--rate", "0.2", "--data", "one/a"], 1, "asymmetric"),
    "an existing noisy output": ([*CORRUPT, "0.4", "--data", "one/a"], 1, "--overwrite"),
    "a noisy output below a file": ([*CORRUPT, "0.2", "--data", "one/a", "--out", "file/out"], 1, "file"),
    "info on nothing": (["info"], 2, "DIR"),
    "info on a missing folder": (["info", "missing"], 1, "missing"),
    "info on a file": (["info", "file"], 1, "file"),
    "info on a broken dataset": (["info", "broken-json"], 1, "dataset.json"),
    "info on a truncated batch": (["info", "cut-batch"], 1, "data_batch_1.bin"),
    "verify on a missing folder": (["verify", "missing"], 1, "missing"),
    "verify on a broken dataset": (["verify", "broken-json"], 1, "dataset.json"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_gets_one_line_and_writes_nothing(desk: Path, datatools: Command, mistake: str) -> None:
    arguments, code, said = MISTAKES[mistake]
    before = tree(desk)
    outcome = datatools(*arguments)
    assert_refused(outcome, said)
    assert outcome.code == code or not code  # 0 in the table: either will do
    assert tree(desk) == before


def test_text_that_the_terminal_cannot_show_is_no_traceback(tmp_path: Path) -> None:
    dataset = clean_dataset(tmp_path / "clean")
    text = (dataset.path / "dataset.json").read_text()
    (dataset.path / "dataset.json").write_text(text.replace('"class 1"', '"\\ud800"'))
    outcome = in_child("info", dataset.path, cwd=tmp_path)
    assert "Traceback" not in outcome.err
    assert outcome.code in (0, 1)


@pytest.mark.parametrize("name", [b"caf\xe9", b"two\nlines"])
def test_a_path_of_any_bytes_is_no_traceback(tmp_path: Path, name: bytes) -> None:
    source = write_cifar10_binary(tmp_path / os.fsdecode(name), cifar10_set())
    for out in ("out", os.fsdecode(b"o\xe9")):
        outcome = in_child(*CONVERT, "--source", source, "--out", out, cwd=tmp_path)
        assert "Traceback" not in outcome.err
        if outcome.code:
            assert_refused(outcome, "")
            assert not (tmp_path / out).exists()
