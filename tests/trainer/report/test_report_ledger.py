"""What methods were told, and which figure leads: on the page, on the screen and in the data."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.support.report_page import parsed
from tests.support.report_runs import described, made_run
from trainer.presets import PRESETS
from trainer.report import collect, groups, table, write_csv, write_report
from trainer.report.data_files import write_groups
from trainer.report.page import STYLE_SHEET
from trainer.report.results import error_section, table_section
from trainer.report.summary import SHOWN, panels, table_rows
from trainer.runs.result import HEADLINES

NOISE = {"type": "pair", "rate": 0.4, "parent": {"name": "digits"}}
NOTE = "was told more"


def ledger(source: str = "not used", matrix: str = "none") -> dict[str, Any]:
    """The key "told" of result.json."""
    return {
        "told": {
            "noise_rate": {"value": None if source == "not used" else 0.4, "source": source},
            "transition_matrix": matrix,
            "clean_validation_labels": "none",
            "chosen_on": {"best_test_error": "test labels"},
            "settings": {},
            "preset": "quick",
            "reported": "last_test_error",
        }
    }


def selected(error: Any) -> dict[str, Any]:
    return {"selected": {"epoch": 1, "validation_error": 0.3, "test_error": error}}


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """Methods that were told nothing, the true rate, the true matrix, an estimate; and a run of an earlier version."""
    folder = tmp_path / "runs"
    made_run(folder / "a", "default", 0, [0.5, 0.3], noise=NOISE, result=ledger())
    made_run(folder / "b", "selfie", 0, [0.4, 0.2], noise=NOISE, result=ledger("true"))
    made_run(folder / "c", "forward", 0, [0.4, 0.25], noise=NOISE, result=ledger(matrix="true"))
    made_run(folder / "d", "co-teaching", 0, [0.4, 0.22], noise=NOISE, result=ledger("estimated"))
    made_run(folder / "e", "active-bias", 0, [0.4, 0.28], noise=NOISE)
    return folder


def page_table(folder: Path) -> tuple[dict[str, str], str]:
    """The column "Told" of each method, with marks, and all text of the part with the tables."""
    section = table_section(described(folder))
    lines = {}
    for line in section.iter("tr"):
        cells = ["".join(cell.itertext()) for cell in line]
        if len(cells) > 1 and cells[0] != "Method":
            lines[cells[0]] = cells[1]
    return lines, "".join(section.itertext())


def test_the_page_says_what_each_method_was_told(runs: Path) -> None:
    lines, text = page_table(runs)
    assert lines == {
        "default": "–",
        "active-bias": "not recorded",
        "co-teaching": "estimated rate",
        "selfie †": "true rate",
        "forward †": "true matrix",
    }
    assert NOTE in text
    assert "did not write down" in text


def test_without_a_mark_there_is_no_note(tmp_path: Path) -> None:
    made_run(tmp_path / "a", "default", 0, [0.5, 0.3], result=ledger())
    made_run(tmp_path / "b", "co-teaching", 0, [0.5, 0.2], result=ledger("estimated", "anchors"))
    lines, text = page_table(tmp_path)
    assert lines == {"default": "–", "co-teaching": "estimated rate, matrix from anchors"}
    assert NOTE not in text
    assert "†" not in text
    assert "did not write down" not in text


def test_a_row_of_runs_that_were_told_otherwise_names_both(tmp_path: Path) -> None:
    made_run(tmp_path / "a", "selfie", 0, [0.5, 0.3], result=ledger("true"))
    made_run(tmp_path / "b", "selfie", 1, [0.5, 0.3])
    assert page_table(tmp_path)[0] == {"selfie †": "true rate; not recorded"}


@pytest.mark.parametrize("value", [None, [], "true", {}, {"noise_rate": {"value": 2, "source": "true"}}])
def test_a_ledger_of_another_format_counts_as_not_recorded(tmp_path: Path, value: Any) -> None:
    made_run(tmp_path / "a", "selfie", 0, [0.5], result={"told": value})
    collected, left_out = collect([tmp_path])
    assert (collected[0].ledger, collected[0].ledger_words, left_out) == (None, "not recorded", [])


def test_the_ranking_beside_a_figure_has_the_marks_too(runs: Path) -> None:
    section = error_section(described(runs))
    ranking = next(part for part in section.iter("div") if part.get("class") == "ranking")
    names = ["".join(cell.itertext()) for cell in ranking.iter("th") if cell.get("scope") == "row"]
    assert names == ["selfie †", "co-teaching", "forward †", "active-bias", "default"]
    assert "† was told more" in "".join(section.itertext())


def test_the_screen_says_what_each_method_was_told(runs: Path) -> None:
    lines = table(collect([runs])[0])[1:]
    assert lines[0].endswith("told")
    words = {line.split()[4]: re.split(r"  +", line)[-1] for line in lines[1:]}
    assert words == {
        "default": "-",
        "active-bias": "not recorded",
        "co-teaching": "estimated rate",
        "selfie": "true rate",
        "forward": "true matrix",
    }


def test_the_lowest_error_is_that_of_comparable_rows(runs: Path) -> None:
    bold = {
        "".join(line[0].itertext())
        for line in table_section(described(runs)).iter("tr")
        if any("least" in (cell.get("class") or "").split() for cell in line)
    }
    assert {"selfie †", "co-teaching"} <= bold
    assert not {"default", "active-bias"} & bold


def test_data_files_keep_their_columns_and_append_new_ones(runs: Path, tmp_path: Path) -> None:
    made_run(runs / "f", "gce", 0, [0.4, 0.3], noise=NOISE, preset="quick", result=ledger() | selected(0.35))
    collected = collect([runs])[0]
    write_csv(collected, tmp_path / "results.csv")
    write_groups(table_rows(collected), tmp_path / "groups.csv")
    columns = {}
    for name in ("results.csv", "groups.csv"):
        with (tmp_path / name).open(newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file)
            rows = {row["method"]: row for row in reader}
            columns[name] = list(reader.fieldnames or ())
        expected = {
            "default": "nothing",
            "selfie": "true rate",
            "active-bias": "not recorded",
            "forward": "true matrix",
        }
        assert {method: rows[method]["told"] for method in expected} == expected
        assert (rows["gce"]["preset"], rows["default"]["preset"]) == ("quick", "")
        key = "selected_test_error" if name == "results.csv" else "selected_test_error_mean"
        assert (rows["gce"][key], rows["default"][key]) == ("0.35", "")
    assert columns["results.csv"][6:9] == list(HEADLINES)
    assert columns["results.csv"][-4:] == ["device", "selected_test_error", "preset", "told"]
    new = ["selected_test_error_mean", "selected_test_error_deviation", "preset", "told"]
    assert columns["groups.csv"][-5:] == ["paper_best_test_error", *new]


def test_the_json_has_the_ledger_and_the_selected_error(tmp_path: Path) -> None:
    made_run(tmp_path / "runs" / "a", "selfie", 0, [0.5, 0.3], result=ledger("true") | selected(0.35))
    write_report(*collect([tmp_path / "runs"]), tmp_path / "out")
    content = json.loads((tmp_path / "out" / "report.json").read_text())
    (point,), (run,) = content["panels"][0]["points"], content["runs"]
    assert (point["told"], run["told"]) == ("true rate", "true rate")
    assert point["test_error"]["selected_test_error"] == {"mean": 0.35, "deviation": None}
    assert list(point["test_error"]) == [*HEADLINES, "selected_test_error"]
    assert run["selected_test_error"] == 0.35
    assert (tmp_path / "out" / "figures" / "selected-test-error-digits-pair-small-cnn-2-epochs.svg").is_file()
    page = parsed(tmp_path / "out" / "report.html")
    heads = [attributes["class"] for _, attributes in page.tags if "headline" in (attributes.get("class") or "")]
    assert heads == [f"headline {key}" for key in SHOWN]


# Which figure leads


def test_last_and_selected_lead_and_best_names_the_test_labels(tmp_path: Path) -> None:
    made_run(tmp_path / "a", "default", 0, [0.5, 0.3, 0.4], result=selected(0.5))
    section = error_section(described(tmp_path))
    choices = [(part.get("id"), part.get("checked")) for part in section.iter("input")]
    assert choices == [(f"show-{key}", "" if key == "last_test_error" else None) for key in SHOWN]
    names = ["".join(part.itertext()) for part in section.iter("label")]
    assert names == ["Last", "Selected", "Mean of last 10", "Best on test"]
    assert "Best test error, chosen on test labels" in "".join(section.itertext())
    heads = ["".join(cell.itertext()) for cell in table_section(described(tmp_path)).iter("th")]
    assert heads[:7] == ["Method", "Told", "Runs", "Last", "Selected", "Mean of last 10", "Best on test"]
    header, line = table(collect([tmp_path])[0])[1:]
    assert re.split(r"  +", header)[5:9] == ["last", "selected", "mean last 10", "best on test"]
    assert re.split(r"  +", line)[5:9] == ["40.0", "50.0", "40.0", "30.0"]


def test_the_style_sheet_can_show_each_figure_alone() -> None:
    rules = STYLE_SHEET.read_text(encoding="utf-8")
    for key in SHOWN:
        assert f".page:has(#show-{key}:checked) .headline:not(.{key})" in rules


@pytest.mark.parametrize("error", [None, "0.5", 1.5, float("nan"), 10**400, True])
def test_a_run_without_a_selected_error_shows_none(tmp_path: Path, error: Any) -> None:
    made_run(tmp_path / "a", "default", 0, [0.5], result=selected(error))
    made_run(tmp_path / "b", "default", 1, [0.5], result={"selected": [error]})
    (row,) = table_rows(collect([tmp_path])[0])
    assert list(row.errors) == ["last_test_error", "mean_last10_test_error", "best_test_error"]


def test_a_method_that_selected_nothing_stands_beside_one_that_did(tmp_path: Path) -> None:
    for rate in (0.2, 0.4):
        noise = {**NOISE, "rate": rate}
        made_run(tmp_path / f"a{rate}", "default", 0, [0.5], noise=noise)
        made_run(tmp_path / f"b{rate}", "selfie", 0, [0.4], noise=noise, result=selected(0.45))
    made_run(tmp_path / "c", "default", 0, [0.5], noise={**NOISE, "parent": {"name": "other"}})
    digits, other = described(tmp_path).panels
    figure = digits.errors["selected_test_error"]
    assert "selfie: 45.0 at 20 %, 45.0 at 40 %" in figure.spoken
    assert "default" not in figure.spoken
    assert "selected_test_error" not in other.errors
    text = "".join(error_section(described(tmp_path)).itertext())
    assert text.count("None of these runs held out samples") == 1


# What is not compared


def test_runs_of_other_presets_have_panels_of_their_own(tmp_path: Path) -> None:
    for number, preset in enumerate(("elr-2020", "cifar-n-2022")):
        assert PRESETS[preset].values["network"] == "resnet-34"
        for method in ("default", "elr"):
            values: dict[str, Any] = {"network": "resnet-34", "noise": NOISE, "preset": preset, "epochs": 2}
            made_run(tmp_path / f"{method}{number}", method, 0, [0.5, 0.4], **values)
    made = panels(table_rows(collect([tmp_path])[0]))
    titles = ["digits, pair noise, resnet-34, 2 epochs, preset " + preset for preset in ("cifar-n-2022", "elr-2020")]
    assert [panel.title for panel in made] == titles
    assert [len(panel.rows) for panel in made] == [2, 2]


def test_one_preset_alone_is_not_named(tmp_path: Path) -> None:
    for seed in (0, 1):
        made_run(tmp_path / f"{seed}", "default", seed, [0.5], noise=NOISE, preset="quick")
    collected = collect([tmp_path])[0]
    assert [panel.title for panel in panels(table_rows(collected))] == ["digits, pair noise, small-cnn, 1 epochs"]
    assert [group.settings for group in groups(collected)] == [""]
