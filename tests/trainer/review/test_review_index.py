"""audit.json and samples.csv come back as they were written, or are refused in one line."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.support.reviewed import write_audit
from trainer.errors import TrainerError
from trainer.review.index import read_audit_index, write_audit_index
from trainer.review.items import Audit, Sample


def test_an_audit_comes_back(audit: Audit, tmp_path: Path) -> None:
    assert read_audit_index(write_audit(tmp_path / "audit", audit)) == audit


def test_an_audit_of_a_dataset_comes_back(tmp_path: Path) -> None:
    samples = tuple(Sample("train", number, None, None, None, "=cat") for number in range(3))
    audit = Audit(("=cat", "'=dog"), samples, dataset=tmp_path, dataset_sha256="0" * 64, not_usable="too few images")
    assert read_audit_index(write_audit(tmp_path / "audit", audit)) == audit


def test_an_audit_adds_keys_and_columns(audit: Audit, tmp_path: Path) -> None:
    (tmp_path / "audit").mkdir()
    guesses = ["=1+1", *["owl"] * (len(audit.samples) - 1)]
    write_audit_index(tmp_path / "audit", audit, {"suspects": 3}, {"guess": guesses})
    assert read_audit_index(tmp_path / "audit") == audit
    assert json.loads((tmp_path / "audit" / "audit.json").read_text())["suspects"] == 3
    with (tmp_path / "audit" / "samples.csv").open(newline="") as file:
        assert next(csv.DictReader(file))["guess"] == "'=1+1"


def test_the_id_is_of_the_files_and_not_of_what_is_thought_of_them(audit: Audit, tmp_path: Path) -> None:
    same = replace(audit, folder=tmp_path / "elsewhere", not_usable="no", samples=audit.samples[::-1])
    assert same.audit_id == audit.audit_id
    first, *rest = audit.samples
    for change in ({"sha256": "f" * 64}, {"given": "owl"}, {"path": "cat/9.jpg"}, {"size": 1}):
        assert replace(audit, samples=(replace(first, **change), *rest)).audit_id != audit.audit_id
    assert replace(audit, class_names=(*audit.class_names, "fox")).audit_id != audit.audit_id


def _without_last_row(folder: Path) -> None:
    path = folder / "samples.csv"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:-1]))


def _in_json(**changes: Any) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        path = folder / "audit.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))

    return change


def _in_csv(old: str, new: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        path = folder / "samples.csv"
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new, 1))

    return change


@pytest.mark.parametrize(
    ("damage", "part"),
    [
        (lambda folder: (folder / "audit.json").unlink(), "holds no audit.json"),
        (lambda folder: (folder / "audit.json").write_text("[1"), "audit.json: "),
        (lambda folder: (folder / "audit.json").write_bytes(b"\xff"), "audit.json: "),
        (lambda folder: (folder / "samples.csv").unlink(), "samples.csv: missing"),
        (_without_last_row, "not the one that audit.json tells of"),
        (_in_json(format_version=2), "'format_version' is not 1"),
        (_in_json(folder=None), "'folder' should be a path"),
        (_in_json(class_names="cat"), "'class_names' should be a list"),
        (_in_json(class_names=["cat", "dog", "owl", "cat"]), "two classes are called 'cat'"),
        (_in_json(class_names=["cat", "dog\n", "owl"]), "class 'dog\\n' is empty or has control"),
        (_in_json(not_usable=1), "'not_usable' should be"),
        (_in_csv("split,", "part,"), "row 1: columns split, id"),
        (_in_csv("train,1,", "train,one,"), "row 3: invalid literal"),
        (_in_csv("train,1,", 'train,1,"'), "unexpected end of data"),
        (_in_csv("train,1,", "train,0,"), "an id twice"),
        (_in_csv("train,1,", "extra,1,"), "a split of train or test"),
        (_in_csv("cat/2.jpg", "cat/../../2.jpg"), "does not lead to a file below the folder"),
        (_in_csv("cat/2.jpg", "/etc/passwd"), "does not lead to a file below the folder"),
        (_in_csv("cat/2.jpg", "cat/1.jpg"), "a path is there twice"),
        (_in_csv(",cat\n", ",fox\n"), "class 'fox' is none of the 3 classes"),
        (_in_csv(",cat\n", ",dog\n"), "not the one that audit.json tells of"),
    ],
)
def test_a_damaged_audit_is_refused_in_one_line(
    audit: Audit, tmp_path: Path, damage: Callable[[Path], Any], part: str
) -> None:
    folder = write_audit(tmp_path / "audit", audit)
    damage(folder)
    with pytest.raises(TrainerError) as caught:
        read_audit_index(folder)
    assert part in str(caught.value)
    assert str(folder) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_name_that_is_no_text_is_refused_when_it_is_written(audit: Audit, tmp_path: Path) -> None:
    first, *rest = audit.samples
    odd = replace(audit, samples=(replace(first, path="cat/\udcff.jpg"), *rest))
    with pytest.raises(TrainerError, match="no UTF-8 text"):
        write_audit(tmp_path / "audit", odd)
