"""What `relabel` writes, read back."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from datatools import convert
from datatools.format.dataset import open_dataset
from datatools.format.metadata import DATASET_FILE
from datatools.verification import verify
from tests.support.factories import tree
from tests.support.relabel_runs import COUNT, WRONG, finished, noisy, rows
from tests.support.report_runs import result
from tests.support.tiny import examples, run_config, write_dataset
from trainer.audit.output import relabel
from trainer.config import resolve
from trainer.data import load
from trainer.errors import TrainerError
from trainer.runs.directory import write_config, write_json, write_samples


def test_suspects_csv_tells_what_the_run_remembers(tmp_path: Path, run: Path) -> None:
    relabel(run, tmp_path / "out")
    written = rows(tmp_path / "out" / "suspects.csv")
    assert len(written) == 10
    first, (_, clean, _) = written[0], examples(COUNT)
    record = int(first["id"])
    assert WRONG[record]
    assert int(first["suggested_label"]) == clean[record] == int(first["clean_label"])
    assert first["given_name"] == f"class {first['given_label']}"
    assert first["suggested_name"] == f"class {first['suggested_label']}"
    assert (first["given_probability"], first["suggested_probability"]) == ("0.100000", "0.800000")
    assert first["confidence"] == f"{0.8 / 0.9:.6f}"
    assert (first["suspect"], first["held_out"], first["wrong"]) == ("1", "0", "1")
    assert (first["refurbished_label"], first["uncertainty"], first["file"]) == ("", "", "")
    scores = [float(row["suspicion"]) for row in written]
    assert scores == sorted(scores, reverse=True)
    ranks = [int(row["loss_rank"]) for row in written]
    assert len(set(ranks)) == 10
    assert all(1 <= rank <= COUNT for rank in ranks)


def test_selfie_s_own_evidence_is_shown_and_used(tmp_path: Path) -> None:
    refurbished, uncertainty = np.full(COUNT, -1, np.int32), np.full(COUNT, np.nan, np.float32)
    refurbished[8], uncertainty[8] = 2, 0.25
    remembered = {"refurbished_label": refurbished, "uncertainty": uncertainty}
    settings = {"warm_up": 1, "history_length": 1, "uncertainty_threshold": 0.05, "restarts": 0, "refurbish": "certain"}
    dataset = noisy(tmp_path / "noisy")
    assert dataset.labels("train")[8] == 0
    finished(tmp_path / "run", dataset, more=remembered, method="selfie", method_settings=settings)
    relabel(tmp_path / "run", tmp_path / "out")
    (row,) = (row for row in rows(tmp_path / "out" / "suspects.csv") if row["id"] == "8")
    assert (row["refurbished_label"], row["uncertainty"], row["suggested_label"]) == ("2", "0.250000", "2")


def test_held_out_samples_are_marked_and_not_judged(tmp_path: Path) -> None:
    finished(tmp_path / "run", noisy(tmp_path / "noisy"), held_out=0.25)
    held_out = set(load(open_dataset(tmp_path / "noisy"), 0.25, 0).validation_ids.tolist())
    made = relabel(tmp_path / "run", tmp_path / "out", every_sample=True)
    written = rows(tmp_path / "out" / "suspects.csv")
    assert len(written) == COUNT
    assert {int(row["id"]) for row in written if row["held_out"] == "1"} == held_out
    for row in written[-len(held_out) :]:
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
    (tmp_path / "pictures" / "train" / "a" / "notes.txt").write_text("no image")
    converted = convert("image-folder", source=tmp_path / "pictures", out=tmp_path / "noisy", skip_bad=True).dataset
    data = load(converted)
    directory = tmp_path / "run"
    directory.mkdir()
    write_config(directory, run_config(), converted, {"dataset": converted.sha256, "device": "cpu", "code": ""})
    half = np.full((data.num_samples, 2), 0.5, np.float32)
    known = {"mean_probability": half, "mean_loss": np.ones(data.num_samples, np.float32)}
    write_samples(
        directory / "samples.h5",
        data,
        {**known, "visits": np.ones(data.num_samples, np.int32)},
        run_config().make_method(),
    )
    write_json(directory / "result.json", result("default", [0.5], 2))
    made = relabel(directory, tmp_path / "out")
    listed = {row["id"]: row["path"] for row in rows(converted.files_csv_path) if row["split"] == "train"}
    written = rows(tmp_path / "out" / "suspects.csv")
    assert written
    assert all(row["file"] == listed[row["id"]] for row in written)
    assert all(check.passed for check in verify(made.dataset))
    assert made.dataset.files() == converted.files()
    assert (made.dataset.path / "skipped.csv").read_bytes() == (converted.path / "skipped.csv").read_bytes()
    converted.files_csv_path.write_text("id,split,path\n")
    with pytest.raises(TrainerError, match=r"files\.csv: missing, or changed since"):
        relabel(directory, tmp_path / "again")


def test_the_same_run_gives_the_same_bytes(tmp_path: Path, run: Path) -> None:
    relabel(run, tmp_path / "one")
    relabel(run, tmp_path / "two")
    assert tree(tmp_path / "one") == tree(tmp_path / "two")
