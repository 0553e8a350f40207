"""What a user meets: the commands, their exit codes, and one line for every mistake."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import cli
from datatools.format.dataset import Dataset, open_dataset
from datatools.sources import SOURCES
from tests.datatools.noise.test_human import write_pt
from tests.support.children import environment, run_python
from tests.support.factories import (
    SOURCE_FACTORIES,
    cifar10_set,
    clean_dataset,
    close_network,
    convert_source,
    made_up_source,
    mnist_set,
    noisy_dataset,
    python3_pickle,
    tree,
    write_cifar10_binary,
    write_cifar10_python,
    write_mnist,
)

RUN = "import cli; cli.datatools()"
NOT_FOR_HELP = ("keras", "tensorflow", "jax", "h5py", "PIL", "trainer", "sklearn", "rich")


@dataclass(frozen=True)
class Outcome:
    """How a command ended."""

    code: int
    out: str
    err: str


Command = Callable[..., Outcome]


@pytest.fixture
def datatools(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Command:
    """Runs a command in an empty folder of its own, the way the shell would."""
    monkeypatch.delenv("DATATOOLS_ROOT", raising=False)
    close_network(monkeypatch)
    monkeypatch.chdir(tmp_path)

    def run(*arguments: object) -> Outcome:
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            cli.datatools.main([str(argument) for argument in arguments], prog_name="datatools")
        out, err = capsys.readouterr()
        code = ended.value.code
        return Outcome(code if isinstance(code, int) else int(code is not None), out, err)

    return run


def in_child(*arguments: object, cwd: Path, **more: object) -> Outcome:
    """The same in a process of its own."""
    child = run_python(RUN, *arguments, cwd=cwd, **more)  # type: ignore[arg-type]
    return Outcome(child.returncode, child.stdout, child.stderr)


def assert_refused(outcome: Outcome, said: str) -> None:
    """Exit 1 with one line, or 2 with click's usage and one line; no traceback, nothing on stdout."""
    assert outcome.code in (1, 2), outcome
    assert outcome.out == ""
    assert "Traceback" not in outcome.err
    if outcome.code == 1:
        assert outcome.err.startswith("datatools: error: ")
        assert outcome.err.count("\n") == 1, outcome.err
        assert said in outcome.err
    else:
        usage, error, message = outcome.err.partition("\nError: ")
        assert usage.startswith("Usage: datatools ")
        assert error
        assert said in message


# --- the documented lines --------------------------------------------------------------------------------------------


def test_the_documented_lines_work_as_they_stand(tmp_path: Path, datatools: Command) -> None:
    write_cifar10_binary(tmp_path / "data" / "raw" / "cifar-10-batches-bin", cifar10_set(100, 10))
    converted = datatools("convert", "--dataset", "cifar10")
    assert converted.code == 0
    assert converted.out == "data/cifar10: 100 training and 10 test images of 3x32x32, 10 classes\n"
    assert converted.err.startswith(
        "note: data/raw/cifar-10-batches-bin: 100 training and 10 test images, the official"
    )
    corrupted = datatools("corrupt", "--rate", 0.2, "--type", "pair")
    assert corrupted == Outcome(
        0, "data/cifar10-pair-0.2-seed0: 20 of 100 labels changed, rate 0.2 (requested 0.2), pair, seed 0\n", ""
    )
    verified = datatools("verify", "data/cifar10-pair-0.2-seed0")
    assert (verified.code, verified.err) == (0, "")
    assert len(verified.out.splitlines()) == 12
    assert all(line.startswith("ok ") for line in verified.out.splitlines())


def test_every_noise_type_has_a_command_line(tmp_path: Path, datatools: Command) -> None:
    clean = clean_dataset(tmp_path / "data" / "clean", train=40, num_classes=4)
    clean_dataset(tmp_path / "donor", train=40, num_classes=3, seed=1)
    (tmp_path / "confusion.csv").write_text("0.5,0.5,0,0\n0,1,0,0\n0,0,1,0\n0,0,0,1\n")
    labels = clean.labels("train")
    write_pt(tmp_path / "h.pt", {"clean_label": labels, "noisy_label": labels[::-1].copy()})
    for line, made in {
        "--type symmetric-inclusive --rate 0.4": "clean-symmetric-inclusive-0.4-seed0: 12 of 40 labels changed, "
        "rate 0.3 (requested 0.4, inclusive, rate per class), symmetric-inclusive, seed 0",
        "--type matrix --matrix confusion.csv --seed 2": "clean-matrix-confusion-seed2: 5 of 40 labels changed, "
        "rate 0.125, matrix, seed 2",
        "--type human --labels h.pt --column noisy_label": "clean-human-noisy_label: ",
        "--type open-set --rate 0.2 --donor donor": "clean-open-set-0.2-seed0: 8 of 40 images replaced, "
        "rate 0.2 (requested 0.2), open-set, seed 0",
        "--type instance --rate 0.3": "clean-instance-0.3-seed0: ",
    }.items():
        outcome = datatools("corrupt", *line.split(), "--data", "data/clean")
        assert outcome.code == 0, outcome
        assert outcome.out.startswith(f"data/{made}")
        folder = outcome.out.partition(":")[0]
        assert datatools("verify", folder).code == 0
        assert datatools("info", folder).code == 0


def test_the_digits_need_nothing(tmp_path: Path, datatools: Command) -> None:
    outcome = datatools("convert", "--dataset", "digits")
    assert outcome == Outcome(0, "data/digits: 1,442 training and 355 test images of 1x8x8, 10 classes\n", "")
    assert sorted(path.name for path in (tmp_path / "data" / "digits").iterdir()) == [
        "data_batch_1.bin",
        "dataset.json",
        "test_batch.bin",
    ]


@pytest.mark.parametrize("name", SOURCES)
def test_every_source_converts_and_verifies(tmp_path: Path, datatools: Command, name: str) -> None:
    location = SOURCE_FACTORIES[name](tmp_path).location
    source = [] if location is None else ["--source", location]
    assert datatools("convert", "--dataset", name, *source, "--out", "out").code == 0
    assert datatools("verify", "out").code == 0


@pytest.mark.parametrize("way", ["--root", "variable", "data"])
def test_the_root_is_given_by_option_or_variable_or_is_data(
    tmp_path: Path, datatools: Command, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    root = tmp_path / ("data" if way == "data" else "elsewhere")
    write_mnist(root / "raw" / "mnist", mnist_set())
    if way == "variable":
        monkeypatch.setenv("DATATOOLS_ROOT", str(root))
    option = ["--root", root] if way == "--root" else []
    assert datatools("convert", "--dataset", "mnist", *option).code == 0
    assert datatools("corrupt", "--rate", 0.5, "--type", "symmetry", "--seed", 3, *option).code == 0
    assert sorted(path.name for path in root.iterdir()) == ["mnist", "mnist-symmetric-0.5-seed3", "raw"]


def test_the_option_goes_before_the_variable(
    tmp_path: Path, datatools: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATATOOLS_ROOT", str(tmp_path / "variable"))
    assert datatools("convert", "--dataset", "digits", "--limit", 5, "--root", "option").code == 0
    assert not (tmp_path / "variable").exists()
    assert (tmp_path / "option" / "digits-first5").is_dir()


# --- info and verify -------------------------------------------------------------------------------------------------


def test_info_as_json_is_json_and_holds_the_facts(tmp_path: Path, datatools: Command) -> None:
    noisy = noisy_dataset(clean_dataset(tmp_path / "clean", train=40, num_classes=4))
    outcome = datatools("info", noisy.path, "--json")
    facts = json.loads(outcome.out)
    assert outcome.code == 0
    assert facts["splits"]["train"]["records"] == 40
    assert facts["splits"]["test"]["records_per_class"] == [3, 3, 2, 2]
    assert sum(facts["splits"]["train"]["records_per_class"]) == 40
    assert facts["noise"] == noisy.metadata.noise
    assert facts["sha256"] == noisy.sha256
    assert facts["labels"] == "noisy"


@pytest.mark.parametrize("noisy", [False, True])
def test_info_is_a_table_of_two_columns(tmp_path: Path, datatools: Command, noisy: bool) -> None:
    dataset = clean_dataset(tmp_path / "clean", train=40, num_classes=12)
    if noisy:
        dataset = noisy_dataset(dataset, seed=8)
    outcome = datatools("info", dataset.path)
    assert outcome.code == 0
    assert "3 x 8 x 8" in outcome.out
    assert "12: class 0, class 1," in outcome.out
    assert "40 in 3 files, " in outcome.out
    assert ("noise seed  8" in outcome.out) == noisy


def test_verify_says_what_failed_and_ends_with_one_line(tmp_path: Path, datatools: Command) -> None:
    dataset = clean_dataset(tmp_path / "clean")
    batch = dataset.path / "test_batch.bin"
    batch.write_bytes(batch.read_bytes()[:-1] + b"\0")
    outcome = datatools("verify", dataset.path)
    assert outcome.code == 1
    assert "FAILED  checksums: test_batch.bin changed since the dataset was made\n" in outcome.out
    assert outcome.out.count("FAILED") == 1
    assert outcome.err.startswith(f"datatools: error: {dataset.path}: checksums failed")
    assert outcome.err.count("\n") == 1


# --- mistakes --------------------------------------------------------------------------------------------------------


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


CONVERT = ["convert", "--dataset", "cifar10"]
CORRUPT = ["corrupt", "--type", "pair", "--rate"]
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
    "an output with too long a name": ([*CONVERT, "--source", "good", "--out", "x" * 300], 1, "name too long"),
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


def test_a_manifest_that_does_not_match_fails_verification(tmp_path: Path, datatools: Command) -> None:
    clean = clean_dataset(tmp_path / "clean")
    noisy, other = noisy_dataset(clean), noisy_dataset(clean, seed=1)
    shutil.copy(other.manifest_path, noisy.manifest_path)
    outcome = datatools("verify", noisy.path)
    assert outcome.code == 1
    assert re.search(r"FAILED  manifest against batches: .*first at ids \d+", outcome.out)
    assert outcome.err.count("\n") == 1


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


@pytest.mark.parametrize("command", ["convert", "corrupt", "export"])
def test_the_files_are_synced_unless_that_is_switched_off(
    tmp_path: Path, datatools: Command, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    write_cifar10_binary(tmp_path / "good", cifar10_set())
    clean_dataset(tmp_path / "clean")
    arguments = {
        "convert": [*CONVERT, "--source", "good", "--out", "out"],
        "corrupt": [*CORRUPT, "0.2", "--data", "clean", "--out", "out"],
        "export": ["export", "clean", "--to", "image-folder", "--out", "out"],
    }[command]
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", synced.append)
    monkeypatch.delenv("DATATOOLS_FSYNC", raising=False)
    assert datatools(*arguments).code == 0
    files = sum(path.is_file() for path in (tmp_path / "out").rglob("*"))
    assert len(synced) > files
    synced.clear()
    assert datatools(*arguments, "--overwrite", "--no-fsync").code == 0
    assert synced == []
    assert "DATATOOLS_FSYNC" not in os.environ
    assert datatools(*arguments, "--overwrite").code == 0
    assert len(synced) > files


# --- no room ---------------------------------------------------------------------------------------------------------

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


# --- help ------------------------------------------------------------------------------------------------------------


def test_help_comes_in_half_a_second(tmp_path: Path) -> None:
    seconds = []
    for _ in range(3):
        before = os.times()
        outcome = in_child("--help", cwd=tmp_path)
        after = os.times()
        # of the processor, so that a busy machine is no failure
        seconds.append(after.children_user + after.children_system - before.children_user - before.children_system)
        assert outcome.code == 0
        if seconds[-1] < 0.5:
            break
    assert min(seconds) < 0.5


@pytest.mark.parametrize("arguments", [["--help"], ["convert", "--help"], ["corrupt", "--help"], ["--version"]])
def test_help_imports_nothing_heavy(tmp_path: Path, arguments: list[str]) -> None:
    code = f"""
import sys
try:
    {RUN}
finally:
    print(*sorted(name for name in {NOT_FOR_HELP!r} if name in sys.modules), file=sys.stderr)
"""
    child = run_python(code, *arguments, cwd=tmp_path)
    assert child.stderr.strip() == ""


@pytest.mark.parametrize("command", [[], ["convert"], ["corrupt"], ["info"], ["verify"]])
@pytest.mark.parametrize("option", ["-h", "--help"])
def test_every_command_has_help(datatools: Command, command: list[str], option: str) -> None:
    outcome = datatools(*command, option)
    assert outcome.code == 0
    assert outcome.out.startswith(" ".join(["Usage: datatools", *command]))


def test_the_help_of_the_group_names_every_command(datatools: Command) -> None:
    out = datatools("--help").out
    for name in cli.DATATOOLS_COMMANDS:
        assert re.search(rf"^  {name}\b", out, re.MULTILINE)


def test_the_installed_script_is_this_door(tmp_path: Path) -> None:
    script = Path(sys.executable).with_name("datatools")
    if not script.is_file():
        pytest.skip("the package is not installed: `make install`")
    done = subprocess.run([script, "--help"], capture_output=True, text=True, cwd=tmp_path, env=environment())
    assert done.returncode == 0
    assert done.stdout.startswith("Usage: datatools")
