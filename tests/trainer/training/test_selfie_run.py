"""SELFIE's schedule, as a whole run shows it."""

from __future__ import annotations

import numpy as np
import pytest

from datatools import read_manifest
from tests.support.digit_runs import CLASSES, EPOCHS, SAMPLES, WARM_UP, Row, Run, Runs


@pytest.fixture
def selfie(run_of: Runs) -> Run:
    return run_of("selfie")


def in_warm_up(row: Row) -> bool:
    return int(row["epoch"]) <= WARM_UP


def test_nothing_is_refurbishable_in_a_warm_up_and_some_is_after_it(selfie: Run) -> None:
    for row in selfie.rows:
        assert (int(row["refurbishable"]) == 0) == in_warm_up(row), row


def test_what_was_refurbished_before_a_restart_is_used_from_the_next_warm_up_on(selfie: Run) -> None:
    first, second = selfie.rows[:EPOCHS], selfie.rows[EPOCHS:]
    assert [int(row["refurbished"]) for row in first[:WARM_UP]] == [0] * WARM_UP
    carried = int(first[-1]["refurbished"])
    assert carried > 0
    assert [int(row["refurbished"]) for row in second[:WARM_UP]] == [carried] * WARM_UP
    after = [int(row["refurbished"]) for row in (*first[WARM_UP:], *second)]
    assert after == sorted(after), "once refurbished, always refurbished"


def test_the_clean_set_is_chosen_after_the_warm_up_only(selfie: Run) -> None:
    for row in selfie.rows:
        for name in ("label_precision", "label_recall"):
            assert (row[name] == "") == in_warm_up(row)
            assert row[name] == "" or 0 < float(row[name]) <= 1


def test_precision_and_recall_are_of_clean_sets_of_the_size_the_noise_rate_leaves(selfie: Run) -> None:
    # 200 samples in 8 mini-batches of 25; 79 wrong labels, so 0.605 of them: ceil(15.1) = 16
    assert selfie.config.noise_rate == pytest.approx(0.395)
    chosen, truly_clean = 8 * 16, SAMPLES * (1 - selfie.config.noise_rate)
    for row in selfie.rows[WARM_UP:EPOCHS]:
        right = float(row["label_precision"]) * chosen
        assert right == pytest.approx(float(row["label_recall"]) * truly_clean)
        assert right == pytest.approx(round(right))


def test_a_restart_lowers_the_noise_rate_and_so_enlarges_the_clean_set(selfie: Run) -> None:
    never = 1 - int(selfie.rows[EPOCHS - 1]["refurbished"]) / SAMPLES
    assert never < selfie.config.noise_rate, "otherwise there is nothing to see"
    chosen = 8 * np.ceil(np.round((1 - never) * 25, 9))
    for row in selfie.rows[EPOCHS + WARM_UP :]:
        right = float(row["label_precision"]) * chosen
        assert right == pytest.approx(round(right), abs=1e-6)
        assert right == pytest.approx(float(row["label_recall"]) * SAMPLES * (1 - selfie.config.noise_rate))


def test_samples_h5_holds_what_selfie_refurbished(selfie: Run) -> None:
    samples, last = selfie.samples, selfie.rows[-1]
    clean = read_manifest(selfie.dataset.manifest_path, SAMPLES, CLASSES).clean_labels
    refurbished = samples["refurbished_label"]
    has = refurbished >= 0
    assert ((refurbished >= -1) & (refurbished < CLASSES)).all()
    assert has.sum() == int(last["refurbished"])
    assert np.mean(refurbished[has] == clean[has]) == pytest.approx(float(last["refurbishment_accuracy"]))
    assert np.sum(samples["uncertainty"] <= 0.05) == int(last["refurbishable"])
    assert ((samples["uncertainty"] >= 0) & (samples["uncertainty"] <= 1)).all(), "every history is full by then"


def test_a_second_run_starts_from_weights_of_its_own(selfie: Run) -> None:
    assert selfie.rows[0]["train_loss"] != selfie.rows[EPOCHS]["train_loss"]
