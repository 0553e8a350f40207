"""`trainer apply` to a dataset without files: a copy with the decided labels, marked as reviewed."""

from __future__ import annotations

import csv
import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

import cli
from datatools.format.dataset import Dataset, open_dataset
from datatools.verification import verify
from tests.support.factories import tree
from tests.support.relabel_runs import noisy
from tests.support.reviewed import write_audit
from trainer.review.decisions import Decision, write_decisions
from trainer.review.items import Audit, Sample


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    return noisy(tmp_path / "data")


@pytest.fixture
def audit(dataset: Dataset, tmp_path: Path) -> Audit:
    names = dataset.metadata.class_names
    samples = tuple(
        Sample("train", number, None, None, None, names[label])
        for number, label in enumerate(dataset.labels_by_id("train").tolist())
    )
    audit = Audit(names, samples, dataset=dataset.path, dataset_sha256=dataset.sha256)
    write_audit(tmp_path / "audit", audit)
    return audit


def decide(audit: Audit, path: Path, outcomes: dict[int, str]) -> None:
    """Write decisions by id: "keep", "remove" or the class to change to."""
    decisions = []
    for number, outcome in outcomes.items():
        sample = audit.samples[number]
        label = {"keep": sample.given, "remove": None}.get(outcome, outcome)
        decisions.append(Decision(sample, outcome if outcome in ("keep", "remove") else "change", label))
    write_decisions(path, audit.audit_id, decisions)


def ask(place: Path, *more: object, code: int = 0) -> str:
    words = ["apply", place / "decisions.csv", "--audit", place / "audit", "--to", place / "clean", *more]
    done = CliRunner().invoke(cli.trainer, [str(word) for word in words])
    assert done.exit_code == code, done.output
    return done.output


def other(audit: Audit, number: int) -> str:
    names = audit.class_names
    return names[(names.index(audit.samples[number].given) + 1) % len(names)]


def test_the_decided_labels_change_and_nothing_else(audit: Audit, dataset: Dataset, tmp_path: Path) -> None:
    decide(audit, tmp_path / "decisions.csv", {3: other(audit, 3), 7: "keep", 20: other(audit, 20)})
    assert "3 training labels decided on, 2 of them changed; 37 not reviewed" in ask(tmp_path)
    made = open_dataset(tmp_path / "clean")
    expected = dataset.labels_by_id("train").copy()
    for number in (3, 20):
        expected[number] = audit.class_names.index(other(audit, number))
    assert made.labels_by_id("train").tolist() == expected.tolist()
    for split in ("train", "test"):
        for one, two in zip(made.batches(split), dataset.batches(split), strict=True):
            assert np.array_equal(one["pixels"], two["pixels"])
            assert np.array_equal(one["id"], two["id"])
    assert made.labels_by_id("test").tolist() == dataset.labels_by_id("test").tolist()
    assert all(check.passed is not False for check in verify(made))


def test_the_copy_says_how_much_of_it_was_reviewed(audit: Audit, dataset: Dataset, tmp_path: Path) -> None:
    decide(audit, tmp_path / "decisions.csv", {3: other(audit, 3), 7: "keep"})
    ask(tmp_path)
    made = open_dataset(tmp_path / "clean").metadata
    changes = tmp_path / "clean" / "changes.csv"
    assert made.labels == "unknown"
    assert made.name == "clean"
    assert made.reviewed == {
        "parent": {"name": dataset.metadata.name, "sha256": dataset.sha256},
        "audit": audit.audit_id,
        "decided": 2,
        "changed": 1,
        "not_reviewed": 38,
        "changes_csv": hashlib.sha256(changes.read_bytes()).hexdigest(),
    }
    with changes.open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert (row["id"], row["from_name"], row["to_name"]) == ("3", audit.samples[3].given, other(audit, 3))


def _removed(audit: Audit, place: Path) -> None:
    (place / "decisions.csv").unlink()
    decide(audit, place / "decisions.csv", {3: "remove"})


def _changed_dataset(audit: Audit, place: Path) -> None:
    with (place / "data" / "dataset.json").open("a") as file:
        file.write("\n")


@pytest.mark.parametrize(
    ("change", "words", "part"),
    [
        (_removed, [], "train 3: remove, but the records of a dataset keep their ids"),
        (_changed_dataset, [], "not the audited dataset, or changed since"),
        (None, ["--move"], "the audit is of a dataset without files"),
        (None, ["--new-classes"], "the audit is of a dataset without files"),
        (None, ["--to", "data"], "a folder with something in it, never overwritten; choose another --to"),
        (None, ["--to", "data/in"], "lies inside a dataset directory, data; choose another --to"),
        (None, ["--folder", "nowhere"], "no such dataset directory"),
    ],
)
def test_what_a_dataset_cannot_follow_is_refused(
    audit: Audit, tmp_path: Path, change: Any, words: list[str], part: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    decide(audit, tmp_path / "decisions.csv", {3: other(audit, 3)})
    if change is not None:
        change(audit, tmp_path)
    before = tree(tmp_path)
    said = ask(tmp_path, *words, code=1)
    assert part in said
    assert said.count("\n") == 1
    assert tree(tmp_path) == before


def test_a_dry_run_writes_nothing(audit: Audit, tmp_path: Path) -> None:
    decide(audit, tmp_path / "decisions.csv", {3: other(audit, 3)})
    before = tree(tmp_path)
    assert "1 training labels decided on, 1 of them changed; 39 not reviewed" in ask(tmp_path, "--dry-run")
    assert tree(tmp_path) == before
