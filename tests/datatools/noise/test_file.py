"""Lists of labels of others: every form, each way to check the order, and one line for what does not fit."""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from datatools.conversion import convert
from datatools.corruption import corrupt
from datatools.errors import DataToolsError
from datatools.format.dataset import Dataset
from tests.support.datatools_command import Command
from tests.support.factories import clean_dataset, tree
from tests.support.label_files import human_columns, write_pt
from tests.support.official_files import image_folder_set, write_image_folder

RECORDS, CLASSES = 60, 4


@pytest.fixture
def parent(tmp_path: Path) -> Dataset:
    return clean_dataset(tmp_path / "data" / "clean", train=RECORDS, num_classes=CLASSES)


@pytest.fixture
def labels(parent: Dataset) -> np.ndarray:
    return np.asarray(human_columns(parent.labels_by_id("train"), CLASSES)["worse_label"])


def write_npy(path: Path, labels: np.ndarray) -> None:
    with path.open("wb") as file:  # of a path without a suffix numpy makes another
        np.save(file, labels.astype(np.uint8))


def write_json(path: Path, labels: np.ndarray) -> None:
    path.write_text(json.dumps(labels.tolist()))


def write_text(path: Path, labels: np.ndarray) -> None:
    np.savetxt(path, labels, "%d")


def write_csv(target: Path, **columns: Any) -> Path:
    with target.open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(columns)
        table.writerows(zip(*columns.values(), strict=True))
    return target


WRITERS: dict[str, Callable[[Path, np.ndarray], Any]] = {
    "npy": write_npy,
    "json": write_json,
    "txt": write_text,
    "csv": lambda path, labels: write_csv(path, noisy_label=labels),
}

# --- forms and orders ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", WRITERS)
def test_a_list_without_more_is_taken_on_trust_and_said(
    tmp_path: Path, parent: Dataset, labels: np.ndarray, form: str
) -> None:
    file = tmp_path / f"given.{form}"
    WRITERS[form](file, labels)
    made = corrupt(parent, noise="file", labels=file)
    assert made.dataset.path.name == "clean-file-given"
    assert made.dataset.labels_by_id("train").tolist() == labels.tolist()
    agreement = np.mean(labels == parent.labels_by_id("train"))
    assert len(made.notices) == 1
    assert "taken on trust to be that of the ids" in made.notices[0]
    assert f"{100 * agreement:.1f}% of its labels agree" in made.notices[0]
    noise = made.dataset.metadata.noise or {}
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    assert noise["labels_file"] == {"name": file.name, "sha256": digest, "order": "taken on trust"}
    assert (noise["rate"], noise["seed"], noise["sampling"]) == (None, None, "given")


def test_ids_say_the_order(tmp_path: Path, parent: Dataset, labels: np.ndarray) -> None:
    order = np.random.default_rng(1).permutation(RECORDS)
    file = write_csv(tmp_path / "given.csv", id=order, label=labels[order], more=["a, b"] * RECORDS)
    made = corrupt(parent, noise="file", labels=file)
    assert made.dataset.labels_by_id("train").tolist() == labels.tolist()
    assert made.notices == ()
    assert (made.dataset.metadata.noise or {})["labels_file"]["order"] == "ids"


def test_clean_labels_confirm_the_order_or_refuse_it(tmp_path: Path, parent: Dataset, labels: np.ndarray) -> None:
    clean = parent.labels_by_id("train")
    made = corrupt(parent, noise="file", labels=write_csv(tmp_path / "given.csv", label=labels, clean_label=clean))
    assert made.notices == ()
    assert (made.dataset.metadata.noise or {})["labels_file"]["order"] == "clean labels"
    shifted = write_csv(tmp_path / "shifted.csv", label=np.roll(labels, 1), clean_label=np.roll(clean, 1))
    with pytest.raises(DataToolsError, match=r"its clean labels are not those of .* or in another order"):
        corrupt(parent, noise="file", labels=shifted)


def test_paths_say_the_order_of_an_image_folder(tmp_path: Path) -> None:
    source = write_image_folder(tmp_path / "source", image_folder_set())
    parent = convert("image-folder", source=source, out=tmp_path / "clean").dataset
    with parent.files_csv_path.open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["split"] == "train"]
    clean = parent.labels_by_id("train")
    wrong = (clean + (np.arange(len(clean)) % 3 == 0)) % parent.metadata.num_classes
    paths = [row["path"] for row in sorted(rows, key=lambda row: int(row["id"]))]
    file_of_paths = write_csv(tmp_path / "given.csv", path=paths[::-1], label=wrong[::-1])
    made = corrupt(parent, noise="file", labels=file_of_paths, out=tmp_path / "made")
    assert made.dataset.labels_by_id("train").tolist() == wrong.tolist()
    assert (made.dataset.metadata.noise or {})["labels_file"]["order"] == "paths"
    write_csv(file_of_paths, path=["elsewhere.png", *paths[1:]], label=wrong)
    with pytest.raises(DataToolsError, match=r"1 of its paths are no training image's .*'elsewhere.png'"):
        corrupt(parent, noise="file", labels=file_of_paths)
    write_csv(file_of_paths, path=[paths[1], *paths[1:]], label=wrong)
    with pytest.raises(DataToolsError, match="path of image 1 is there twice"):
        corrupt(parent, noise="file", labels=file_of_paths)
    with parent.files_csv_path.open("a") as table:
        table.write("\n")
    with pytest.raises(DataToolsError, match="changed since the dataset was made"):
        corrupt(parent, noise="file", labels=file_of_paths)


def test_class_names_have_to_be_those_of_the_numbers(tmp_path: Path, parent: Dataset, labels: np.ndarray) -> None:
    names = [f"class {label}" for label in labels]
    made = corrupt(parent, noise="file", labels=write_csv(tmp_path / "given.csv", label=labels, class_name=names))
    assert "on trust" in made.notices[0]
    other = write_csv(tmp_path / "other.csv", label=labels, class_name=["class 0", *names[1:]])
    if labels[0] == 0:
        other = write_csv(tmp_path / "other.csv", label=labels, class_name=["class 1", *names[1:]])
    with pytest.raises(DataToolsError, match="numbers its classes otherwise"):
        corrupt(parent, noise="file", labels=other)


@pytest.mark.parametrize("with_ids", [False, True])
def test_labels_that_agree_by_chance_are_said_to(
    tmp_path: Path, parent: Dataset, labels: np.ndarray, with_ids: bool
) -> None:
    strange = np.random.default_rng(3).permutation(labels)
    columns = {"id": np.arange(RECORDS), "label": strange} if with_ids else {"label": strange}
    made = corrupt(parent, noise="file", labels=write_csv(tmp_path / "given.csv", **columns))
    assert "no more than chance has it" in made.notices[-1]
    assert len(made.notices) == (1 if with_ids else 2)


def test_a_last_line_without_an_end_is_said(tmp_path: Path, parent: Dataset, labels: np.ndarray) -> None:
    (tmp_path / "given.txt").write_text("\n".join(map(str, labels)))
    made = corrupt(parent, noise="file", labels=tmp_path / "given.txt")
    assert "its last line has no end" in made.notices[0]
    assert made.dataset.labels_by_id("train").tolist() == labels.tolist()


# --- what does not fit -----------------------------------------------------------------------------------------------


def cut(write: Callable[[Path, np.ndarray], Any], count: int = 1) -> Callable[[Path, np.ndarray], Any]:
    def write_cut(path: Path, labels: np.ndarray) -> None:
        write(path, labels)
        path.write_bytes(path.read_bytes()[:-count])

    return write_cut


def write_folder_without_ids(path: Path, labels: np.ndarray) -> None:
    path.mkdir()
    write_npy(path / "labels.npy", labels)


def ids(values: Any) -> Callable[[Path, np.ndarray], Any]:
    return lambda path, labels: write_csv(path, id=values, label=labels)


def text(content: str | bytes) -> Callable[[Path, np.ndarray], Any]:
    return lambda path, labels: path.write_bytes(content.encode() if isinstance(content, str) else content)


def entry(value: Any) -> Callable[[Path, np.ndarray], Any]:
    """A JSON list whose entry 7 is another."""
    return lambda path, labels: path.write_text(json.dumps([*labels.tolist()[:7], value, *labels.tolist()[8:]]))


MISTAKES: dict[str, tuple[Callable[[Path, np.ndarray], Any], str]] = {
    "npy, cut by a byte": (cut(write_npy), "cut short or damaged"),
    "json, cut by a byte": (cut(write_json), "cut short"),
    "text, cut by a line": (cut(write_text, 2), "59 labels, the dataset has 60"),
    "csv, cut within quotes": (text('label,class_name\n1,"class'), "cut short"),
    "an object array": (lambda path, labels: np.save(path, labels.astype(object)), "holds object"),
    "a dictionary in an array": (lambda path, labels: np.save(path, np.array({"a": 1}, object)), "holds object"),
    "floats": (lambda path, labels: np.save(path, labels * 1.0), "whole numbers is expected"),
    "two dimensions": (lambda path, labels: np.save(path, labels[None]), "one row of whole numbers"),
    "a .pt": (lambda path, labels: write_pt(path, {"noisy_label": labels}), "--type human"),
    "one too few": (lambda path, labels: write_npy(path, labels[1:]), "59 labels, the dataset has 60"),
    "one too many": (lambda path, labels: write_json(path, np.append(labels, 0)), "61 labels, the dataset has 60"),
    "one too few in json": (lambda path, labels: write_json(path, labels[1:]), "59 labels, the dataset has 60"),
    "more rows than images": (lambda path, labels: write_text(path, np.tile(labels, 2)), "more than 70 rows"),
    "none": (text("[]"), "0 labels"),
    "nothing": (text(""), "empty"),
    "blank lines": (text("\n \n\n"), "empty"),
    "a class too high": (lambda path, labels: write_npy(path, labels + 1), "label 4 in entry .*counts from 1"),
    "a negative class": (lambda path, labels: np.save(path, labels - 1), "label -1 in entry"),
    "beyond 64 bits": (lambda path, labels: np.save(path, labels.astype(np.uint64) - 1), "label 9223372036854775807"),
    "a float in json": (entry(1.0), r"entry 7 \(from 0\) is 1.0"),
    "a truth in json": (entry(True), r"entry 7 \(from 0\) is True"),
    "a word in json": (entry("1"), r"entry 7 \(from 0\) is '1'"),
    "nothing in json": (entry(None), r"entry 7 \(from 0\) is None"),
    "not a number in json": (entry(float("nan")), r"entry 7 \(from 0\) is nan"),
    "a huge number in json": (entry(10**30), "label 9223372036854775807"),
    "digits without end in json": (text("[" + "1" * 5000 + ", 1]"), "no JSON list"),
    "a list in json": (entry([1]), "not one list"),
    "an object in json": (text('{"labels": 1}'), "not one list"),
    "lists in lists": (text("[" * 100_000), "not one list"),
    "a word in a text": (text("1\ntwo\n"), "label 1 .from 0. is 'two'"),
    "a number with a point": (text("1\n2.0\n"), "label 1 .from 0. is '2.0'"),
    "underlined digits": (text("1\n1_0\n"), "label 1 .from 0. is '1_0'"),
    "no header": (text("0,1\n1,2\n"), "2 columns without a header"),
    "no label column": (text("id,name\n0,1\n"), "one column named label or noisy_label"),
    "two label columns": (text("label,noisy_label\n0,1\n"), "one column named label"),
    "a column twice": (text("id,id,label\n0,0,1\n"), "no name twice"),
    "a row too short": (text("id,label\n0\n"), "line 2 has 1 cells, 2 are expected"),
    "no text": (text(b"\xff\xfe\x00"), "neither text nor .npy"),
    "an id twice": (ids([1, *range(1, RECORDS)]), "id of image 1 is there twice"),
    "an id too high": (ids(range(1, RECORDS + 1)), "id 60 in entry 59"),
    "an id that is no number": (ids(["x", *range(1, RECORDS)]), "id 0 .from 0. is 'x'"),
    "a line without end": (text("label" + ",x" * 200_000), "more than 65,536 characters in line 1"),
    "empty lines without end": (text("\n" * 100_000), "more than 1,140 lines"),
    "a folder without ids": (write_folder_without_ids, "ids.npy"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_file_that_does_not_fit_gets_one_line_and_writes_nothing(
    tmp_path: Path, parent: Dataset, labels: np.ndarray, mistake: str
) -> None:
    write, said = MISTAKES[mistake]
    file = tmp_path / "given"
    write(file, labels)
    if not file.exists():  # numpy.save adds its suffix
        file = file.with_suffix(".npy")
    before = tree(tmp_path)
    with pytest.raises(DataToolsError, match=said) as caught:
        corrupt(parent, noise="file", labels=file)
    assert "\n" not in str(caught.value)
    assert str(file) in str(caught.value)
    assert tree(tmp_path) == before


def test_a_folder_whose_arrays_differ_in_length_is_refused(tmp_path: Path, parent: Dataset, labels: np.ndarray) -> None:
    (tmp_path / "given").mkdir()
    write_npy(tmp_path / "given" / "labels.npy", labels)
    write_npy(tmp_path / "given" / "ids.npy", np.arange(59))
    with pytest.raises(DataToolsError, match=r"ids.npy: 59 labels, the dataset has 60"):
        corrupt(parent, noise="file", labels=tmp_path / "given")


def test_a_file_beyond_the_limit_is_refused(tmp_path: Path, parent: Dataset) -> None:
    with (tmp_path / "given.json").open("wb") as file:
        file.truncate((64 << 20) + 1)
    with pytest.raises(DataToolsError, match="larger than 64 MiB"):
        corrupt(parent, noise="file", labels=tmp_path / "given.json")


def test_the_command_reads_a_list(tmp_path: Path, datatools: Command, parent: Dataset, labels: np.ndarray) -> None:
    write_json(tmp_path / "given.json", labels)
    outcome = datatools("corrupt", "--type", "file", "--labels", "given.json")
    changed = int((labels != parent.labels_by_id("train")).sum())
    assert outcome.out == f"data/clean-file-given: {changed} of 60 labels changed, rate {changed / 60:.6g}, file\n"
    assert outcome.err.startswith("note: given.json: nothing in it shows its order")
    assert datatools("corrupt", "--type", "file").code == 2
    refused = datatools("corrupt", "--type", "file", "--labels", "given.json", "--seed", 1)
    assert (refused.code, "leave --seed out" in refused.err) == (2, True)
    assert "label file" in datatools("info", "data/clean-file-given").out
    assert datatools("verify", "data/clean-file-given").code == 0
