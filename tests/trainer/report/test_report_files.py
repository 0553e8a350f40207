"""The folder of a report: which files it holds, and what it may replace."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from cli import trainer
from datatools.errors import DataToolsError
from tests.support.factories import tree
from tests.support.report_page import parsed
from trainer.report import collect, write_report


def test_every_file_is_there_and_named(finished: tuple[Path, list[str]]) -> None:
    out, files = finished
    assert set(tree(out)) == {*files, "figures"}
    assert json.loads((out / "report.json").read_text())["files"] == files[1:]
    links = {attributes.get("href") for tag, attributes in parsed(out / "report.html").tags if tag == "a"}
    assert {name for name in files[1:] if "/" not in name} <= links
    for name in files:
        if name.endswith(".svg"):
            assert (out / name).with_suffix(".png").is_file()


def test_the_same_runs_give_the_same_bytes(finished: tuple[Path, list[str]]) -> None:
    out, _ = finished
    write_report(*collect([out.parent / "runs"]), out.with_name("again"))
    assert tree(out.with_name("again")) == tree(out)


def test_no_usable_run_is_one_line_and_writes_nothing(runs: Path, tmp_path: Path) -> None:
    for file in runs.glob("*/result.json"):
        file.unlink()
    done = CliRunner().invoke(trainer, ["report", str(runs), "--out", str(tmp_path / "out")])
    assert done.exit_code == 1
    assert done.stderr.count("\n") == 1
    assert "not finished" in done.stderr
    assert not (tmp_path / "out").exists()


def test_an_earlier_report_is_replaced_as_a_whole(runs: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    first = write_report(*collect([runs]), out)
    second = write_report(*collect([runs / "default0"]), out)
    assert set(first) - set(second)
    assert set(tree(out)) == {*second, "figures"}
    assert {path.name for path in tmp_path.iterdir()} == {"data", "runs", "out"}


@pytest.mark.parametrize("name", ["results.csv", "notes.txt", "figures/mine.png", "report.json"])
def test_what_no_report_made_is_refused_untouched(name: str, runs: Path, tmp_path: Path) -> None:
    foreign = tmp_path / "out" / name
    foreign.parent.mkdir(parents=True)
    foreign.write_text("years of work")
    before = tree(tmp_path)
    done = CliRunner().invoke(trainer, ["report", str(runs), "--out", str(tmp_path / "out")])
    assert (done.exit_code, done.stderr.count("\n")) == (1, 1)
    assert "out: holds what no report made, never overwritten; choose another --out" in done.stderr
    assert tree(tmp_path) == before


def test_a_file_put_into_a_report_keeps_it_from_being_replaced(runs: Path, tmp_path: Path) -> None:
    write_report(*collect([runs]), tmp_path / "out")
    (tmp_path / "out" / "figures" / "mine.png").write_bytes(b"mine")
    before = tree(tmp_path)
    with pytest.raises(DataToolsError, match="holds what no report made"):
        write_report(*collect([runs]), tmp_path / "out")
    assert tree(tmp_path) == before


@pytest.mark.parametrize("earlier", [True, False], ids=["beside a report", "alone"])
def test_what_killed_reports_left_is_swept(earlier: bool, runs: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    if earlier:
        write_report(*collect([runs / "default0"]), out)
    for leftover in (out / ".report-ab12_xyz", tmp_path / ".out.partial-0123abcd"):
        (leftover / "figures").mkdir(parents=True)
    files = write_report(*collect([runs / "default0"]), out)
    assert set(tree(out)) == {*files, "figures"}
    assert not (tmp_path / ".out.partial-0123abcd").exists()
