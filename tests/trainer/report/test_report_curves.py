"""What is drawn by epoch: the plotted metrics of the table, with their axes, markers and restarts."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.report_runs import described, made_run
from trainer.methods.metric import Metric
from trainer.report import collect, write_report
from trainer.report.description import nice_axis, number_axis


def test_curves_carry_markers_at_different_places(tmp_path: Path) -> None:
    for method in ("default", "selfie"):
        made_run(tmp_path / method, method, 0, np.linspace(0.9, 0.1, 40).tolist())
    (part,) = described(tmp_path).panels
    ((_, charts),) = part.curves
    default, selfie = (set(line.marked.tolist()) for line in charts["test_error"].lines)
    assert len(default) == len(selfie) == 5
    assert not default & selfie


def test_a_curve_with_a_lonely_point_marks_it(tmp_path: Path) -> None:
    made_run(tmp_path / "a", "selfie", 0, [0.5, 0.4])  # its first epoch refurbishes nothing
    (part,) = described(tmp_path).panels
    ((_, charts),) = part.curves
    assert charts["refurbishment_accuracy"].lines[0].marked.tolist() == [1]


def test_an_axis_holds_its_values_with_a_few_ticks() -> None:
    for values in ([0.0], [100.0], [99.7], [25.0, 25.1], [0.0, 100.0]):
        for from_zero in (True, False):
            axis = nice_axis("%", [np.array(values)], from_zero)
            assert 0 <= axis.low <= min(values) <= max(values) <= axis.high <= 100
            assert axis.low < axis.high
            assert axis.ticks[0] >= axis.low
            assert axis.ticks[-1] <= axis.high
            assert 2 <= len(axis.ticks) <= 8


def test_the_table_says_what_is_drawn_and_what_it_is_called(tmp_path: Path) -> None:
    made_run(tmp_path / "selfie", "selfie", 0, [0.5, 0.4], train_records=200)
    (part,) = described(tmp_path).panels
    ((_, charts),) = part.curves
    assert {key: (chart.title, chart.note) for key, chart in charts.items()} == {
        "test_error": ("Test error", "%, mean and range over runs"),
        "label_precision": ("Label precision", "%, share of the clean set that is truly clean"),
        "label_recall": ("Label recall", "%, share of the truly clean samples that is in the clean set"),
        "refurbished": ("Labels refurbished", "%, samples trained on a refurbished label, of all training samples"),
        "refurbishment_accuracy": ("Labels refurbished right", "%, share of the refurbished labels that is right"),
    }
    assert charts["refurbished"].lines[0].y.tolist() == [0, 50]


def test_a_metric_of_another_unit_has_an_axis_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loss = Metric("train_loss", "training loss", "nats", plotted=True)
    monkeypatch.setattr("trainer.report.curve_figures.plotted_metrics", lambda: (loss,))
    (made_run(tmp_path / "a", "default", 0, [0.5, 0.4]) / "metrics.csv").write_text(
        "epoch,test_error,train_loss\n1,0.5,2.3\n2,0.4,inf\n3,0.4,0.7\n"
    )
    (part,) = described(tmp_path).panels
    ((_, charts),) = part.curves
    chart = charts["train_loss"]
    assert (chart.title, chart.note) == ("Train loss", "nats, training loss")
    assert chart.lines[0].y == pytest.approx([2.3, np.nan, 0.7], nan_ok=True)
    assert chart.y.low <= 0.7 < 2.3 <= chart.y.high
    assert "at the end default 0.7 nats." in chart.spoken


@given(st.lists(st.floats(-1e9, 1e9), min_size=1, max_size=5))
def test_an_axis_of_numbers_holds_them_with_a_few_ticks(values: list[float]) -> None:
    axis = number_axis("nats", [np.array(values)])
    room = 1e-9 * max(1.0, *map(abs, values))
    assert axis.low - room <= min(values) <= max(values) <= axis.high + room
    assert axis.low < axis.high
    assert 2 <= len(axis.ticks) <= 8


def test_few_restarts_are_marked_and_very_many_are_not(tmp_path: Path) -> None:
    made_run(tmp_path / "few" / "a", "selfie", 0, [0.5] * 6, epochs=2)
    made_run(tmp_path / "many" / "a", "selfie", 0, [0.5] * 200, epochs=1)
    restarts = {}
    for name in ("few", "many"):
        (part,) = described(tmp_path / name).panels
        restarts[name] = [x for x, _ in part.curves[0][1]["test_error"].restarts]
    assert restarts == {"few": [2.5, 4.5], "many": []}


def test_a_run_of_8000_epochs_and_restarts_is_reported_in_seconds(tmp_path: Path) -> None:
    errors = np.linspace(0.9, 0.1, 8000).tolist()
    made_run(tmp_path / "runs" / "a", "selfie", 0, errors, epochs=1)
    started = time.monotonic()
    write_report(*collect([tmp_path / "runs"]), tmp_path / "out")
    assert time.monotonic() - started < 20, "it took a minute when each restart was drawn by itself"
    with (tmp_path / "out" / "curves.csv").open() as file:
        assert sum(1 for _ in file) == 8001
