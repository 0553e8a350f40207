"""Writes the tables of docs/configuration.md, from the settings' declarations, the options and the registries."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from trainer.commands.run import common_options
from trainer.config import RunConfig
from trainer.methods import METHODS
from trainer.networks import NETWORKS
from trainer.presets import PRESETS
from trainer.settings import VARIANTS, Derived, Setting, option_name, settings_of

PAGE = Path(__file__).with_suffix(".md")
SHOWN = ("paper", "quick")
"""The presets that have columns in the table of all settings; another table has all presets."""


def settings_table() -> Iterator[Sequence[str]]:
    """A row an option: those of all methods, then those of some."""
    yield "setting", "of", *(f"`{preset}`" for preset in SHOWN), "the default is from", "meaning"
    run_settings = settings_of(RunConfig)
    for option in common_options():
        name = option.name or ""
        if name in run_settings:
            defaults = [_default(run_settings[name], {"preset": preset}) for preset in SHOWN]
            source, meaning = run_settings[name].source, run_settings[name].help
        else:
            meaning, _, default = (option.help or "").partition("  [default: ")
            defaults = [default.rstrip("]") or ("off" if option.is_flag else str(option.default))] * len(SHOWN)
            source = "ours"
        variable = f" Variable `{option.envvar}`." if option.envvar else ""
        yield f"`{option.opts[0]}`", "all", *defaults, source, meaning + variable
    for method in METHODS.values():
        for name, setting in settings_of(method).items():
            epochs = [PRESETS[preset].values["epochs"] for preset in SHOWN]
            defaults = [_default(setting, {"epochs": number}, method) for number in epochs]
            yield f"`{option_name(name)}`", method.name, *defaults, setting.source, setting.help


def _default(setting: Setting, values: Mapping[str, Any], method: Any = None) -> str:
    """The default of a setting under the papers' variant; in words where it depends on the dataset."""
    context = {"variant": VARIANTS[0], **values}
    if "preset" in values:
        context["epochs"] = PRESETS[values["preset"]].values["epochs"]
    if method is not None:  # a default may follow from other settings of the method
        context |= vars(method.from_settings(values["epochs"], {}))
    try:
        value = setting.default_for(context)
    except KeyError:
        value = setting.default
    return setting.text_of(value)


def presets_table() -> Iterator[Sequence[str]]:
    """A row a setting in which presets differ, after where each is from."""
    yield "", *(f"`{name}`" for name in PRESETS)
    for name in ("source", "noise", "reported"):
        yield name, *(getattr(preset, name) for preset in PRESETS.values())
    for name, setting in settings_of(RunConfig).items():
        defaults = [_default(setting, {"preset": preset}) for preset in PRESETS]
        if name != "preset" and len(set(defaults)) > 1:
            yield f"`{option_name(name)}`", *defaults


def variants_table() -> Iterator[Sequence[str]]:
    """A row a setting that a variant changes."""
    yield "setting", *(f"`--variant {variant}`" for variant in VARIANTS)
    holders = [("all methods", RunConfig), *((method.name, method) for method in METHODS.values())]
    for holder, settings in ((name, settings_of(holder)) for name, holder in holders):
        for name, setting in settings.items():
            if setting.variants:
                defaults = (setting.variants.get(variant, setting.default) for variant in VARIANTS)
                yield (
                    f"`{option_name(name)}`, {holder}",
                    *(
                        default.text if isinstance(default, Derived) else setting.text_of(default)
                        for default in defaults
                    ),
                )


def networks_table() -> Iterator[Sequence[str]]:
    """A row a network."""
    yield "network", "parameters, 32x32x3 images or 1,280 features, 10 classes", "what it is"
    for name, network in NETWORKS.items():
        yield f"`{name}`", f"{network.parameters:,}", network.title


TABLES = {"settings": settings_table, "presets": presets_table, "variants": variants_table, "networks": networks_table}


def render(page: str) -> str:
    """The page with its tables written anew, each between `<!-- NAME -->` and `<!-- end -->`."""
    for name, table in TABLES.items():
        header, *rows = ([cell.replace("|", "\\|") for cell in row] for row in table())
        lines = [header, ["---"] * len(header), *rows]
        text = "\n".join(f"| {' | '.join(line)} |" for line in lines)
        page, count = re.subn(
            rf"(<!-- {name} -->\n).*?(<!-- end -->)",
            lambda match, text=text: f"{match[1]}\n{text}\n\n{match[2]}",  # type: ignore[misc]
            page,
            flags=re.DOTALL,
        )
        assert count == 1, f"{PAGE}: no place for the table of {name}"
    return page


if __name__ == "__main__":
    PAGE.write_text(render(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
