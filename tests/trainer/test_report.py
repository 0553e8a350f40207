"""The comparison of finished runs: what is read, how it is grouped, and what is left out."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from trainer.errors import TrainerError
from trainer.report import collect, draw, groups, table, write_csv


def made_run(directory: Path, method: str, seed: int, errors: list[float], **more: Any) -> Path:
    """A run directory with the files that a report reads; `errors`: the test error of each epoch."""
    directory.mkdir(parents=True)
    noise = {"type": "pair", "rate": 0.4, "seed": seed, "parent": {"name": "digits"}}
    config = {
        "method": method,
        "network": "small-cnn",
        "epochs": more.get("epochs", len(errors)),
        "seed": seed,
        "dataset": {"name": f"digits-pair-0.4-seed{seed}", "train_records": 200, "noise": more.get("noise", noise)},
    }
    (directory / "config.json").write_text(json.dumps(config))
    refurbishes = method == "selfie"
    columns = ["epoch", "test_error", *(["refurbished", "refurbishment_accuracy"] if refurbishes else [])]
    lines = [",".join(columns)]
    for epoch, error in enumerate(errors):
        cells = [str(epoch + 1), repr(error)]
        cells += (["0", ""] if epoch == 0 else ["100", "0.9"]) if refurbishes else []
        lines.append(",".join(cells))
    (directory / "metrics.csv").write_text("\n".join(lines) + "\n")
    result = {
        "method": method,
        "best_test_error": min(errors),
        "last_test_error": errors[-1],
        "mean_last10_test_error": float(np.mean(errors[-10:])),
        "best_test_error_all_runs": min(errors),
    }
    (directory / "result.json").write_text(json.dumps(result))
    return directory


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    for seed, shift in enumerate((0.0, 0.02)):
        made_run(tmp_path / "runs" / f"default{seed}", "default", seed, [0.5 + shift, 0.3 + shift, 0.4 + shift])
        made_run(tmp_path / "runs" / f"selfie{seed}", "selfie", seed, [0.5, 0.2, 0.1 + shift])
    return tmp_path / "runs"


def test_runs_that_differ_in_seeds_make_one_line(runs: Path) -> None:
    found, notices = collect([runs])
    assert notices == []
    assert [(group.method, len(members)) for group, members in groups(found).items()] == [("default", 2), ("selfie", 2)]
    header, default, selfie = (line.split() for line in table(found)[1:])
    assert header[:5] == ["dataset", "noise", "network", "method", "runs"]
    # means and sample deviations of 30, 32 (best) and 40, 42 (last); SELFIE ends at 10, 12
    assert default[:12] == [
        "digits",
        "pair",
        "0.4",
        "small-cnn",
        "default",
        "2",
        "31.0",
        "±",
        "1.4",
        "41.0",
        "±",
        "1.4",
    ]
    assert selfie[:12] == ["digits", "pair", "0.4", "small-cnn", "selfie", "2", "11.0", "±", "1.4", "11.0", "±", "1.4"]
    assert selfie[-3:] == ["90.0", "±", "0.0"]
    assert default[-1] == "-"


@pytest.mark.parametrize("other", [{"noise": None}, {"epochs": 30}], ids=["noise", "epochs"])
def test_runs_that_differ_in_more_than_seeds_are_apart(runs: Path, other: dict[str, Any]) -> None:
    made_run(runs / "other", "default", 0, [0.5, 0.3, 0.4], **other)
    assert len(groups(collect([runs])[0])) == 3


def test_a_run_named_twice_counts_once(runs: Path) -> None:
    assert len(collect([runs, runs / "selfie0", runs])[0]) == 4


@pytest.mark.parametrize(
    ("file", "content", "said"),
    [
        ("result.json", None, "not finished"),
        ("result.json", "{", "cannot be read"),
        ("result.json", "{}", "cannot be read"),
        ("result.json", "[]", "cannot be read"),
        ("config.json", '{"method": 3}', "cannot be read"),
        ("metrics.csv", "", "cannot be read"),
        ("metrics.csv", "epoch,test_error\n1,high\n", "cannot be read"),
        ("metrics.csv", "epoch,loss\n1,0.5\n", "cannot be read"),
        ("metrics.csv", None, "cannot be read"),
    ],
)
def test_a_broken_run_is_left_out_and_said(runs: Path, file: str, content: str | None, said: str) -> None:
    broken = runs / "default0" / file
    broken.unlink()
    if content is not None:
        broken.write_text(content)
    found, notices = collect([runs])
    assert len(found) == 3
    assert len(notices) == 1
    assert notices[0].startswith(f"{runs / 'default0'}: {said}")
    assert "\n" not in notices[0]


def test_no_run_at_all_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(TrainerError, match="no run there"):
        collect([tmp_path])


def test_the_csv_has_every_run_as_fractions(runs: Path, tmp_path: Path) -> None:
    write_csv(collect([runs])[0], tmp_path / "results.csv")
    with (tmp_path / "results.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["method"], row["seed"], float(row["last_test_error"])) for row in rows] == [
        ("default", "0", 0.4),
        ("default", "1", pytest.approx(0.42)),
        ("selfie", "0", 0.1),
        ("selfie", "1", pytest.approx(0.12)),
    ]
    assert [row["refurbishment_accuracy"] for row in rows] == ["", "", "0.9", "0.9"]


def test_the_picture_has_curves_of_both_methods(runs: Path, tmp_path: Path) -> None:
    draw(collect([runs])[0], tmp_path / "both.png")
    draw(collect([runs / "default0", runs / "default1"])[0], tmp_path / "one.png")
    colours = {}
    for name in ("both", "one"):
        with Image.open(tmp_path / f"{name}.png") as image:
            assert image.size[0] > 1000
            colours[name] = {colour for _, colour in image.convert("RGB").getcolors(1 << 24) or []}
    blue, orange = (31, 119, 180), (255, 127, 14)  # matplotlib's first two
    assert {blue, orange} <= colours["both"]
    assert blue in colours["one"]
    assert orange not in colours["one"]
