"""`trainer list`."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Sequence
from typing import Any

import click

MAX_WIDTH = 120
DESCRIPTION = ("name", "title", "source", "noise", "reported")
"""What is told of a preset beside its settings."""


@click.command(epilog="Example: trainer list --json")
@click.option("--presets", is_flag=True, help="The presets alone.")
@click.option("--json", "as_json", is_flag=True, help="The same as JSON, for programs.  [default: text]")
def list(presets: bool, as_json: bool) -> None:
    """Show methods, networks, presets and engines.

    For each method its paper, its own options with their defaults, and how many networks it trains; for each network
    its paper and its trainable parameters for images of 32x32x3, or 1,280 features, and 10 classes; for each
    preset its source, the convention of its noise, the figure that was published, and its settings.
    """
    shown = {name: entries for name, entries in inventory().items() if name == "presets" or not presets}
    click.echo(json.dumps(shown, indent=2, ensure_ascii=False) if as_json else "\n".join(_lines(shown)))


def inventory() -> dict[str, Any]:
    """What the registries hold, as plain values; no framework is loaded."""
    from importlib.metadata import PackageNotFoundError, version

    from trainer.config import ENGINES
    from trainer.methods import METHODS
    from trainer.networks import NETWORKS
    from trainer.presets import PRESETS
    from trainer.settings import settings_of

    def installed(package: str) -> str | None:
        try:
            return version(package)
        except PackageNotFoundError:
            return None

    return {
        "methods": [
            {
                "name": method.name,
                "title": method.title,
                "paper": method.paper,
                "networks": method.num_networks,
                "options": [_option(name, setting) for name, setting in settings_of(method).items()],
            }
            for method in METHODS.values()
        ],
        "networks": [
            {"name": name, "title": spec.title, "paper": spec.paper, "parameters": spec.parameters}
            for name, spec in NETWORKS.items()
        ],
        "presets": [{"name": name, **_preset(preset)} for name, preset in PRESETS.items()],
        "engines": [{"name": name, "installed": installed(name)} for name in ENGINES],
    }


def _preset(preset: Any) -> dict[str, Any]:
    """A `trainer.presets.Preset` as plain values."""
    return {
        "title": preset.title,
        "source": preset.source,
        "noise": preset.noise,
        "reported": preset.reported,
        **{name: [*value] if isinstance(value, tuple) else value for name, value in preset.values.items()},
    }


def _option(name: str, setting: Any) -> dict[str, Any]:
    """A `trainer.settings.Setting` as plain values."""
    return {
        "name": f"--{name.replace('_', '-')}",
        "help": setting.help,
        "kind": setting.kind.__name__,
        "default": setting.default_text(),
        "minimum": setting.minimum,
        "maximum": setting.maximum,
        "choices": [*(setting.choices or ())],
    }


def _lines(shown: dict[str, Any]) -> Iterator[str]:
    parts = {"methods": _methods, "networks": _networks, "presets": _presets, "engines": _engines}
    for number, name in enumerate(name for name in parts if name in shown):
        if number:
            yield ""
        yield from parts[name](shown[name])


def _methods(methods: Sequence[dict[str, Any]]) -> Iterator[str]:
    yield "Methods (trainer run METHOD)"
    for method in methods:
        yield from _wrapped(f"{method['name']}: {method['title']}", 2)
        yield from _wrapped(f"paper: {method['paper']}", 6)
        yield from _wrapped(f"networks: {method['networks']}", 6)
        for option in method["options"]:
            yield from _wrapped(f"{option['name']}  {option['help']}  [default: {option['default']}]", 6)


def _networks(networks: Sequence[dict[str, Any]]) -> Iterator[str]:
    yield "Networks (--network NAME); parameters for images of 32x32x3, or 1,280 features, and 10 classes"
    for network in networks:
        yield from _wrapped(f"{network['name']}: {network['title']}", 2)
        yield from _wrapped(f"paper: {network['paper']}", 6)
        yield from _wrapped(f"parameters: {network['parameters']:,}", 6)


def _presets(presets: Sequence[dict[str, Any]]) -> Iterator[str]:
    yield "Presets (--preset NAME)"
    for preset in presets:
        yield from _wrapped(f"{preset['name']}: {preset['title']}", 2)
        for name in ("source", "noise", "reported"):
            yield from _wrapped(f"{name}: {preset[name]}", 6)
        recipe = {name: value for name, value in preset.items() if name not in DESCRIPTION}
        yield from _wrapped(", ".join(f"{name.replace('_', ' ')} {_text(value)}" for name, value in recipe.items()), 6)


def _engines(engines: Sequence[dict[str, Any]]) -> Iterator[str]:
    yield "Engines (--engine NAME)"
    for engine in engines:
        version = engine["installed"]
        state = f"version {version}" if version else f"not installed; pip install {engine['name']}"
        yield from _wrapped(f"{engine['name']}: {state}", 2)


def _text(value: Any) -> str:
    if isinstance(value, Sequence) and not isinstance(value, str):
        return " and ".join(f"{part:g}" for part in value)
    return f"{value:g}" if isinstance(value, float) else str(value)


def _wrapped(text: str, indent: int) -> Iterator[str]:
    """Lines no wider than the terminal; the second and later ones stand further in."""
    import textwrap

    yield from textwrap.wrap(
        text,
        width=min(shutil.get_terminal_size().columns, MAX_WIDTH),
        initial_indent=" " * indent,
        subsequent_indent=" " * (indent + 4),
        break_long_words=False,
        break_on_hyphens=False,
    )
