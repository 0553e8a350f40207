"""The settings of every method of the registry: defaults, variants, bounds and names."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import pytest

from datatools.format.dataset import Dataset
from tests.support.tiny import metadata
from trainer.config import resolve
from trainer.errors import TrainerError
from trainer.methods import METHODS
from trainer.methods.base import Method
from trainer.settings import VARIANTS, Setting, option_name, settings_of

EPOCHS = 12
OPTIONS = [pytest.param(m, name, id=f"{m.name}-{name}") for m in METHODS.values() for name in settings_of(m)]


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("epochs", [1, 2, 3, 4, 7, 10, 40, 100])
@pytest.mark.parametrize("name", METHODS)
def test_defaults_resolve_for_any_number_of_epochs_and_again_from_what_was_resolved(
    name: str, epochs: int, variant: str
) -> None:
    resolved = METHODS[name].from_settings(epochs, {}, variant)
    for other in VARIANTS:  # what is given wins over any variant
        assert METHODS[name].from_settings(epochs, dataclasses.asdict(resolved), other) == resolved
    for option, setting in settings_of(METHODS[name]).items():
        value = getattr(resolved, option)
        assert type(value) is setting.kind
        setting.check(option, value)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize(("method_type", "option"), OPTIONS)
def test_an_option_that_is_given_is_taken(method_type: type[Method], option: str, variant: str) -> None:
    setting = settings_of(method_type)[option]
    for legal in setting.choices or (legal_number(setting),):
        values = {option: legal, **companions(method_type, option)}
        assert getattr(method_type.from_settings(EPOCHS, values, variant), option) == legal


def legal_number(setting: Setting) -> Any:
    """The lowest one where the bound is inclusive, else one near it."""
    if setting.above is not None:
        return setting.kind(setting.above + 1 if setting.maximum is None else setting.maximum)
    if setting.minimum is None and setting.below is not None:
        return setting.kind(setting.below - 1)
    return setting.kind(setting.minimum or 0)


@pytest.mark.parametrize("name", METHODS)
def test_an_unknown_variant_is_an_error(name: str) -> None:
    with pytest.raises(TrainerError, match="--variant latest: one of paper, official, official-2019 is expected"):
        METHODS[name].from_settings(EPOCHS, {}, "latest")


def companions(method_type: type[Method], option: str) -> dict[str, Any]:
    """What a lowest value of `option` needs beside it."""
    return {"history_length": 1} if option == "warm_up" and "history_length" in settings_of(method_type) else {}


def out_of_range(setting: Setting) -> list[Any]:
    if setting.choices:
        return ["no such choice", 1, None]
    below = [] if setting.minimum is None else [setting.kind(setting.minimum - 1)]
    above = [] if setting.maximum is None else [setting.kind(setting.maximum + 1)]
    excluded = [setting.kind(bound) for bound in (setting.above, setting.below) if bound is not None]
    of_another_kind = [True, None] if setting.kind is str else ["1", 1 if setting.kind is bool else True, None]
    return [*below, *above, *excluded, *of_another_kind] + [math.nan] * (setting.kind is float)


@pytest.mark.parametrize(
    ("method_type", "option", "value"),
    [
        pytest.param(m, name, v, id=f"{m.name}-{name}-{v!r}")
        for m in METHODS.values()
        for name, setting in settings_of(m).items()
        for v in out_of_range(setting)
    ],
)
def test_an_option_out_of_range_is_an_error(method_type: type[Method], option: str, value: Any) -> None:
    dataset = Dataset(Path("nowhere"), metadata())
    with pytest.raises(TrainerError, match=option_name(option)):
        resolve(
            method_type.name,
            dataset,
            epochs=EPOCHS,
            method_options={option: value, **companions(method_type, option)},
        )


@pytest.mark.parametrize("name", METHODS)
def test_an_option_that_the_method_does_not_have_is_an_error(name: str) -> None:
    with pytest.raises(TrainerError, match="warmup"):
        resolve(name, Dataset(Path("nowhere"), metadata()), epochs=EPOCHS, method_options={"warmup": 3})
