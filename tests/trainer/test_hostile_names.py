"""Names from files never reach a terminal, a page or a spreadsheet as what they would be taken for there."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path

import pytest

import cli
from datatools.printable import ORDERS
from tests.support.report_runs import made_run
from tests.support.reported import RESULT, epoch_row, run_plan
from trainer.report import collect, write_report
from trainer.reporters.base import EarlyReporter, Quiet, Reporter
from trainer.reporters.console import Console
from trainer.reporters.json_lines import JsonLines

HOSTILE = "=a\x1b]0;b\x07\u202ec\x9b2J"


@pytest.mark.parametrize("make", [Console, Quiet])
def test_a_reporter_prints_no_order_of_a_name(make: Callable[[], Reporter], capsys: pytest.CaptureFixture[str]) -> None:
    reporter, directory = make(), Path(HOSTILE)
    plan = run_plan(directory=directory, device=HOSTILE, notices=(HOSTILE,))
    if isinstance(reporter, EarlyReporter):
        reporter.preparing(plan)
    reporter.start(plan)
    reporter.epoch(epoch_row(1), 1.0)
    reporter.note(HOSTILE)
    reporter.finish(directory, RESULT)
    said = "".join(capsys.readouterr())
    assert said
    assert not ORDERS.search(said.replace("\n", ""))


def test_json_lines_escape_orders_and_mean_the_same() -> None:
    stream = io.StringIO()
    JsonLines(stream).note(HOSTILE)
    (line,) = stream.getvalue().splitlines()
    assert not ORDERS.search(line)
    assert json.loads(line) == {"event": "note", "text": HOSTILE}


@pytest.fixture
def hostile_runs(tmp_path: Path) -> Path:
    made_run(
        tmp_path / "runs" / "one",
        "default",
        0,
        [0.5, 0.3],
        noise={"type": "pair", "rate": 0.4, "parent": {"name": HOSTILE}},
    )
    return tmp_path / "runs"


def test_the_page_of_a_report_has_no_order_of_a_name(hostile_runs: Path, tmp_path: Path) -> None:
    write_report(*collect([hostile_runs]), tmp_path / "out")
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert "]0;b" in page
    assert not ORDERS.search(page.replace("\n", ""))


@pytest.mark.parametrize(("option", "begins"), [([], "'=a"), (["--safe-csv"], "'=a"), (["--no-safe-csv"], "=a")])
def test_tables_of_a_report_are_safe_for_spreadsheets(
    option: list[str], begins: str, hostile_runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        cli.trainer.main(["report", str(hostile_runs), "--out", str(tmp_path / "out"), *option])
    assert not end.value.code
    assert not ORDERS.search("".join(capsys.readouterr()).replace("\n", ""))
    for name in ("results.csv", "groups.csv", "curves.csv"):
        with (tmp_path / "out" / name).open(encoding="utf-8", newline="") as file:
            (dataset,) = {row["dataset"] for row in csv.DictReader(file)}
        assert dataset.startswith(begins)
