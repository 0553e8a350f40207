"""What the TensorFlow engine counts in an epoch and in an evaluation."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from tests.support.toy_engine import (
    FIRST,
    METHODS,
    Engines,
    assert_same,
    config_of,
    held_out,
    images,
    losses,
    state,
    tensorflow_engine,
    train_epoch,
    train_step,
)
from trainer.data import TrainingData
from trainer.methods.base import keep_count


@pytest.mark.parametrize("method", METHODS)
def test_an_epoch_s_sums_are_those_of_its_samples(method: str, engine_of: Engines, data: TrainingData) -> None:
    engine = engine_of(method, batch_size=10)
    for epoch in range(3):
        sums = train_epoch(engine, 0, epoch)
        # 60 samples are six whole mini-batches: each is drawn once, so the last prediction is the one that was counted
        predicted = engine.memory["last_prediction"]
        assert sums["samples"] == 60
        assert sums["errors"] == np.sum(predicted != data.train_labels)
        assert sums["clean_errors"] == np.sum(predicted != data.clean_labels)
        assert sums["truly_clean"] == np.sum(data.train_labels == data.clean_labels) == 45
        if method == "default":
            assert sums["loss"] == pytest.approx(float(engine.memory["last_loss"].sum()), rel=1e-5)


@pytest.mark.parametrize("method", ["default", "co-teaching"])
def test_what_a_run_remembers_of_a_sample_is_the_mean_over_its_visits(method: str, engine_of: Engines) -> None:
    engine = engine_of(method)
    seen = np.array([5, 1, 7, 3], np.int32)
    found_losses, found_probabilities = [], []
    for _ in range(5):
        logits = np.asarray(engine.networks[0](images(engine, seen), training=True), np.float64)
        train_step(engine, seen)
        found_losses.append(losses(logits, engine.data.train_labels[seen]))
        powers = np.exp(logits - logits.max(axis=1, keepdims=True))
        found_probabilities.append(powers / powers.sum(axis=1, keepdims=True))
    memory = engine.memory
    assert memory["visits"][seen].tolist() == [5] * 4
    assert memory["visits"].sum() == 20
    np.testing.assert_allclose(memory["mean_loss"][seen], np.mean(found_losses, axis=0), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(
        memory["mean_probability"][seen], np.mean(found_probabilities, axis=0), rtol=1e-5, atol=1e-6
    )
    assert not memory["mean_probability"][0].any()


def test_selfie_s_sums_are_those_of_its_memory(engine_of: Engines, data: TrainingData) -> None:
    engine = engine_of("selfie", batch_size=10)
    warm_up = train_epoch(engine, 0, 0)
    assert warm_up["refurbishable"] == warm_up["refurbished"] == warm_up["clean_set"] == 0
    for epoch in (1, 2):
        sums = train_epoch(engine, 0, epoch)
        refurbished = engine.memory["refurbished_label"]
        assert sums["refurbishable"] == np.sum(engine.memory["uncertainty"] <= 0.05) > 0
        assert sums["refurbished"] == np.sum(refurbished >= 0)
        assert sums["refurbished_right"] == np.sum(refurbished == data.clean_labels)
        assert sums["clean_set"] == 6 * keep_count(0.75, 10)


def test_the_clean_set_counted_is_that_of_smallest_loss(engine_of: Engines, data: TrainingData) -> None:
    engine = engine_of("selfie")
    train_epoch(engine, 0, 0)
    sums = train_step(engine, FIRST, epoch=1)
    clean = FIRST[np.argsort(engine.memory["last_loss"][FIRST])[: keep_count(0.75, 10)]]
    assert data.clean_labels is not None
    right = data.train_labels[clean] == data.clean_labels[clean]
    assert (sums["clean_set"], sums["clean_set_right"]) == (8, right.sum())


@pytest.mark.parametrize("test_batch", [500, 7])
def test_evaluate_sums_over_the_test_split(
    test_batch: int, tf: Any, data: TrainingData, monkeypatch: pytest.MonkeyPatch
) -> None:
    from trainer.engine.step import standardise

    monkeypatch.setattr("trainer.engine.images.EVALUATION_BATCH", test_batch)
    engine = tensorflow_engine(config_of("default"), data)
    assert engine.evaluation_batch == {500: 30, 7: 6}[test_batch]
    train_epoch(engine, 0, 0)
    logits = engine.networks[0](standardise(engine.data.test_images), training=False).numpy()
    sums = held_out(engine)
    assert sums["samples"] == 30
    assert sums["errors"] == np.sum(logits.argmax(axis=1) != engine.data.test_labels)
    assert sums["loss"] == pytest.approx(losses(logits, engine.data.test_labels).sum(), rel=1e-5)


def test_evaluate_changes_nothing(engine_of: Engines) -> None:
    engine = engine_of("selfie", "densenet-10-12")
    train_epoch(engine, 0, 0)
    before = state(engine)
    assert held_out(engine) == held_out(engine)
    assert_same(state(engine), before)


def test_the_toy_can_be_learnt_from_clean_labels(tf: Any, data: TrainingData) -> None:
    assert data.clean_labels is not None
    engine = tensorflow_engine(config_of("default"), dataclasses.replace(data, train_labels=data.clean_labels))
    for _ in range(8):
        sums = train_epoch(engine, 0, 2)
    # guessing gets 40 of 60 and 20 of 30 wrong
    assert sums["errors"] <= 3
    assert held_out(engine)["errors"] <= 3
