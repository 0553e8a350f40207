"""The comparison of finished runs: what is read, how it is grouped, and what is left out."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.support.report_runs import made_run
from trainer.errors import TrainerError
from trainer.report import collect, groups, table, write_csv, write_report
from trainer.report.paper import paper_table
from trainer.report.style import STYLES
from trainer.report.summary import panels, table_rows


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    for seed, shift in enumerate((0.0, 0.02)):
        made_run(tmp_path / "runs" / f"default{seed}", "default", seed, [0.5 + shift, 0.3 + shift, 0.4 + shift])
        made_run(tmp_path / "runs" / f"selfie{seed}", "selfie", seed, [0.5, 0.2, 0.1 + shift])
    return tmp_path / "runs"


def test_runs_that_differ_in_seeds_make_one_line(runs: Path) -> None:
    collected, notices = collect([runs])
    assert notices == []
    assert [(group.method, len(members)) for group, members in groups(collected).items()] == [
        ("default", 2),
        ("selfie", 2),
    ]
    header, default, selfie = (line.split() for line in table(collected)[1:])
    assert header[:5] == ["dataset", "noise", "network", "method", "runs"]
    assert "paper's" not in header
    # means and sample deviations of 40, 42 (last) and 30, 32 (best); SELFIE ends at 10, 12, its lowest
    assert default[:12] == [
        "digits",
        "pair",
        "0.4",
        "small-cnn",
        "default",
        "2",
        "41.0",
        "±",
        "1.4",
        "41.0",
        "±",
        "1.4",
    ]
    assert default[12:15] == ["31.0", "±", "1.4"]
    assert selfie[:9] == ["digits", "pair", "0.4", "small-cnn", "selfie", "2", "11.0", "±", "1.4"]
    assert selfie[12:15] == ["11.0", "±", "1.4"]
    assert selfie[-5:] == ["90.0", "±", "0.0", "not", "recorded"]
    assert default[-3:] == ["-", "not", "recorded"]


@pytest.mark.parametrize("other", [{"noise": None}, {"epochs": 30}], ids=["noise", "epochs"])
def test_runs_that_differ_in_more_than_seeds_are_apart(runs: Path, other: dict[str, Any]) -> None:
    made_run(runs / "other", "default", 0, [0.5, 0.3, 0.4], **other)
    assert len(groups(collect([runs])[0])) == 3


def test_a_run_named_twice_counts_once(runs: Path) -> None:
    assert len(collect([runs, runs / "selfie0", runs])[0]) == 4


@pytest.mark.parametrize(
    ("file", "content", "said"),
    [
        ("config.json", "[" * 100_000, "cannot be read"),
        ("config.json", '{"format_version": 9, "run": {"method": "default"}}', "cannot be read"),
        ("config.json", '{"dataset": {"noise": "pair", "name": "digits", "train_records": 1}}', "cannot be read"),
        ("config.json", "\udcff".encode("utf-8", "surrogatepass").decode("latin-1"), "cannot be read"),
        ("result.json", '{"best_test_error": NaN, "last_test_error": 0.5, "mean_last10_test_error": 0.5}', "cannot be"),
        ("result.json", '{"best_test_error": 40, "last_test_error": 0.5, "mean_last10_test_error": 0.5}', "cannot be"),
        ("result.json", f'{{"best_test_error": 1{"0" * 400}}}', "cannot be read"),
        ("metrics.csv", "epoch,test_error\n1,0.5,7,8\n", "cannot be read"),
        ("metrics.csv", "epoch,test_error\n1,\n", "cannot be read"),
        ("result.json", None, "not finished"),
        ("result.json", "{", "cannot be read"),
        ("result.json", "{}", "cannot be read"),
        ("result.json", "[]", "cannot be read"),
        ("config.json", '{"method": 3}', "cannot be read"),
        ("config.json", '{"dataset": {"name": "", "train_records": 1}}', "cannot be read"),
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
    collected, notices = collect([runs])
    assert len(collected) == 3
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
    write_report(*collect([runs]), tmp_path / "both")
    write_report(*collect([runs / "default0", runs / "default1"]), tmp_path / "one")
    colours = {}
    for name in ("both", "one"):
        with Image.open(tmp_path / name / "learning-curves.png") as image:
            assert image.size[0] > 1000
            colours[name] = {colour for _, colour in image.convert("RGB").getcolors(1 << 24) or []}
    # Default's and SELFIE's, whatever else is drawn
    black, blue = (tuple(bytes.fromhex(STYLES[number].light[1:])) for number in (0, 3))
    assert {black, blue} <= colours["both"]
    assert black in colours["one"]
    assert blue not in colours["one"]


def test_an_unfinished_run_says_how_far_it_is(runs: Path) -> None:
    (runs / "selfie1" / "result.json").unlink()
    assert "not finished (3 epochs done" in collect([runs])[1][0]


def test_a_broken_run_is_named_once(runs: Path) -> None:
    (runs / "selfie1" / "config.json").write_text("{")
    assert len(collect([runs, runs / "selfie1", runs])[1]) == 1


def test_a_notice_is_one_line_whatever_the_directory_is_called(tmp_path: Path) -> None:
    made_run(tmp_path / "good", "default", 0, [0.5])
    made_run(tmp_path / "bad\n\x1b[31mname", "default", 1, [0.5])
    (tmp_path / "bad\n\x1b[31mname" / "result.json").unlink()
    (line,) = collect([tmp_path])[1]
    assert line.isprintable()


@pytest.mark.parametrize(
    ("one", "other", "text"),
    [
        ({"batch_size": 128}, {"batch_size": 64}, ("batch-size 128", "batch-size 64")),
        ({"method_settings": {"beta": 0.2}}, {"method_settings": {"beta": 0.5}}, ("beta 0.2", "beta 0.5")),
        ({"optimizer": "sgd"}, {"optimizer": "adam"}, ("optimizer sgd", "optimizer adam")),
        ({"augmentation": "none"}, {"augmentation": "crop-flip"}, ("augmentation none", "augmentation crop-flip")),
        ({"drop_epochs": [20, 30]}, {"drop_epochs": []}, ("drop-epochs 20 30", "drop-epochs none")),
        (
            {"preset": "elr-2020", "batch_size": 128},
            {"preset": "dividemix-2020", "batch_size": 64},
            ("preset elr-2020", "preset dividemix-2020"),
        ),
        (
            {"noise_rate": 0.4, "noise_rate_from": "--noise-rate"},
            {"noise_rate": 0.3, "noise_rate_from": "--noise-rate"},
            ("noise-rate known", "noise-rate 0.3"),
        ),
    ],
    ids=["setting", "method's own", "optimizer", "augmentation", "numbers", "preset", "told rate"],
)
def test_runs_of_other_settings_are_apart_and_say_why(
    tmp_path: Path, one: dict[str, Any], other: dict[str, Any], text: tuple[str, str]
) -> None:
    made_run(tmp_path / "a", "default", 0, [0.5], **one, variant="paper")
    made_run(tmp_path / "b", "default", 0, [0.5], **other, variant="paper")
    assert {group.settings for group in groups(collect([tmp_path])[0])} == set(text)


def test_clean_runs_stand_at_rate_0_of_every_noise_of_their_dataset(tmp_path: Path) -> None:
    made_run(tmp_path / "clean", "default", 0, [0.1], noise=None, name="digits")
    for kind in ("pair", "symmetric"):
        noise = {"type": kind, "rate": 0.4, "seed": 0, "parent": {"name": "digits"}}
        made_run(tmp_path / kind, "default", 0, [0.3], noise=noise)
    made_run(tmp_path / "alone", "default", 0, [0.2], noise=None, name="mnist")
    made = panels(table_rows(collect([tmp_path])[0]))
    assert [(panel.dataset, panel.kind, [row.noise.rate for row in panel.rows]) for panel in made] == [
        ("digits", "pair", [0.0, 0.4]),
        ("digits", "symmetric", [0.0, 0.4]),
        ("mnist", "none", [0.0]),
    ]


def test_human_labels_stand_at_the_rate_that_was_counted(tmp_path: Path) -> None:
    noise = {
        "type": "human",
        "rate": None,
        "realised_rate": 0.17,
        "column": "worse_label",
        "parent": {"name": "cifar10"},
    }
    made_run(tmp_path / "a", "default", 0, [0.1], noise=noise)
    (run,) = collect([tmp_path])[0]
    assert (run.group.noise, run.noise.rate) == ("human worse_label", 0.17)


PAPERS = {
    "name": "cifar10-pair-0.4-seed0",
    "train_records": 50_000,
    "network": "densenet-25-12",
    "epochs": 100,
    "batch_size": 128,
    "learning_rate": 0.1,
    "noise": {"type": "pair", "rate": 0.4, "sampling": "exact", "parent": {"name": "cifar10"}},
}


@pytest.mark.parametrize(
    ("changed", "method", "expected"),
    [
        ({}, "selfie", 0.133),
        ({}, "default", 0.184),
        ({"noise": None, "name": "cifar10"}, "selfie", (0.086 + 0.087) / 2),
        ({}, "mixup", None),
        ({"epochs": 99}, "selfie", None),
        ({"batch_size": 64}, "selfie", None),
        ({"optimizer": "sgd", "schedule": "step", "augmentation": "none"}, "selfie", 0.133),
        ({"optimizer": "adam"}, "selfie", None),
        ({"augmentation": "crop-flip"}, "selfie", None),
        ({"network": "small-cnn"}, "selfie", None),
        ({"validation_fraction": 0.1}, "selfie", None),
        ({"train_records": 10_000}, "selfie", None),
        ({"noise": {"type": "pair", "rate": 0.35, "parent": {"name": "cifar10"}}}, "selfie", None),
        ({"noise": {"type": "pair", "rate": 0.4, "parent": {"name": "cifar10-first10000"}}}, "selfie", None),
        ({"noise": {"type": "symmetric-inclusive", "rate": 0.4, "parent": {"name": "cifar10"}}}, "selfie", None),
        (
            {"noise": {"type": "pair", "rate": 0.2, "parent": {"name": "tiny-imagenet"}}, "train_records": 100_000},
            "selfie",
            None,
        ),
        (
            {
                "noise": {"type": "pair", "rate": 0.2, "parent": {"name": "tiny-imagenet-32x32"}},
                "train_records": 100_000,
            },
            "selfie",
            0.579,
        ),
        (
            {
                "noise": None,
                "name": "animal-10n-32x32",
                "noise_rate": 0.08,
                "noise_rate_from": "--noise-rate",
            },
            "selfie",
            0.17,
        ),
    ],
)
def test_the_papers_value_stands_beside_the_papers_setting_alone(
    tmp_path: Path, changed: dict[str, Any], method: str, expected: float | None
) -> None:
    made_run(tmp_path / "a", method, 0, [0.2], **{**PAPERS, **changed})
    collected = collect([tmp_path])[0]
    (row,) = table_rows(collected)
    assert row.paper == (None if expected is None else pytest.approx(expected))
    assert ("paper's best" in table(collected)[1]) == (expected is not None)


def test_the_papers_table_is_whole() -> None:
    assert len(paper_table()) == 2 * 3 * 4 * 5 + 4


def on_features(name: str, sha256: str, backbone: str | None = None) -> dict[str, Any]:
    """What config.json has of a run on features."""
    made_by = None if backbone is None else {"backbone": backbone, "size": 160}
    file = {"path": f"/somewhere/{name}", "sha256": sha256, "numbers": 5, "backbone": made_by}
    return {"network": "linear", "features": f"/somewhere/{name}", "features_file": file}


def test_runs_on_other_features_are_apart_and_say_on_which(tmp_path: Path) -> None:
    told = [
        on_features("a.npy", "a" * 64),
        on_features("b.npy", "b" * 64),
        on_features("b.npy", "c" * 64),
        on_features("d.h5", "d" * 64, "efficientnet-lite0"),
        {"network": "linear", "features": "x.npy"},
    ]
    for number, more in enumerate(told):
        made_run(tmp_path / str(number), "default", 0, [0.5, 0.25], **more)
    runs, notices = collect([tmp_path])
    assert [(run.group.network, run.group.settings) for run in runs] == [
        ("linear on a.npy", ""),
        ("linear on b.npy", "features bbbbbbbbbbbb"),
        ("linear on b.npy", "features cccccccccccc"),
        ("linear on efficientnet-lite0, 160 pixels", ""),
    ]
    assert len(notices) == 1
    assert "'features_file' is missing" in notices[0]
