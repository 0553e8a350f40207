"""What a user meets: the documented lines, and what the commands say of a dataset."""

from __future__ import annotations

import json
import os
import re
import shutil
from pathlib import Path

import pytest

from datatools.sources import SOURCES
from tests.support.cifar_files import cifar10_set, write_cifar10_binary
from tests.support.datatools_command import CONVERT, CORRUPT, Command, Outcome
from tests.support.factories import SOURCE_FACTORIES, clean_dataset, noisy_dataset
from tests.support.label_files import write_pt
from tests.support.official_files import mnist_set, write_mnist

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


def test_a_manifest_that_does_not_match_fails_verification(tmp_path: Path, datatools: Command) -> None:
    clean = clean_dataset(tmp_path / "clean")
    noisy, other = noisy_dataset(clean), noisy_dataset(clean, seed=1)
    shutil.copy(other.manifest_path, noisy.manifest_path)
    outcome = datatools("verify", noisy.path)
    assert outcome.code == 1
    assert re.search(r"FAILED  manifest against batches: .*first at ids \d+", outcome.out)
    assert outcome.err.count("\n") == 1


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
