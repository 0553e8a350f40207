"""In what two runs differ, as a resume names it."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest

from trainer.training.resume import differences

IDENTITY: dict[str, Any] = {
    "settings": {
        "method": "selfie",
        "epochs": 3,
        "seed": 0,
        "learning_rate": 0.05,
        "drop_epochs": [2, 3],
        "method_settings": {"warm_up": 1, "refurbish": "remembered"},
        "device": "auto",
        "device_memory": None,
        "noise_rate": 0.4,
        "noise_rate_from": "manifest, realised",
    },
    "dataset": "0123456789abcdef" * 4,
    "manifest": "f" * 64,
    "code": "abcdef0123456789" * 4,
    "packages": {"python": "3.12.1", "keras": "3.5.0", "jaxlib": None},
    "device": "CPU, 2 cores",
}


def changed(**others: Any) -> dict[str, Any]:
    now = deepcopy(IDENTITY)
    now["settings"] |= others
    return now


def test_a_run_differs_in_nothing_from_itself() -> None:
    assert differences(IDENTITY, deepcopy(IDENTITY)) == ([], [])


@pytest.mark.parametrize(
    ("others", "named"),
    [
        ({"epochs": 4}, ["--epochs 4 (the run has 3)"]),
        ({"seed": 1, "learning_rate": 0.1}, ["--seed 1 (the run has 0)", "--learning-rate 0.1 (the run has 0.05)"]),
        ({"drop_epochs": [1]}, ["--drop-epochs [1] (the run has [2, 3])"]),
        (
            {"method_settings": {"warm_up": 2, "refurbish": "remembered"}},
            ["--warm-up 2 (the run has 1)"],
        ),
        ({"method": "default", "method_settings": {}}, ["method default (the run has selfie)"]),
        ({"device": "cpu", "device_memory": 100, "noise_rate_from": "--noise-rate"}, []),
    ],
)
def test_settings_are_named_as_the_command_line_has_them(others: dict[str, Any], named: list[str]) -> None:
    assert sorted(differences(IDENTITY, changed(**others))[0]) == sorted(named)
    assert differences(IDENTITY, changed(**others))[1] == []


@pytest.mark.parametrize(
    ("key", "value", "firm", "named"),
    [
        ("dataset", "9" * 64, True, "dataset.json 999999999999… (the run has 0123456789ab…)"),
        ("manifest", None, True, "manifest.h5"),
        ("code", "9" * 64, False, "code 999999999999… (the run has abcdef012345…)"),
        ("device", "GPU, H200", False, "device GPU, H200 (the run has CPU, 2 cores)"),
        ("packages", {"python": "3.12.1", "keras": "3.6.0"}, False, "keras 3.6.0 (the run has 3.5.0)"),
        ("packages", {"keras": "3.5.0"}, False, "python None (the run has 3.12.1)"),
    ],
)
def test_what_a_run_stands_on_is_named(key: str, value: Any, firm: bool, named: str) -> None:
    now = {**deepcopy(IDENTITY), key: value}
    forbidding, doubtful = differences(IDENTITY, now)
    (only,) = forbidding if firm else doubtful
    assert named in only
    assert not (doubtful if firm else forbidding)
