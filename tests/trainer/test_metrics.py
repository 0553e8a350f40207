"""Figures of an epoch and of a run, each checked against one that was counted by hand."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.tiny import run_config, tensorflow_engine, training_data
from trainer.methods import METHODS
from trainer.metrics import (
    EpochRow,
    Figure,
    class_errors,
    columns,
    evaluation_metrics,
    result,
    totals,
    training_metrics,
)

SELFIE, CO_TEACHING = METHODS["selfie"], METHODS["co-teaching"]

# What an evaluation tells

UNEVEN = np.array([[90, 10, 0], [0, 0, 0], [1, 0, 1]])
"""100 images of the first class, none of the second, 2 of the third."""


def test_errors_of_classes_leave_out_those_without_images() -> None:
    errors = class_errors(UNEVEN)
    assert errors[0] == pytest.approx(0.1)
    assert np.isnan(errors[1])
    assert errors[2] == 0.5


def test_the_balanced_error_is_the_mean_of_the_classes_that_are_there() -> None:
    figures = evaluation_metrics("test", [{"loss": 51.0, "confusion": UNEVEN}], SELFIE)
    assert figures == {
        "test_loss": 0.5,
        "test_error": pytest.approx(11 / 102),
        "test_balanced_error": pytest.approx((0.1 + 0.5) / 2),
    }


@given(counts=st.integers(1, 30))
def test_for_even_classes_the_balanced_error_is_the_error(counts: int) -> None:
    random = np.random.default_rng(counts)
    right = random.integers(0, counts + 1, 4)
    confusion = np.diag(right)
    confusion[np.arange(4), (np.arange(4) + 1) % 4] += counts - right
    figures = evaluation_metrics("test", [{"loss": 0.0, "confusion": confusion}], SELFIE)
    assert figures["test_balanced_error"] == pytest.approx(figures["test_error"])


def test_a_second_network_has_figures_of_its_own() -> None:
    other = np.diag([5, 5, 0])
    figures = evaluation_metrics(
        "test", [{"loss": 51.0, "confusion": UNEVEN}, {"loss": 5.0, "confusion": other}], CO_TEACHING
    )
    assert (figures["test_loss_2"], figures["test_error_2"]) == (0.5, 0.0)
    assert figures["test_error"] == pytest.approx(11 / 102)
    assert "test_balanced_error_2" not in figures


def test_the_engine_s_confusion_matrix_has_the_truth_in_its_rows(tf: Any) -> None:
    data = training_data(60)
    engine = tensorflow_engine(run_config(), data)
    (totals,) = engine.evaluate()
    images = tf.constant(data.test_images)
    from trainer.engine.step import standardise

    predicted = np.argmax(engine.networks[0](standardise(images), training=False).numpy(), axis=1)
    expected = np.zeros((3, 3), int)
    np.add.at(expected, (data.test_labels, predicted), 1)
    np.testing.assert_array_equal(totals["confusion"], expected)


def test_networks_tested_together_come_before_each_of_them() -> None:
    confusions = [UNEVEN, np.diag([5, 5, 0]), np.diag([4, 4, 0])]
    parts: list[Any] = [{"loss": 10.0 * number, "confusion": part} for number, part in enumerate(confusions, 1)]
    figures = evaluation_metrics("test", parts, METHODS["elr-plus"])
    assert [figures[f"test_loss{mark}"] for mark in ("", "_1", "_2")] == [10 / 102, 2.0, 30 / 8]
    assert figures["test_balanced_error"] == pytest.approx((0.1 + 0.5) / 2)
    held_out = evaluation_metrics("validation", parts, METHODS["elr-plus"])
    assert [*held_out] == ["validation_loss", "validation_error", "validation_balanced_error"]
    assert held_out["validation_loss"] == 10 / 102


# What training tells


def test_sums_of_slices_are_joined_in_order() -> None:
    parts = [{"loss": np.array([1.0, 2.0])}, {"loss": np.array([3.0])}]
    assert totals(parts)["loss"].tolist() == [1, 2, 3]
    assert totals([]) == {}


def sums(**others: float) -> dict[str, np.ndarray]:
    """Two steps of 10 samples; each figure is of the first step, half of it of the second."""
    base = {"samples": 10, "loss": 5, "errors": 4, "clean_errors": 2, "truly_clean": 8}
    steps = {key: np.array([value, value / 2], np.float32) for key, value in {**base, **others}.items()}
    return {**steps, "samples": np.array([10, 10], np.float32)}


def test_training_s_figures_are_shares_of_the_samples() -> None:
    figures = training_metrics(sums(), SELFIE)
    assert (figures["train_loss"], figures["train_error"], figures["clean_train_error"]) == (7.5 / 20, 6 / 20, 3 / 20)
    assert figures["label_precision"] is None
    assert figures["label_recall"] is None


def test_precision_and_recall_of_the_clean_set() -> None:
    figures = training_metrics(sums(clean_set=6, clean_set_right=4), SELFIE)
    assert figures["label_precision"] == pytest.approx(6 / 9)
    assert figures["label_recall"] == pytest.approx(6 / 12)


def test_without_a_choice_there_is_no_precision_and_no_recall() -> None:
    figures = training_metrics(sums(clean_set=0, clean_set_right=0), SELFIE)
    assert figures["label_precision"] is None
    assert figures["label_recall"] is None


def test_each_network_s_training_is_told_apart() -> None:
    figures = training_metrics(
        sums(
            loss_2=10, errors_2=6, clean_errors_2=0, clean_set=6, clean_set_right=4, clean_set_2=4, clean_set_right_2=4
        ),
        CO_TEACHING,
    )
    assert (figures["train_loss"], figures["train_loss_2"]) == (7.5 / 20, 15 / 20)
    assert (figures["train_error_2"], figures["clean_train_error_2"]) == (9 / 20, 0.0)
    assert figures["label_precision_2"] == 1.0
    assert figures["label_recall_2"] == pytest.approx(6 / 12)


def test_sums_are_added_so_that_slices_make_no_difference() -> None:
    values = np.random.default_rng(0).uniform(0, 100, 999).astype(np.float32)
    steps = {"samples": np.ones(999, np.float32), "loss": values}
    whole = training_metrics(steps, SELFIE)
    for cuts in ([1], [500], list(range(1, 999))):
        parts = [
            dict(zip(steps, part, strict=True))
            for part in zip(*(np.split(v, cuts) for v in steps.values()), strict=True)
        ]
        assert training_metrics(totals(parts), SELFIE) == whole


# Columns


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("held_out", [True, False])
@pytest.mark.parametrize("name", METHODS)
def test_columns_are_those_that_a_method_and_a_dataset_can_fill(name: str, known: bool, held_out: bool) -> None:
    method = METHODS[name].from_settings(4, {})
    data = training_data(12)
    data = replace(data, clean_labels=data.clean_labels if known else None)
    if held_out:
        data = replace(data, validation_labels=data.test_labels, validation_images=data.test_images)
    names = columns(method, data)
    assert len(set(names)) == len(names)
    assert names[:3] == ["run", "epoch", "learning_rate"]
    assert names[-2:] == ["seconds", "images_per_second"]
    pair = method.num_networks == 2
    assert ("test_error_2" in names) == pair
    assert ("test_error_1" in names) == method.tested_together
    chooses = any(metric.key == "label_precision" for metric in method.metrics)
    assert ("label_precision" in names) == (known and chooses)
    assert ("label_precision_2" in names) == (known and chooses and pair)
    assert ("disagreement" in names) == (name == "co-teaching-plus")
    assert ("clean_train_error" in names) == known
    assert ("refurbished" in names) == (name == "selfie")
    assert ("refurbishment_accuracy" in names) == (known and name == "selfie")
    validation = ["validation_loss", "validation_error", "validation_balanced_error"]
    assert [column for column in names if column.startswith("validation")] == (validation if held_out else [])


# result.json


def row(run: int, epoch: int, test: float, validation: float | None = None, second: float | None = None) -> EpochRow:
    metrics: dict[str, Figure] = {"test_error": test, "test_balanced_error": test / 2}
    metrics |= {} if validation is None else {"validation_error": validation}
    metrics |= {} if second is None else {"test_error_2": second}
    return EpochRow(run, epoch, 0.1, metrics, seconds=1.0, images_per_second=100.0)


def test_a_row_has_the_columns_of_metrics_csv_and_comes_back_from_json() -> None:
    whole = row(2, 3, 0.25, second=0.5)
    values = json.loads(json.dumps(whole.to_json()))
    expected = {"test_error": 0.25, "test_balanced_error": 0.125, "test_error_2": 0.5}
    assert values == {
        **{"run": 2, "epoch": 3, "learning_rate": 0.1},
        **expected,
        **{"seconds": 1.0, "images_per_second": 100.0},
    }
    assert EpochRow.from_json(values) == whole


@pytest.mark.parametrize("column", ["run", "epoch", "learning_rate", "seconds", "images_per_second"])
def test_a_row_without_a_column_that_every_row_has_is_refused(column: str) -> None:
    values = {key: value for key, value in row(1, 1, 0.5).to_json().items() if key != column}
    with pytest.raises(KeyError, match=column):
        EpochRow.from_json(values)


def test_a_metric_that_an_epoch_does_not_have_is_no_number() -> None:
    without = EpochRow(1, 1, 0.1, {"label_precision": None}, seconds=1.0, images_per_second=100.0)
    for key in ("label_precision", "validation_error"):
        with pytest.raises(KeyError, match=key):
            without.value(key)


def test_the_headline_is_the_final_run_s() -> None:
    rows = [row(1, 1, 0.1), row(1, 2, 0.3), row(2, 1, 0.4), row(2, 2, 0.2), row(2, 3, 0.3)]
    made = result("selfie", rows, {}, 12.5)
    assert (made["best_test_error"], made["last_test_error"]) == (0.2, 0.3)
    assert made["mean_last10_test_error"] == pytest.approx(0.3)
    assert made["best_test_error_all_runs"] == 0.1
    assert [each["best_test_error"] for each in made["runs"]] == [0.1, 0.2]
    assert made["last_test_balanced_error"] == 0.15
    assert made["wall_seconds"] == 12.5
    assert "selected" not in made
    assert "second_network" not in made


def test_the_mean_is_of_the_last_ten_epochs() -> None:
    rows = [row(1, number, number / 100) for number in range(1, 16)]
    assert result("default", rows, {}, 1.0)["mean_last10_test_error"] == pytest.approx(np.mean(np.arange(6, 16)) / 100)


def test_the_first_epoch_of_the_lowest_validation_error_is_selected() -> None:
    rows = [row(1, 1, 0.1, 0.5), row(1, 2, 0.4, 0.2), row(1, 3, 0.3, 0.2), row(1, 4, 0.2, 0.3)]
    made = result("default", rows, {}, 1.0)
    assert made["selected"] == {"epoch": 2, "validation_error": 0.2, "test_error": 0.4}
    assert made["best_test_error"] == 0.1


def test_each_run_selects_for_itself() -> None:
    rows = [row(1, 1, 0.1, 0.0), row(2, 1, 0.4, 0.2), row(2, 2, 0.3, 0.1)]
    made = result("selfie", rows, {}, 1.0)
    assert made["selected"]["epoch"] == 2
    assert [each["selected"]["validation_error"] for each in made["runs"]] == [0.0, 0.1]


def test_a_validation_error_of_zero_selects_too() -> None:
    assert result("default", [row(1, 1, 0.5, 0.0)], {}, 1.0)["selected"]["epoch"] == 1


def test_the_second_network_is_told_beside_the_first() -> None:
    made = result("co-teaching", [row(1, 1, 0.1, second=0.3), row(1, 2, 0.2, second=0.05)], {}, 1.0)
    assert made["best_test_error"] == 0.1
    assert made["second_network"]["best_test_error"] == 0.05
    assert made["second_network"]["mean_last10_test_error"] == pytest.approx(0.175)
    assert "first_network" not in made


def test_of_networks_tested_together_the_headline_is_theirs_together() -> None:
    rows = [row(1, 1, 0.1, second=0.3), row(1, 2, 0.2, second=0.05)]
    for each, first in zip(rows, (0.4, 0.25), strict=True):
        each.metrics["test_error_1"] = first  # type: ignore[index]
    made = result("elr-plus", rows, {}, 1.0)
    assert made["last_test_error"] == 0.2
    assert made["first_network"]["last_test_error"] == 0.25
    assert made["second_network"]["last_test_error"] == 0.05


def test_a_class_without_images_has_no_error_in_json() -> None:
    made = result("default", [row(1, 1, 0.1)], {"confusion/last": UNEVEN, "weights/a": np.zeros(2)}, 1.0)
    assert made["per_class_test_error"] == {"last": [pytest.approx(0.1), None, 0.5]}
    assert made["confusion_matrix"] == {"last": UNEVEN.tolist()}
    json.dumps(made, allow_nan=False)
