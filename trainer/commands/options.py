"""Options that several commands share, as keywords of `click.option` and `click.Option`, and those of settings."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import click

from trainer.settings import Setting, option_name

Command = TypeVar("Command", bound=Callable[..., Any])
ROOT: dict[str, Any] = {
    "type": click.Path(path_type=Path, file_okay=False),
    "default": Path("data"),
    "show_default": True,
    "envvar": "DATATOOLS_ROOT",
    "show_envvar": True,
    "help": "Folder where datasets live.",
}
SAFE_CSV = click.option(
    "--safe-csv/--no-safe-csv",
    default=True,
    show_default=True,
    help="In CSV files, put an apostrophe before names that a spreadsheet would take for formulas (=, +, -, @, tab).",
)


def setting_option(name: str, setting: Setting, default: Any = None) -> click.Option:
    """The option of a setting. What is not given is None: its default may depend on other settings.

    Args:
        default: of a command whose default is another than the setting's.
    """
    shown = setting.default_text() if default is None else setting.text_of(default)
    keywords: dict[str, Any] = {
        "help": f"{setting.help}  [default: {shown}]",
        "default": default,
        "envvar": setting.environment,
        "show_envvar": setting.environment is not None,
    }
    if setting.kind is bool:
        switch = f"{option_name(name)}/--no-{option_name(name)[2:]}"
        return click.Option([switch if setting.switches_off else option_name(name)], is_flag=True, **keywords)

    def check(context: click.Context, parameter: click.Parameter, value: Any) -> Any:
        if value is not None:
            setting.check(name, value)
        return value

    kind = click.Choice(list(setting.choices)) if setting.choices is not None else _click_type(setting)
    return click.Option([option_name(name)], type=kind, metavar=setting.metavar, callback=check, **keywords)


def setting_options(
    settings: Mapping[str, Setting], defaults: Mapping[str, Any] | None = None
) -> Callable[[Command], Command]:
    """A decorator that gives a command the options of settings, as `click.option` gives it one.

    Args:
        defaults: of a command that has other ones, by the settings' names.
    """

    def decorate(command: Command) -> Command:
        options = [setting_option(name, setting, (defaults or {}).get(name)) for name, setting in settings.items()]
        # decorators are applied from the last one up, and click reverses what they leave here
        command.__click_params__ = [*getattr(command, "__click_params__", ()), *reversed(options)]  # type: ignore[attr-defined]
        return command

    return decorate


def _click_type(setting: Setting) -> click.ParamType:
    """The type of a value; a number's bounds are shown in the help, and looked at by `Setting.check`."""
    if setting.kind is str:
        return click.STRING
    if setting.kind is tuple:
        return _Numbers()
    bounds: dict[str, Any] = {
        "min": setting.above if setting.minimum is None else setting.minimum,
        "max": setting.below if setting.maximum is None else setting.maximum,
        "min_open": setting.above is not None,
        "max_open": setting.below is not None,
    }
    return _Int(**bounds) if setting.kind is int else _Float(**bounds)


class _Numbers(click.ParamType):
    """Whole numbers with commas between."""

    name = "numbers"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if isinstance(value, tuple):
            return value
        try:
            return tuple(int(part) for part in value.split(",") if part.strip())
        except ValueError:
            self.fail(f"'{value}' is not a list of whole numbers with commas between", param, ctx)


class _Int(click.IntRange):
    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        return click.INT.convert(value, param, ctx)


class _Float(click.FloatRange):
    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        return click.FLOAT.convert(value, param, ctx)
