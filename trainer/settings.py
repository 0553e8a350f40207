"""Settings, each declared once: in the field of a frozen dataclass that holds its value.

    @dataclass(frozen=True)
    class CoTeaching(Method):
        ramp: str = setting("How the keep rate falls.", default="linear", choices=("linear", "linspace"), source="…")

The command line and its help, the entries of a sweep, the checks of a value, the defaults that a preset or a variant
changes, and the table of docs/configuration.md are read from the declaration; what kind of value a setting takes is the
field's annotation.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import math
import types
import typing
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from trainer.errors import TrainerError

VARIANTS = ("paper", "official", "official-2019")
"""Whose defaults a run takes: the papers', or those of SELFIE's official code, of its present head (January 2020) or of
its first release (May 2019).

docs/decisions/0013-official-variants.md
"""
_METADATA_KEY = "setting"
_KIND_NAMES = {int: "a whole number", float: "a number", bool: "true or false", str: "text", tuple: "whole numbers"}


class Derived(NamedTuple):
    """A default that follows from other settings.

    Attributes:
        text: what it is, in words, for `--help`.
        value: computes it from the settings that are declared before it, by name, "epochs" and "preset" among them.
    """

    text: str
    value: Callable[[Mapping[str, Any]], Any]


@dataclass(frozen=True)
class Setting:
    """What is declared of a setting.

    Attributes:
        help: a sentence or two, units included.
        default: a value, or a `Derived`; `variants`: the defaults that are others under a variant, by its name.
        source: where the default comes from.
        minimum, maximum: inclusive bounds of a number; above, below: exclusive ones.
        choices: the values that it may have, such as a registry.
        metavar: what stands for the value in `--help`.
        none: what None means, in words, where a setting may be None.
        environment: the environment variable that is read where the option is not given.
        changes_no_result: a resumed run may have another value.
        by_noise: the source has other values for other types or rates of noise, which nobody knows of labels as they
            come: the ledger of a run names such settings.
        switches_off: a bool that is on by default for somebody, so that the command line has --no-NAME too.
        kind: int, float, bool, str or tuple (of ascending whole numbers), from the field's annotation; optional: it
            may be None.
    """

    help: str
    default: Any
    source: str
    variants: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    minimum: float | None = None
    maximum: float | None = None
    above: float | None = None
    below: float | None = None
    choices: Collection[str] | None = None
    metavar: str | None = None
    none: str = "none"
    environment: str | None = None
    changes_no_result: bool = False
    by_noise: bool = False
    switches_off: bool = False
    kind: type = str
    optional: bool = False

    def default_for(self, values: Mapping[str, Any]) -> Any:
        """The default under the variant in `values`, which has the settings declared before this one."""
        default = self.variants.get(values["variant"], self.default)
        value = default.value(values) if isinstance(default, Derived) else default
        return self.kind(value) if self.kind is float and value is not None else value

    def default_text(self) -> str:
        """The default as `--help` has it, with those of the variants that differ."""
        parts = [self.text_of(self.default)]
        texts: dict[str, list[str]] = {}
        for variant, default in self.variants.items():
            texts.setdefault(self.text_of(default), []).append(variant)
        parts += [f"{text} with --variant {' or '.join(names)}" for text, names in texts.items()]
        return "; ".join(parts)

    def text_of(self, value: Any) -> str:
        """A value of this setting, or a default, in words."""
        if isinstance(value, Derived):
            return value.text
        if value is None:
            return self.none
        if isinstance(value, bool):
            return "on" if value else "off"
        if isinstance(value, tuple):
            return ",".join(map(str, value)) or "none"
        return f"{value:g}" if isinstance(value, float) else str(value)

    def check(self, name: str, value: Any) -> None:
        """Raise TrainerError unless `value` is one that the setting of this name may have."""
        if value is None and self.optional:
            return
        self.check_type(name, value)
        expected = self._expected(value)
        if expected:
            raise TrainerError(f"{option_name(name)} {value}: {expected} is expected")

    def check_type(self, name: str, value: Any) -> None:
        """Raise TrainerError unless `value` is of the setting's kind; a whole number may stand for a float."""
        is_bool = isinstance(value, bool)
        accepted = (int, float) if self.kind is float else self.kind
        if is_bool != (self.kind is bool) or not isinstance(value, accepted):
            raise TrainerError(f"{option_name(name)} {value!r:.60}: {_KIND_NAMES[self.kind]} is expected")
        if isinstance(value, tuple) and not all(type(item) is int for item in value):
            raise TrainerError(f"{option_name(name)} {value!r:.60}: whole numbers are expected")

    def _expected(self, value: Any) -> str:
        """What the value should be, or "" where it is so; not-a-number is within no bounds."""
        if self.kind is tuple:
            ascending = all(low <= high for low, high in itertools.pairwise((1, *value)))
            return "" if ascending else "whole numbers above 0 in ascending order"
        if self.choices is not None:
            return "" if value in self.choices else f"one of {', '.join(self.choices)}"
        if self.kind is float and not math.isfinite(value):
            return self._bounds() or "a finite number"
        ends = (
            (self.minimum is None or value >= self.minimum)
            and (self.maximum is None or value <= self.maximum)
            and (self.above is None or value > self.above)
            and (self.below is None or value < self.below)
        )
        return "" if ends else self._bounds()

    def _bounds(self) -> str:
        bounds = (
            (self.minimum, "at least"),
            (self.above, "above"),
            (self.maximum, "at most"),
            (self.below, "below"),
        )
        return " and ".join(f"{words} {bound:g}" for bound, words in bounds if bound is not None)


def setting(help: str, *, default: Any, source: str, **declaration: Any) -> Any:
    """A dataclass field that holds a setting; the arguments are the attributes of `Setting`.

    The field itself has a default where the setting's is a plain value.
    """
    metadata = {_METADATA_KEY: Setting(help, default, source, **declaration)}
    if isinstance(default, Derived):
        return dataclasses.field(metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


def settings_of(holder: type) -> Mapping[str, Setting]:
    """The settings that a dataclass declares, by name, in their order.

    Example:
        >>> from trainer.methods.co_teaching import CoTeaching
        >>> settings_of(CoTeaching)["ramp"].default_text()
        'linear'
    """
    return _declared(holder)


@functools.cache
def _declared(holder: Any) -> Mapping[str, Setting]:
    annotations = typing.get_type_hints(holder)
    declared = {}
    for field in dataclasses.fields(holder):
        if _METADATA_KEY in field.metadata:
            kind, optional = _kind(annotations[field.name])
            declared[field.name] = dataclasses.replace(field.metadata[_METADATA_KEY], kind=kind, optional=optional)
    return types.MappingProxyType(declared)


def _kind(annotation: Any) -> tuple[type, bool]:
    """The plain type of an annotation such as `int | None`, and whether it may be None."""
    if isinstance(annotation, type):
        return annotation, False
    if typing.get_origin(annotation) is tuple:
        return tuple, False
    (kind,) = (part for part in typing.get_args(annotation) if part is not type(None))
    return kind, True


def resolve_settings(
    settings: Mapping[str, Setting], values: Mapping[str, Any], context: Mapping[str, Any]
) -> dict[str, Any]:
    """Every setting's value, checked: the one in `values`, else its default.

    Args:
        context: what defaults may depend on beside the settings declared before them: "variant" at least.

    Raises:
        TrainerError: a value that its setting may not have.
    """
    resolved: dict[str, Any] = {}
    for name, declared in settings.items():
        if name in values:
            declared.check(name, values[name])
            resolved[name] = float(values[name]) if declared.kind is float else values[name]
        else:
            resolved[name] = declared.default_for({**context, **resolved})
    return resolved


def option_name(name: str) -> str:
    """How the option of a setting is written: "--batch-size"."""
    return f"--{name.replace('_', '-')}"


def option_names(names: Iterable[str]) -> str:
    """The options of several settings, for a message."""
    return ", ".join(map(option_name, names)) or "none"
