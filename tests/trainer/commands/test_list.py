"""`trainer list`: all of the registries, for people and as JSON, at once and without a framework."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import cli
from trainer.commands.list import inventory
from trainer.config import ENGINES
from trainer.methods import METHODS
from trainer.networks import NETWORKS
from trainer.presets import PRESETS
from trainer.settings import option_name, settings_of

ROOT = Path(__file__).parents[3]
HEAVY = ("keras", "tensorflow", "jax", "h5py", "PIL", "matplotlib", "tensorboard")
SECONDS = 0.5
CALLS = {"help": ["list", "--help"], "text": ["list"], "json": ["list", "--json"]}


def answer(*arguments: str, columns: int = 120) -> str:
    done = CliRunner().invoke(cli.trainer, ["list", *arguments], env={"COLUMNS": str(columns)})
    assert done.exit_code == 0, done.output
    return done.output


def python(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, "-c", code, *arguments], env=environment, capture_output=True, text=True, timeout=60
    )


def test_list_is_a_command_of_trainer() -> None:
    assert "list" in cli.TRAINER_COMMANDS


@pytest.mark.parametrize("arguments", CALLS.values(), ids=CALLS)
def test_it_answers_at_once(arguments: list[str]) -> None:
    seconds = []
    for _ in range(3):
        before = os.times()
        done = python("from cli import trainer; trainer(prog_name='trainer')", *arguments)
        after = os.times()
        # of the processor, so that a busy machine is no failure
        seconds.append(after.children_user + after.children_system - before.children_user - before.children_system)
        assert (done.returncode, done.stderr) == (0, "")
        if min(seconds) < SECONDS:
            return
    pytest.fail(f"the best of three took {min(seconds):.2f} s")


@pytest.mark.parametrize("arguments", CALLS.values(), ids=CALLS)
def test_it_loads_no_framework(arguments: list[str]) -> None:
    done = python(
        "import sys; from cli import trainer; trainer(sys.argv[1:], standalone_mode=False); "
        f"print(*(name for name in {HEAVY} if name in sys.modules), file=sys.stderr, end='')",
        *arguments,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_json_is_the_inventory() -> None:
    assert json.loads(answer("--json")) == inventory()


def test_the_inventory_has_every_method_with_its_paper_options_and_networks() -> None:
    methods = {method["name"]: method for method in inventory()["methods"]}
    assert [*methods] == [*METHODS]
    for name, method in METHODS.items():
        found = methods[name]
        assert (found["title"], found["paper"]) == (method.title, method.paper)
        assert found["networks"] == method.num_networks
        options = {option["name"]: option for option in found["options"]}
        settings = settings_of(method)
        assert [*options] == [option_name(name) for name in settings]
        for name, setting in settings.items():
            shown = options[option_name(name)]
            assert (shown["help"], shown["default"]) == (setting.help, setting.default_text())
            assert (shown["minimum"], shown["maximum"]) == (setting.minimum, setting.maximum)
            assert (shown["kind"], tuple(shown["choices"])) == (setting.kind.__name__, tuple(setting.choices or ()))


def test_the_inventory_has_every_network_preset_and_engine() -> None:
    found = inventory()
    assert {n["name"]: (n["title"], n["paper"], n["parameters"]) for n in found["networks"]} == {
        name: (spec.title, spec.paper, spec.parameters) for name, spec in NETWORKS.items()
    }
    assert {p.pop("name"): p for p in found["presets"]} == {
        name: {
            "title": preset.title,
            "source": preset.source,
            "noise": preset.noise,
            "reported": preset.reported,
            **json.loads(json.dumps(preset.values)),
        }
        for name, preset in PRESETS.items()
    }
    assert [engine["name"] for engine in found["engines"]] == [*ENGINES]


def test_the_presets_can_be_shown_alone() -> None:
    text = answer("--presets")
    assert text.startswith("Presets")
    assert "Methods" not in text
    assert all(f"  {name}: " in text for name in PRESETS)
    assert [*json.loads(answer("--presets", "--json"))] == ["presets"]


def test_an_engine_has_its_version_or_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    from importlib import metadata

    def version(package: str) -> str:
        if package == "jax":
            raise metadata.PackageNotFoundError(package)
        return "9.8.7"

    monkeypatch.setattr(metadata, "version", version)
    monkeypatch.setattr("trainer.config.ENGINES", {"tensorflow": "", "jax": ""})
    assert inventory()["engines"] == [
        {"name": "tensorflow", "installed": "9.8.7"},
        {"name": "jax", "installed": None},
    ]
    text = answer()
    assert "  tensorflow: version 9.8.7\n" in text
    assert "  jax: not installed; pip install jax\n" in text


def words(value: Any) -> list[str]:
    """Every text and number of the inventory, as the screen shows it."""
    if isinstance(value, dict):
        return [word for key, part in value.items() if key not in ("kind", "choices") for word in words(part)]
    if isinstance(value, list):
        return [word for part in value for word in words(part)]
    if value is None:
        return []
    return [f"{value:,}" if isinstance(value, int) else f"{value:g}" if isinstance(value, float) else value]


@pytest.mark.parametrize("columns", [40, 80, 200])
def test_the_screen_shows_all_of_it_within_its_width(columns: int) -> None:
    text = answer(columns=columns)
    found = inventory()
    for method in found["methods"]:
        for option in method["options"]:
            del option["minimum"], option["maximum"]  # the help of `trainer run METHOD` has them
    flowing = " ".join(text.split())
    for word in words(found):
        assert " ".join(word.split()) in flowing
    titles = ("Methods", "Networks", "Presets", "Engines")
    wide = [line for line in text.splitlines() if len(line) > min(columns, 120) and not line.startswith(titles)]
    assert wide == []
