"""The ledger of a run: what its method was told, from its settings and from what the method declares."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from datatools.format.dataset import Dataset
from tests.support.interrupted import Silent, config_for
from tests.support.report_runs import made_data
from trainer.config import resolve
from trainer.methods import METHODS
from trainer.training.ledger import Ledger
from trainer.training.loop import train

OLD_RATE, NEW_RATE, BATCH, EPOCHS = 0.5, 0.1, 20, 8


@pytest.fixture
def data(tmp_path: Path) -> Dataset:
    return made_data(tmp_path)


def ledger_of(method: str, dataset: Dataset, **settings: Any) -> Ledger:
    config = resolve(method, dataset, **{"preset": "quick", **settings})
    return Ledger.of(config, config.make_method())


# What methods declare


@pytest.mark.parametrize("name", METHODS)
def test_a_method_uses_the_noise_rate_where_its_schedule_depends_on_it(name: str) -> None:
    method = METHODS[name].from_settings(EPOCHS, {})
    schedules = [[method.schedule(epoch, BATCH, rate) for epoch in range(EPOCHS)] for rate in (OLD_RATE, NEW_RATE)]
    assert method.uses_noise_rate == (schedules[0] != schedules[1])


@pytest.mark.parametrize("name", METHODS)
def test_a_method_with_a_matrix_that_it_is_told_says_so(name: str, data: Dataset) -> None:
    method = METHODS[name].from_settings(EPOCHS, {})
    assert (method.matrix_source == "true") == ("transition" in method.told(data))


# What follows from the settings


@pytest.mark.parametrize(
    ("settings", "value", "source", "words", "beyond"),
    [
        ({}, 0.25, "true", "true rate", True),
        ({"noise_rate": 0.3}, 0.3, "by hand", "rate by hand", True),
        ({"noise_rate": 0.3, "noise_rate_from": "estimate, a.json"}, 0.3, "estimated", "estimated rate", False),
    ],
)
def test_the_noise_rate_has_its_value_and_who_told(
    data: Dataset, settings: dict[str, Any], value: float, source: str, words: str, beyond: bool
) -> None:
    for method in ("co-teaching", "co-teaching-plus", "jocor", "selfie"):
        ledger = ledger_of(method, data, **settings)
        assert (ledger.noise_rate, ledger.noise_rate_source) == (value, source)
        assert (ledger.words, ledger.beyond_given_labels) == (words, beyond)


@pytest.mark.parametrize("method", ["default", "active-bias", "gce", "elr", "mixup"])
def test_a_method_without_use_for_the_rate_is_told_nothing(data: Dataset, method: str) -> None:
    ledger = ledger_of(method, data)
    assert (ledger.noise_rate, ledger.noise_rate_source, ledger.words) == (None, "not used", "")
    assert not ledger.beyond_given_labels


@pytest.mark.parametrize(
    ("transition", "source", "words", "beyond"),
    [
        ("manifest", "true", "true matrix", True),
        ("anchors", "anchors", "matrix from anchors", False),
        ("matrix.csv", "file", "matrix from a file", True),
    ],
)
def test_a_transition_matrix_is_told_with_its_source(
    data: Dataset, transition: str, source: str, words: str, beyond: bool
) -> None:
    ledger = ledger_of("forward", data, method_options={"transition": transition})
    assert (ledger.transition_matrix, ledger.words, ledger.beyond_given_labels) == (source, words, beyond)


@pytest.mark.parametrize(
    ("method", "options", "words"),
    [
        ("dividemix", {"unlabelled_weight": 0.0, "temperature": 0.6}, "unlabelled weight 0"),
        ("dividemix", {"confidence_penalty": True, "loss_epochs": 5}, "confidence penalty on, loss epochs 5"),
        ("elr-plus", {"regularisation": 1.0, "target_momentum": 0.9}, "regularisation 1, target momentum 0.9"),
        ("elr", {"regularisation": 7.0}, "regularisation 7"),
    ],
)
def test_a_setting_that_is_chosen_by_the_noise_is_told(
    data: Dataset, method: str, options: dict[str, Any], words: str
) -> None:
    plain = ledger_of(method, data)
    assert (plain.words, plain.beyond_given_labels) == ("", False)
    ledger = ledger_of(method, data, method_options=options)
    assert ledger.noise_settings == {name: options.get(name, value) for name, value in plain.noise_settings.items()}, (
        "the defaults too"
    )
    assert (ledger.words, ledger.beyond_given_labels) == (words, True)
    values = ledger.to_json()
    assert Ledger.from_json(values) == ledger
    # a run of an earlier version did not tell
    del values["noise_settings"]
    assert Ledger.from_json(values).words == ""


def test_the_best_epoch_is_chosen_on_test_labels_and_the_last_is_not(data: Dataset) -> None:
    expected = {
        "last_test_error": "not chosen",
        "mean_last10_test_error": "not chosen",
        "best_test_error": "test labels",
        "best_test_error_all_runs": "test labels",
    }
    assert ledger_of("default", data).chosen_on == expected
    held_out = ledger_of("default", data, validation_fraction=0.25)
    assert held_out.chosen_on == {**expected, "selected": "held-out given labels"}
    assert held_out.clean_validation_labels == "none"


def test_the_preset_s_own_settings_and_the_defaults_are_not_chosen(data: Dataset) -> None:
    for method in METHODS:
        for settings in ({}, {"epochs": 12}, {"variant": "official", "epochs": 12}, {"seed": 3, "device": "cpu"}):
            chosen = dict(ledger_of(method, data, **settings).settings)
            assert chosen == {name: settings[name] for name in ("epochs", "variant") if name in settings}, method


def test_settings_beside_the_preset_s_are_listed_with_their_values(data: Dataset) -> None:
    options = {"warm_up": 7, "uncertainty_threshold": 0.1}
    ledger = ledger_of("selfie", data, batch_size=64, momentum=0.8, drop_epochs=(5,), method_options=options)
    assert ledger.settings == {"batch_size": 64, "momentum": 0.8, "drop_epochs": [5], **options}
    assert (ledger.preset, ledger.reported) == ("quick", "last_test_error")


# In result.json


@pytest.mark.parametrize("method", ["selfie", "default", "forward"])
def test_a_ledger_comes_back_from_json(data: Dataset, method: str) -> None:
    ledger = ledger_of(method, data, batch_size=64, validation_fraction=0.25)
    values = json.loads(json.dumps(ledger.to_json()))
    assert values == ledger.to_json()
    assert Ledger.from_json(values) == ledger


@pytest.mark.parametrize(
    "changed",
    [
        {"noise_rate": 0.4},
        {"noise_rate": {"value": 0.4, "source": "guessed"}},
        {"noise_rate": {"value": 1.5, "source": "true"}},
        {"noise_rate": {"value": None, "source": "true"}},
        {"transition_matrix": None},
        {"chosen_on": {"best_test_error": ["test labels"]}},
        {"settings": []},
        {"clean_validation_labels": 10},
    ],
)
def test_what_is_no_ledger_is_refused(data: Dataset, changed: dict[str, Any]) -> None:
    values = {**ledger_of("selfie", data).to_json(), **changed}
    with pytest.raises(ValueError, match="'"):
        Ledger.from_json(values)


def test_a_finished_run_has_its_ledger_in_result_json(tf: Any, data: Dataset, tmp_path: Path) -> None:
    config = config_for("co-teaching", data, epochs=1, batch_size=6, drop_epochs=(1,))
    returned = train(config, data, tmp_path / "run", Silent())
    written = json.loads((tmp_path / "run" / "result.json").read_text())
    assert written == returned
    assert written["told"]["noise_rate"] == {"value": 0.25, "source": "true"}
    assert written["told"]["transition_matrix"] == "none"
    assert written["told"]["settings"]["drop_epochs"] == [1]
    assert Ledger.from_json(written["told"]) == Ledger.of(config, config.make_method())
