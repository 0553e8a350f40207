"""The ledger of a run: what its method knew of the labels that its rivals may not have known.

It is "told" in result.json (docs/format.md). Everything in it follows from the settings and from what the method
declares of itself: `Method.uses_noise_rate`, `Method.matrix_source`, and the settings that are `by_noise`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self, get_args

from trainer.config import RunConfig
from trainer.methods.base import MatrixSource, Method
from trainer.presets import PRESETS
from trainer.runs.reading import get
from trainer.settings import Setting, settings_of

RateSource = Literal["true", "estimated", "by hand", "not used"]
"""Where a noise rate is from: the realised rate of the manifest (0 of clean labels), `trainer estimate-noise`, or the
user; "not used" by a method that does without.
"""
ChosenOn = Literal["test labels", "held-out given labels", "not chosen"]
"""What the epoch of a figure was chosen on."""
NOT_TUNED = ("noise_rate", "preset", "seed", "engine")
"""Settings that are not tuned to a noise, or that have an entry of their own."""
_RATE_WORDS = {"true": "true rate", "estimated": "estimated rate", "by hand": "rate by hand"}
_MATRIX_WORDS = {"true": "true matrix", "file": "matrix from a file", "anchors": "matrix from anchors"}


@dataclass(frozen=True)
class Ledger:
    """What a run was told.

    Attributes:
        noise_rate: a fraction, at the start of training; None where the method does not use one.
        transition_matrix: where the one that it trained with is from.
        clean_validation_labels: "none": held-out samples keep the labels they have.
        chosen_on: by figure of result.json, what its epoch was chosen on.
        noise_settings: the method's settings that its source chooses by the type or rate of the noise, by name.
        settings: those that are neither the preset's nor the defaults, by name, as
            plain values; of the run and of the method.
        preset: its name. reported: the figure that is published in its protocol.
    """

    noise_rate: float | None
    noise_rate_source: RateSource
    transition_matrix: MatrixSource
    chosen_on: Mapping[str, ChosenOn]
    noise_settings: Mapping[str, Any]
    settings: Mapping[str, Any]
    preset: str
    reported: str
    clean_validation_labels: Literal["none"] = "none"

    @classmethod
    def of(cls, config: RunConfig, method: Method) -> Self:
        """The ledger of a run with these settings."""
        chosen_on: dict[str, ChosenOn] = {
            "last_test_error": "not chosen",
            "mean_last10_test_error": "not chosen",
            "best_test_error": "test labels",
            "best_test_error_all_runs": "test labels",
        }
        if config.validation_fraction:
            chosen_on["selected"] = "held-out given labels"
        return cls(
            noise_rate=config.noise_rate if method.uses_noise_rate else None,
            noise_rate_source=_rate_source(config) if method.uses_noise_rate else "not used",
            transition_matrix=method.matrix_source,
            chosen_on=chosen_on,
            noise_settings={
                name: getattr(method, name) for name, declared in settings_of(type(method)).items() if declared.by_noise
            },
            settings=_chosen_settings(config, method),
            preset=config.preset,
            reported=PRESETS[config.preset].reported,
        )

    @property
    def words(self) -> str:
        """What the method was told of the noise, as "true rate", or "" where it was told nothing."""
        parts = (_RATE_WORDS.get(self.noise_rate_source), _MATRIX_WORDS.get(self.transition_matrix))
        chosen = (f"{name.replace('_', ' ')} {_text(value)}" for name, value in self._chosen_for_noise.items())
        return ", ".join(part for part in (*parts, *chosen) if part)

    @property
    def _chosen_for_noise(self) -> dict[str, Any]:
        """The noise settings that are not the defaults, which were chosen for this noise or may have been."""
        return {name: value for name, value in self.noise_settings.items() if name in self.settings}

    @property
    def beyond_given_labels(self) -> bool:
        """Whether the method was told what the given labels do not tell: the truth, or what may be the truth."""
        told = self.noise_rate_source in ("true", "by hand") or self.transition_matrix in ("true", "file")
        return told or bool(self._chosen_for_noise)

    def to_json(self) -> dict[str, Any]:
        """As plain values for result.json."""
        values = dataclasses.asdict(self)
        rate = {"value": values.pop("noise_rate"), "source": values.pop("noise_rate_source")}
        return {"noise_rate": rate, **values}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """From what `to_json` gave.

        Raises:
            ValueError: a value is missing, or none that this version knows.
        """
        values = dict(values)
        rate = get(values, "noise_rate", dict)
        source = _known(rate, "source", RateSource)
        value = None if source == "not used" else get(rate, "value", (int, float))
        if value is not None and not 0 <= value < 1:
            raise ValueError("'noise_rate.value' is no fraction")
        chosen_on = get(values, "chosen_on", dict)
        return cls(
            noise_rate=value if value is None else float(value),
            noise_rate_source=source,
            transition_matrix=_known(values, "transition_matrix", MatrixSource),
            chosen_on={name: _known(chosen_on, name, ChosenOn) for name in chosen_on},
            # runs of earlier versions do not tell
            noise_settings=get(values, "noise_settings", dict) if "noise_settings" in values else {},
            settings=get(values, "settings", dict),
            preset=get(values, "preset", str),
            reported=get(values, "reported", str),
            clean_validation_labels=_known(values, "clean_validation_labels", Literal["none"]),
        )


def _rate_source(config: RunConfig) -> RateSource:
    if config.noise_rate_from in ("manifest, realised", "clean labels"):
        return "true"
    return "estimated" if config.noise_rate_from.startswith("estimate") else "by hand"


def _chosen_settings(config: RunConfig, method: Method) -> dict[str, Any]:
    """The settings that differ from what the preset, the variant and the settings before them make of them."""
    of_run = {
        name: declared
        for name, declared in settings_of(RunConfig).items()
        if name not in NOT_TUNED and not declared.changes_no_result
    }
    context = {"variant": config.variant, "epochs": config.epochs}
    return _departures(of_run, vars(config), {}) | _departures(settings_of(type(method)), vars(method), context)


def _departures(
    settings: Mapping[str, Setting], values: Mapping[str, Any], context: Mapping[str, Any]
) -> dict[str, Any]:
    defaults = {name: declared.default_for({**context, **values}) for name, declared in settings.items()}
    others = {name: values[name] for name in settings if values[name] != defaults[name]}
    return {name: list(value) if isinstance(value, tuple) else value for name, value in others.items()}


def _text(value: Any) -> str:
    """A setting's value in a table."""
    if isinstance(value, bool):
        return "on" if value else "off"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _known(values: dict[str, Any], key: str, choices: Any) -> Any:
    """A value of a JSON object that is one of a Literal's."""
    value = get(values, key, str)
    if value not in get_args(choices):
        raise ValueError(f"'{key}' is none of {', '.join(get_args(choices))}")
    return value
