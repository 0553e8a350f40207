"""`trainer list`."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from typing import Any

import click

MAX_WIDTH = 120


@click.command(epilog="Example: trainer list --json")
@click.option("--json", "as_json", is_flag=True, help="The same as JSON, for programs.  [default: text]")
def list(as_json: bool) -> None:
    """Show methods, networks, presets and engines.

    For each method its paper, its own options with their defaults, and how many networks it trains; for each network
    its paper and its trainable parameters for images of 32x32x3 and 10 classes.
    """
    found = inventory()
    click.echo(json.dumps(found, indent=2, ensure_ascii=False) if as_json else "\n".join(_lines(found)))


def inventory() -> dict[str, Any]:
    """What the registries hold, as plain values; no framework is loaded."""
    from importlib.metadata import PackageNotFoundError, version

    from trainer.config import ENGINES, PRESETS
    from trainer.methods import METHODS
    from trainer.networks import NETWORKS
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
        "presets": [{"name": name, "title": preset.title, **preset.values} for name, preset in PRESETS.items()],
        "engines": [{"name": name, "installed": installed(name)} for name in ENGINES],
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


def _lines(found: dict[str, Any]) -> Iterator[str]:
    yield "Methods (trainer run METHOD)"
    for method in found["methods"]:
        yield from _wrapped(f"{method['name']}: {method['title']}", 2)
        yield from _wrapped(f"paper: {method['paper']}", 6)
        yield from _wrapped(f"networks: {method['networks']}", 6)
        for option in method["options"]:
            yield from _wrapped(f"{option['name']}  {option['help']}  [default: {option['default']}]", 6)
    yield "\nNetworks (--network NAME); parameters for images of 32x32x3 and 10 classes"
    for network in found["networks"]:
        yield from _wrapped(f"{network['name']}: {network['title']}", 2)
        yield from _wrapped(f"paper: {network['paper']}", 6)
        yield from _wrapped(f"parameters: {network['parameters']:,}", 6)
    yield "\nPresets (--preset NAME)"
    for preset in found["presets"]:
        yield from _wrapped(f"{preset['name']}: {preset['title']}", 2)
        yield from _wrapped(
            f"{preset['network']}, {preset['epochs']} epochs, batch {preset['batch_size']}, "
            f"learning rate {preset['learning_rate']:g}",
            6,
        )
    yield "\nEngines (--engine NAME)"
    for engine in found["engines"]:
        state = (
            f"version {engine['installed']}" if engine["installed"] else f"not installed; pip install {engine['name']}"
        )
        yield from _wrapped(f"{engine['name']}: {state}", 2)


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
