"""`trainer relabel`: scores on small cases worked out by hand, files read back, one line for what cannot be used."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import trainer.audit.output as output
from cli import datatools, trainer
from datatools import convert, corrupt
from datatools.errors import DataToolsError
from datatools.format.dataset import Dataset, open_dataset
from datatools.format.metadata import DATASET_FILE
from datatools.verification import verify
from tests.support.factories import tree
from tests.support.tiny import examples, run_config, write_dataset
from trainer.audit.evidence import read_evidence
from trainer.audit.output import Relabelled, read_report, relabel
from trainer.audit.scoring import (
    BY_CONFIDENT_JOINT,
    BY_OPTION,
    BY_RUN,
    confident_joint,
    judge,
    suggest,
    suspicions,
)
from trainer.config import resolve
from trainer.data import load
from trainer.errors import TrainerError
from trainer.reporters.base import Quiet
from trainer.runs.directory import write_config, write_json, write_samples
from trainer.training.loop import train

COUNT = 40
WRONG = np.arange(COUNT) % 4 == 0


def noisy(folder: Path, *, known: bool = True, depth: int = 1) -> Dataset:
    """40 images of 3 classes, every fourth with the next label."""
    ids, clean, pixels = examples(COUNT)
    pixels = np.repeat(pixels, depth, axis=1)
    labels = np.where(WRONG, (clean + 1) % 3, clean)
    test = examples(6)
    test_split = (test[0], test[1], np.repeat(test[2], depth, axis=1))
    state: dict[str, Any] = {"labels": "noisy", "clean_labels": clean} if known else {"labels": "unknown"}
    return write_dataset(folder, (ids, labels, pixels), test_split, train_files=3, **state)


def memory(given: np.ndarray, clean: np.ndarray) -> dict[str, np.ndarray]:
    """What a run would remember that saw through all wrong labels but those of ids 0 and 4."""
    believed = clean.copy()
    believed[[0, 4]] = given[[0, 4]]
    probability = np.full((len(given), 3), 0.1, np.float32)
    probability[np.arange(len(given)), believed] = 0.8
    own = probability[np.arange(len(given)), given]
    return {
        "last_loss": -np.log(own),
        "last_prediction": believed.astype(np.int32),
        "mean_loss": -np.log(own),
        "mean_probability": probability,
        "visits": np.full(len(given), 4, np.int32),
    }


def finished(
    directory: Path,
    dataset: Dataset,
    *,
    more: dict[str, np.ndarray] | None = None,
    held_out: float = 0.0,
    **settings: Any,
) -> Path:
    """A run directory as `trainer run` leaves it, with `memory` in it."""
    directory.mkdir(parents=True)
    data = load(dataset, held_out, 0)
    _, clean, _ = examples(COUNT)
    config = run_config(validation_fraction=held_out, **settings)
    write_config(directory, config, dataset, {"dataset": dataset.sha256, "device": "cpu", "code": "0" * 64})
    write_samples(directory / "samples.h5", data, {**memory(data.train_labels, clean[data.ids]), **(more or {})})
    write_json(directory / "result.json", {"method": config.method})
    return directory


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return finished(tmp_path / "run", noisy(tmp_path / "noisy"))


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


# --- scores ----------------------------------------------------------------------------------------------------------


def test_suspicion_of_three_samples_worked_out_by_hand() -> None:
    probability = np.array([[0.8, 0.1, 0.1], [0.2, 0.7, 0.1], [0.3, 0.3, 0.4]])
    labels, loss = np.array([0, 0, 2]), np.array([0.5, 1.5, 3.0])
    others = suggest(probability, labels)
    assert others.tolist() == [1, 1, 0]
    found = suspicions(loss, probability, labels, others)
    # class 0's mean loss is 1, class 2's is 3: relative losses 0.5, 1.5 and 1
    expected = [(1 + 0.1 - np.exp(-0.5)) / 2, (1 + 0.7 - np.exp(-1.5)) / 2, (1 + 0.3 - np.exp(-1.0)) / 2]
    assert found == pytest.approx(expected, abs=1e-15)


def test_a_class_without_any_loss_is_trusted() -> None:
    found = suspicions(np.zeros(2), np.array([[1.0, 0.0], [1.0, 0.0]]), np.array([0, 0]), np.array([1, 1]))
    assert found.tolist() == [0.0, 0.0]


def test_the_refurbished_label_is_suggested_where_it_is_another() -> None:
    probability = np.array([[0.5, 0.3, 0.2]] * 3)
    assert suggest(probability, np.zeros(3, int), np.array([-1, 0, 2])).tolist() == [1, 1, 2]


def test_the_confident_joint_of_five_samples_worked_out_by_hand() -> None:
    probability = np.array([[0.9, 0.1], [0.7, 0.3], [0.2, 0.8], [0.1, 0.9], [0.45, 0.55]])
    labels = np.array([0, 0, 0, 1, 1])
    # thresholds: class 0 (0.9 + 0.7 + 0.2) / 3 = 0.6, class 1 (0.9 + 0.55) / 2 = 0.725; the last reaches neither
    assert confident_joint(probability, labels).tolist() == [[2, 1], [0, 1]]


def test_a_class_that_no_sample_has_is_never_confident() -> None:
    assert confident_joint(np.array([[0.1, 0.9]]), np.array([0])).tolist() == [[1, 0], [0, 0]]


@given(
    st.integers(2, 5).flatmap(
        lambda k: st.lists(
            st.tuples(st.integers(0, k - 1), st.lists(st.floats(0.01, 1), min_size=k, max_size=k), st.floats(0, 50)),
            min_size=1,
            max_size=12,
        )
    )
)
def test_scores_stay_in_range_and_suggestions_are_changes(drawn: list[tuple[int, list[float], float]]) -> None:
    labels = np.array([label for label, _, _ in drawn])
    probability = np.array([row for _, row, _ in drawn])
    probability /= probability.sum(axis=1, keepdims=True)
    others = suggest(probability, labels)
    found = suspicions(np.array([loss for _, _, loss in drawn]), probability, labels, others)
    assert ((found >= 0) & (found <= 1)).all()
    assert (others != labels).all()
    joint = confident_joint(probability, labels)
    assert (joint.sum(axis=1) <= np.bincount(labels, minlength=len(joint))).all()


def test_a_run_that_was_told_a_rate_suspects_so_many(run: Path) -> None:
    verdict = judge(read_evidence(run))
    assert (verdict.suspects.sum(), verdict.count_from, verdict.noise_rate) == (10, BY_RUN, 0.25)
    assert set(np.flatnonzero(verdict.suspects)) >= set(np.flatnonzero(WRONG)) - {0, 4}
    verdict = judge(read_evidence(run), 0.1)
    assert (verdict.suspects.sum(), verdict.count_from, verdict.noise_rate) == (4, BY_OPTION, 0.1)
    assert verdict.suspects[verdict.order[:4]].all()


def test_a_run_that_was_told_nothing_suspects_what_the_confident_joint_counts(tmp_path: Path) -> None:
    verdict = judge(read_evidence(finished(tmp_path / "run", noisy(tmp_path / "noisy"), noise_rate=0.0)))
    assert (verdict.count_from, verdict.noise_rate) == (BY_CONFIDENT_JOINT, None)
    assert set(np.flatnonzero(verdict.suspects)) == set(np.flatnonzero(WRONG)) - {0, 4}
    assert judge(read_evidence(tmp_path / "run"), 0.0).suspects.sum() == 0


def test_equal_suspicion_goes_by_id(run: Path) -> None:
    verdict = judge(read_evidence(run))
    pairs = list(zip((-verdict.suspicion[verdict.order]).tolist(), verdict.order.tolist(), strict=True))
    assert pairs == sorted(pairs)


# --- what is written -------------------------------------------------------------------------------------------------


def test_suspects_csv_tells_what_the_run_remembers(tmp_path: Path, run: Path) -> None:
    relabel(run, tmp_path / "out")
    found = rows(tmp_path / "out" / "suspects.csv")
    assert len(found) == 10
    first, (_, clean, _) = found[0], examples(COUNT)
    record = int(first["id"])
    assert WRONG[record]
    assert int(first["suggested_label"]) == clean[record] == int(first["clean_label"])
    assert first["given_name"] == f"class {first['given_label']}"
    assert first["suggested_name"] == f"class {first['suggested_label']}"
    assert (first["given_probability"], first["suggested_probability"]) == ("0.100000", "0.800000")
    assert first["confidence"] == f"{0.8 / 0.9:.6f}"
    assert (first["suspect"], first["held_out"], first["wrong"]) == ("1", "0", "1")
    assert (first["refurbished_label"], first["uncertainty"], first["file"]) == ("", "", "")
    scores = [float(row["suspicion"]) for row in found]
    assert scores == sorted(scores, reverse=True)
    ranks = [int(row["loss_rank"]) for row in found]
    assert len(set(ranks)) == 10
    assert all(1 <= rank <= COUNT for rank in ranks)


def test_selfie_s_own_evidence_is_shown_and_used(tmp_path: Path) -> None:
    refurbished, uncertainty = np.full(COUNT, -1, np.int32), np.full(COUNT, np.nan, np.float32)
    refurbished[8], uncertainty[8] = 2, 0.25
    own = {"refurbished_label": refurbished, "uncertainty": uncertainty}
    settings = {"warm_up": 1, "history_length": 1, "uncertainty_threshold": 0.05, "restarts": 0, "refurbish": "certain"}
    dataset = noisy(tmp_path / "noisy")
    assert dataset.labels("train")[8] == 0
    finished(tmp_path / "run", dataset, more=own, method="selfie", method_settings=settings)
    relabel(tmp_path / "run", tmp_path / "out")
    (row,) = (row for row in rows(tmp_path / "out" / "suspects.csv") if row["id"] == "8")
    assert (row["refurbished_label"], row["uncertainty"], row["suggested_label"]) == ("2", "0.250000", "2")


def test_held_out_samples_are_marked_and_not_judged(tmp_path: Path) -> None:
    finished(tmp_path / "run", noisy(tmp_path / "noisy"), held_out=0.25)
    held_out = set(load(open_dataset(tmp_path / "noisy"), 0.25, 0).validation_ids.tolist())
    made = relabel(tmp_path / "run", tmp_path / "out", every_sample=True)
    found = rows(tmp_path / "out" / "suspects.csv")
    assert len(found) == COUNT
    assert {int(row["id"]) for row in found if row["held_out"] == "1"} == held_out
    for row in found[-len(held_out) :]:
        assert int(row["id"]) in held_out
        assert (row["suspicion"], row["suggested_label"], row["suspect"], row["loss_rank"]) == ("", "", "0", "")
    assert made.report["held_out"] == len(held_out)
    assert made.report["truth"]["samples"] == COUNT - len(held_out)
    before, after = open_dataset(tmp_path / "noisy").labels("train"), made.dataset.labels("train")
    assert all(before[record] == after[record] for record in held_out)


def test_figures_against_the_truth(tmp_path: Path, run: Path) -> None:
    truth = relabel(run, tmp_path / "out", noise_rate=0.2).report["truth"]
    assert (truth["wrong"], truth["suspects"], truth["found"]) == (10, 8, 8)
    assert (truth["precision"], truth["recall"], truth["suggestion_accuracy"]) == (1.0, 0.8, 1.0)
    assert (truth["wrong_rate_before"], truth["wrong_rate_after"]) == (0.25, 0.05)
    assert 0.8 < truth["average_precision"] < 1.0


def test_without_a_manifest_nothing_is_claimed(tmp_path: Path) -> None:
    finished(tmp_path / "run", noisy(tmp_path / "noisy", known=False))
    made = relabel(tmp_path / "run", tmp_path / "out")
    assert made.report["truth"] is None
    assert "clean_label" not in rows(tmp_path / "out" / "suspects.csv")[0]
    assert "truth" not in (tmp_path / "out" / "page.html").read_text()


def test_no_suspects_leave_the_labels_alone(tmp_path: Path, run: Path) -> None:
    made = relabel(run, tmp_path / "out", noise_rate=0.0)
    assert (made.report["suspects"], made.report["changes"], made.report["least_suspicion"]) == (0, [], None)
    assert made.notices == ("no suspects, so no suspects.png",)
    assert rows(tmp_path / "out" / "suspects.csv") == rows(tmp_path / "out" / "dataset" / "changes.csv") == []
    assert np.array_equal(made.dataset.labels("train"), open_dataset(tmp_path / "noisy").labels("train"))


def test_the_corrected_dataset(tmp_path: Path, run: Path) -> None:
    parent = open_dataset(tmp_path / "noisy")
    made = relabel(run, tmp_path / "out", noise_rate=0.2)
    corrected, changes = made.dataset, rows(made.dataset.path / "changes.csv")
    assert all(check.passed for check in verify(corrected))
    assert (corrected.metadata.labels, corrected.metadata.noise) == ("unknown", None)
    assert not corrected.manifest_path.exists()
    before, after = parent.labels("train"), corrected.labels("train")
    differing = np.flatnonzero(before != after).tolist()
    assert [int(row["id"]) for row in changes] == differing
    assert [int(row["from"]) for row in changes] == before[differing].tolist()
    assert [int(row["to"]) for row in changes] == after[differing].tolist()
    for old, new in zip(parent.batches("train"), corrected.batches("train"), strict=True):
        assert np.array_equal(old["pixels"], new["pixels"])
        assert np.array_equal(old["id"], new["id"])
    assert (parent.path / "test_batch.bin").read_bytes() == (corrected.path / "test_batch.bin").read_bytes()
    record = json.loads((corrected.path / DATASET_FILE).read_text())["relabelled"]
    assert record["parent"] == {"name": "noisy", "sha256": parent.sha256}
    assert record["changed"] == len(changes) == sum(change["count"] for change in made.report["changes"])
    assert resolve("selfie", corrected, noise_rate=0.1).noise_rate == 0.1
    with pytest.raises(TrainerError, match="nobody knows the noise rate"):
        resolve("selfie", corrected)


def test_records_in_another_order_get_their_own_labels(tmp_path: Path) -> None:
    ids, clean, pixels = examples(COUNT)
    labels = np.where(WRONG, (clean + 1) % 3, clean)
    turned = np.random.default_rng(3).permutation(COUNT)
    shuffled = (ids[turned], labels[turned], pixels[turned])
    write_dataset(tmp_path / "noisy", shuffled, examples(6), labels="noisy", clean_labels=clean, train_files=2)
    finished(tmp_path / "run", open_dataset(tmp_path / "noisy"))
    made = relabel(tmp_path / "run", tmp_path / "out", noise_rate=0.2)
    assert made.report["truth"]["precision"] == 1.0
    by_id = np.empty(COUNT, np.int64)
    by_id[made.dataset.ids("train")] = made.dataset.labels("train")
    assert np.array_equal(by_id[1:4], clean[1:4])
    assert np.array_equal(by_id[8:], clean[8:])


def test_file_names_come_from_the_image_folder(tmp_path: Path) -> None:
    for number in range(24):
        place = tmp_path / "pictures" / "train" / ("a", "b")[number % 2]
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(examples(24)[2][number, 0]).save(place / f"{number:02}.png")
    converted = convert("image-folder", source=tmp_path / "pictures", out=tmp_path / "noisy").dataset
    data = load(converted)
    directory = tmp_path / "run"
    directory.mkdir()
    write_config(directory, run_config(), converted, {"dataset": converted.sha256, "device": "cpu", "code": ""})
    half = np.full((data.num_samples, 2), 0.5, np.float32)
    known = {"mean_probability": half, "mean_loss": np.ones(data.num_samples, np.float32)}
    write_samples(directory / "samples.h5", data, {**known, "visits": np.ones(data.num_samples, np.int32)})
    write_json(directory / "result.json", {})
    made = relabel(directory, tmp_path / "out")
    listed = {row["id"]: row["path"] for row in rows(converted.files_csv_path) if row["split"] == "train"}
    found = rows(tmp_path / "out" / "suspects.csv")
    assert found
    assert all(row["file"] == listed[row["id"]] for row in found)
    assert all(check.passed for check in verify(made.dataset))
    converted.files_csv_path.write_text("id,split,path\n")
    with pytest.raises(TrainerError, match=r"files\.csv: missing, or changed since"):
        relabel(directory, tmp_path / "again")


def test_the_same_run_gives_the_same_bytes(tmp_path: Path, run: Path) -> None:
    relabel(run, tmp_path / "one")
    relabel(run, tmp_path / "two")
    assert tree(tmp_path / "one") == tree(tmp_path / "two")


# --- page and sheet --------------------------------------------------------------------------------------------------

HOSTILE = ("<script>alert(1)</script>", '"><img src=http://127.0.0.1/x onerror=alert(2)>', "‮&amp;'\n=cmd|x")


class Tags(HTMLParser):
    """The tags of a page with their attributes, and its text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


def renamed(dataset: Dataset, names: tuple[str, ...]) -> Dataset:
    path = dataset.path / DATASET_FILE
    path.write_text(json.dumps({**json.loads(path.read_text()), "class_names": list(names)}), encoding="utf-8")
    return open_dataset(dataset.path)


def test_names_from_a_dataset_stay_text(tmp_path: Path) -> None:
    finished(tmp_path / "run", renamed(noisy(tmp_path / "noisy"), HOSTILE))
    relabel(tmp_path / "run", tmp_path / "out")
    page = Tags((tmp_path / "out" / "page.html").read_text(encoding="utf-8"))
    kinds = {tag for tag, _ in page.tags}
    assert not kinds & {"script", "link", "iframe", "object", "base", "form"}
    for tag, attributes in page.tags:
        assert not any(name.startswith("on") for name in attributes), (tag, attributes)
        for name in ("src", "href", "data"):
            assert (attributes.get(name) or "data:image/png;base64,").startswith("data:image/png;base64,")
    assert all(name in page.text for name in HOSTILE)
    assert {row["given_name"] for row in rows(tmp_path / "out" / "suspects.csv")} <= set(HOSTILE)


def test_the_page_holds_the_images_themselves(tmp_path: Path, run: Path) -> None:
    relabel(run, tmp_path / "out", count=3)
    page = (tmp_path / "out" / "page.html").read_text()
    assert len(re.findall(r"<li>", page)) == 3
    assert "default-src 'none'" in page
    assert "prefers-color-scheme: dark" in page
    assert 'name="viewport"' in page
    assert not re.search(r"https?://", page)


def test_no_image_at_all_is_a_page_too(tmp_path: Path, run: Path) -> None:
    relabel(run, tmp_path / "out", count=0)
    assert "<li>" not in (tmp_path / "out" / "page.html").read_text()
    assert not (tmp_path / "out" / "suspects.png").exists()


def test_images_that_no_png_holds_are_left_out_and_said_so(tmp_path: Path) -> None:
    finished(tmp_path / "run", noisy(tmp_path / "noisy", depth=2))
    made = relabel(tmp_path / "run", tmp_path / "out")
    assert made.notices == ("images of 2 planes are neither grey nor RGB: suspects.png and page.html are left out",)
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"suspects.csv", "relabel.json", "dataset"}


def test_the_sheet_shows_colour(tmp_path: Path) -> None:
    finished(tmp_path / "run", noisy(tmp_path / "noisy", depth=3))
    relabel(tmp_path / "run", tmp_path / "out")
    with Image.open(tmp_path / "out" / "suspects.png") as sheet:
        assert sheet.mode == "RGB"
        assert sheet.width > 300


# --- what cannot be used ---------------------------------------------------------------------------------------------


def refusal(run: Path, out: Path, **more: Any) -> str:
    """The one line, and nothing is written."""
    before = tree(out.parent)
    with pytest.raises(DataToolsError) as caught:
        relabel(run, out, **more)
    assert tree(out.parent) == before
    assert "\n" not in str(caught.value)
    return str(caught.value)


def damaged(run: Path, change: Callable[[h5py.File], None]) -> None:
    with h5py.File(run / "samples.h5", "a") as file:
        change(file)


def replaced(name: str, values: Any) -> Callable[[h5py.File], None]:
    def change(file: h5py.File) -> None:
        del file[name]
        file[name] = values

    return change


def linked(file: h5py.File) -> None:
    del file["mean_loss"]
    file["mean_loss"] = h5py.ExternalLink("/etc/passwd", "x")


DAMAGE: dict[str, tuple[Callable[[h5py.File], None], str]] = {
    "no mean loss": (lambda file: file.__delitem__("mean_loss"), "no dataset 'mean_loss'"),
    "an external link": (linked, "no dataset 'mean_loss'"),
    "too short": (replaced("visits", np.ones(3, np.int32)), r"'visits' is int32\(3,\), expected int32\(40,\)"),
    "of another type": (replaced("id", np.arange(COUNT)), "'id' is int64"),
    "other ids": (replaced("id", np.arange(1, COUNT + 1, dtype=np.uint32)), "ids are not 0, 1, 2"),
    "a label too high": (replaced("given_label", np.full(COUNT, 3, np.int32)), "'given_label' outside 0..2"),
    "an endless loss": (replaced("mean_loss", np.full(COUNT, np.inf, np.float32)), "holds what is no loss"),
    "no probabilities": (replaced("mean_probability", np.ones((COUNT, 3), np.float32)), "no probabilities"),
    "other labels": (replaced("given_label", np.zeros(COUNT, np.int32)), "its given labels are not those of"),
    "nothing seen": (replaced("visits", np.zeros(COUNT, np.int32)), "no sample that was trained on"),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_a_damaged_samples_file_is_one_line(tmp_path: Path, run: Path, kind: str) -> None:
    change, said = DAMAGE[kind]
    damaged(run, change)
    found = refusal(run, tmp_path / "out")
    assert re.search(said, found), found
    assert "samples.h5" in found


def test_a_samples_file_that_is_none(tmp_path: Path, run: Path) -> None:
    (run / "samples.h5").write_bytes(b"no HDF5")
    assert "train the run anew" in refusal(run, tmp_path / "out")
    (run / "samples.h5").unlink()
    assert "samples.h5: not there" in refusal(run, tmp_path / "out")


def test_what_is_no_finished_run(tmp_path: Path, run: Path) -> None:
    assert "no such run directory" in refusal(tmp_path / "nowhere", tmp_path / "out")
    assert "no run directory, it has no config.json" in refusal(tmp_path / "noisy", tmp_path / "out")
    (run / "result.json").unlink()
    assert "not finished; go on with `trainer run default --resume`" in refusal(run, tmp_path / "out")


def test_a_config_that_names_no_dataset(tmp_path: Path, run: Path) -> None:
    values = json.loads((run / "config.json").read_text())
    path = values["dataset"].pop("path")
    (run / "config.json").write_text(json.dumps(values))
    assert "config.json" in refusal(run, tmp_path / "out")
    for text in ("{}", "[]", "not JSON", '{"dataset": 3}'):
        (run / "config.json").write_text(text)
        assert "which dataset the run is of" in refusal(run, tmp_path / "out", data=Path(path))


def test_a_dataset_that_moved_or_changed(tmp_path: Path, run: Path) -> None:
    (tmp_path / "noisy").rename(tmp_path / "moved")
    assert "where it is now, tell with --data" in refusal(run, tmp_path / "out")
    assert isinstance(relabel(run, tmp_path / "out", data=tmp_path / "moved"), Relabelled)
    renamed(open_dataset(tmp_path / "moved"), ("a", "b", "c"))
    assert "or changed since" in refusal(run, tmp_path / "other", data=tmp_path / "moved")


def test_a_rate_out_of_range(tmp_path: Path, run: Path) -> None:
    for rate in (-0.1, 1.0, float("nan")):
        assert "a fraction in [0, 1) is expected" in refusal(run, tmp_path / "out", noise_rate=rate)


def test_only_what_relabel_made_is_replaced(tmp_path: Path, run: Path) -> None:
    out = tmp_path / "out"
    relabel(run, out)
    before = tree(out)
    assert "pass --overwrite" in refusal(run, out)
    relabel(run, out, overwrite=True, noise_rate=0.1)
    assert tree(out) != before
    (out / "own notes.txt").write_text("keep me")
    assert "never overwritten" in refusal(run, out, overwrite=True)
    assert "never overwritten" in refusal(run, run, overwrite=True)
    assert "never overwritten" in refusal(run, tmp_path / "noisy", overwrite=True)
    assert "lies inside a dataset" in refusal(run, tmp_path / "noisy" / "out")
    (tmp_path / "file").write_text("")
    assert "is not a folder" in refusal(run, tmp_path / "file")


@pytest.mark.parametrize("where", ["write_suspects", "write_corrected", "card", "draw_tiles"])
def test_an_interruption_leaves_nothing(tmp_path: Path, run: Path, where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    relabel(run, tmp_path / "standing")
    before = tree(tmp_path)

    def interrupt(*arguments: Any, **more: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(output, where, interrupt)
    for out in (tmp_path / "new" / "out", tmp_path / "standing"):
        with pytest.raises(KeyboardInterrupt):
            relabel(run, out, overwrite=True, noise_rate=0.1)
        assert tree(tmp_path) == before


def test_a_report_is_read_back_or_refused(tmp_path: Path, run: Path) -> None:
    made = relabel(run, tmp_path / "out")
    assert read_report(tmp_path / "out") == made.report
    (tmp_path / "out" / "relabel.json").write_text('{"format_version": 2}')
    with pytest.raises(TrainerError, match=r"relabel\.json: cannot be read \(format_version is not 1\)"):
        read_report(tmp_path / "out")


# --- the command, and a real run -------------------------------------------------------------------------------------


def answer(capsys: pytest.CaptureFixture[str], *arguments: str, group: Any = trainer) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as exit:
        group.main([*arguments])
    said = capsys.readouterr()
    return int(exit.value.code or 0), said.out, said.err


def test_the_command_says_what_it_found(tmp_path: Path, run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    code, said, err = answer(capsys, "relabel", str(run), "--out", str(out), "--noise-rate", "0.2", "--all")
    assert (code, err) == (0, "")
    assert said.splitlines() == [
        "8 of 40 labels suspected: the most suspicious 20.0% of the samples (--noise-rate)",
        f"against the clean labels: precision 100.0%, recall 80.0%, average precision "
        f"{read_report(out)['truth']['average_precision']:.3f}, suggestions right for 100.0% of the wrong labels found",
        "wrong labels 25.00% before, 5.00% after",
        f"{out}: dataset, page.html, relabel.json, suspects.csv, suspects.png",
    ]
    assert len(rows(out / "suspects.csv")) == COUNT
    code, said, err = answer(capsys, "relabel", str(run), "--out", str(out))
    assert (code, said) == (1, "")
    assert err == f"trainer: error: {out}: exists already; pass --overwrite to replace it, or choose another --out\n"
    assert answer(capsys, "verify", str(out / "dataset"), group=datatools)[0] == 0
    assert answer(capsys, "info", str(out / "dataset"), group=datatools)[0] == 0


@pytest.fixture(scope="module")
def digits_run(tf: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """SELFIE on digits with pair noise 0.4: half the quick preset's epochs and no restart, to be fast."""
    folder = tmp_path_factory.mktemp("digits")
    dataset = corrupt(convert("digits", out=folder / "digits").dataset, noise="pair", rate=0.4).dataset
    config = resolve("selfie", dataset, preset="quick", epochs=20, method_options={"restarts": 0})
    train(config, dataset, folder / "run", Quiet())
    return folder / "run"


def test_selfie_finds_the_wrong_digits(tmp_path: Path, digits_run: Path) -> None:
    made = relabel(digits_run, tmp_path / "out")
    truth = made.report["truth"]
    assert truth["precision"] >= 0.85
    assert truth["recall"] >= 0.85
    assert truth["average_precision"] >= 0.95
    assert truth["suggestion_accuracy"] >= 0.95
    assert truth["wrong_rate_after"] < 0.1 < truth["wrong_rate_before"]
    assert all(check.passed for check in verify(made.dataset))
