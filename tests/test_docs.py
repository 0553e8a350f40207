"""Documentation is tested: every command and option is on its page, and what the pages show works."""

from __future__ import annotations

import importlib.util
import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import click
import numpy as np
import pytest

import cli
from trainer.config import RunConfig, resolve
from trainer.engine.step import ENGINE_ROWS
from trainer.methods import METHODS
from trainer.methods.base import Method
from trainer.metrics import columns
from trainer.presets import PRESETS
from trainer.settings import option_name, settings_of

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "data" / "README.md", *sorted(ROOT.glob("docs/**/*.md"))]
GROUPS = {"datatools": cli.datatools, "trainer": cli.trainer}


def _generator(page: str) -> ModuleType:
    """The script that writes a page of docs/."""
    spec = importlib.util.spec_from_file_location(f"docs_{page}", ROOT / "docs" / f"{page}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def every_command() -> list[click.Context]:
    generator = _generator("commands")
    return [context for name, group in GROUPS.items() for context in generator.commands(group, name)]


def command_lines(page: Path) -> Iterator[list[str]]:
    """Command lines in code of a page: fenced blocks and `inline`."""
    text = page.read_text(encoding="utf-8")
    blocks = re.findall(r"```[a-z]*\n(.*?)```", text, flags=re.DOTALL)
    lines = [line.strip() for block in blocks for line in block.splitlines()]
    for line in [*lines, *re.findall(r"`([^`\n]+)`", text)]:
        line = line.removeprefix("$ ").split("  #")[0]
        if re.match(r"(datatools|trainer) [a-z]", line) and "…" not in line:
            yield shlex.split(line.split("   ")[0])


def test_the_page_of_commands_is_what_the_commands_say() -> None:
    assert (ROOT / "docs" / "commands.md").read_text(encoding="utf-8") == _generator("commands").render(), (
        "run: make docs"
    )


@pytest.mark.parametrize("context", every_command(), ids=lambda context: context.command_path)
def test_every_option_has_help_and_every_command_an_example(context: click.Context) -> None:
    for parameter in context.command.params:
        if isinstance(parameter, click.Option):
            assert parameter.help, parameter.opts
            told = parameter.required or parameter.is_flag or "default:" in context.get_help()
            assert told, f"{parameter.opts} does not tell its default"
    if not isinstance(context.command, click.Group):
        assert "Example: " in (context.command.epilog or "")


def examples() -> list[tuple[str, list[str]]]:
    own = [
        (context.command_path, shlex.split(epilog.removeprefix("Example: ")))
        for context in every_command()
        if (epilog := context.command.epilog)
    ]
    return own + [(str(page.relative_to(ROOT)), line) for page in PAGES for line in command_lines(page)]


@pytest.mark.parametrize(
    ("where", "line"), examples(), ids=lambda value: " ".join(value) if isinstance(value, list) else value
)
def test_documented_command_lines_parse(where: str, line: list[str]) -> None:
    command: click.Command = GROUPS[line[0]]
    context = click.Context(command, info_name=line[0])
    arguments = line[1:]
    if {"METHOD", "$method"} & set(arguments):  # stands for each of them
        return
    while isinstance(command, click.Group) and arguments and not arguments[0].startswith("-"):
        found = command.get_command(context, arguments[0])
        assert found is not None, f"{where}: no command {arguments[0]}"
        command, context, arguments = found, click.Context(found, parent=context), arguments[1:]
    known = {"--help", *(option for parameter in command.params for option in parameter.opts)}
    for argument in arguments:
        if argument.startswith("--"):
            assert argument.split("=")[0] in known, f"{where}: {command.name} has no {argument}"


def test_the_tables_of_settings_are_what_the_program_declares() -> None:
    page = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
    assert page == _generator("configuration").render(page), "run: make docs"


@pytest.mark.parametrize("method", METHODS)
def test_the_table_of_settings_has_every_option_with_its_defaults(method: str) -> None:
    rows = {(row[0].strip("`"), row[1]): row for row in _generator("configuration").settings_table()}
    (context,) = (c for c in every_command() if c.command_path == f"trainer run {method}")
    own_settings = settings_of(METHODS[method])
    clean: Any = SimpleNamespace(metadata=SimpleNamespace(noise=None, labels="clean"))
    configs = [resolve(method, clean, preset=preset) for preset in ("paper", "quick")]
    shown = set()
    for option in context.command.params:
        name = option.name or ""
        key = (option.opts[0], method if name in own_settings else "all")
        shown.add(key)
        if name in own_settings:
            values = [config.method_settings[name] for config in configs]
            assert list(rows[key][2:4]) == [own_settings[name].text_of(value) for value in values], key
        assert all(rows[key][2:]), f"{key}: without default, source or meaning"
    assert {key for key in rows if key[1] in ("all", method)} == shown


def test_every_method_and_its_options_are_on_the_algorithms_page() -> None:
    page = (ROOT / "docs" / "algorithms.md").read_text(encoding="utf-8")
    for method in METHODS.values():
        assert method.name in page.lower()
        for name in settings_of(method):
            assert f"`{option_name(name)}`" in page


def methods_rows() -> dict[str, list[str]]:
    """The table of docs/methods.md: its cells by method."""
    page = (ROOT / "docs" / "methods.md").read_text(encoding="utf-8")
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in page.splitlines() if line[:3] == "| `"]
    return {row[0].strip("`"): row[1:] for row in rows}


def test_the_table_of_methods_is_what_they_are() -> None:
    assert list(methods_rows()) == list(METHODS)
    for name, (_, networks, size, told, _) in methods_rows().items():
        method = METHODS[name].from_settings(100, {})
        remembered = [values for key, values in method.memory(1000, 10).items() if key not in method.shared]
        remembered += [part.start for part in method.learned(1000, 10).values() if not part.shared]
        assert int(networks) == method.num_networks
        assert 1000 * int(size) == sum(values.nbytes for values in remembered), name
        # told: what the schedule follows from, or memory that the user tells
        rates = [method.schedule(99, 100, rate) for rate in (0.0, 0.4)]
        expected = "noise rate" if rates[0] != rates[1] else "nothing"
        assert told == ("transition matrix" if type(method).told is not Method.told else expected), name


def test_the_costs_of_methods_are_those_measured() -> None:
    path = ROOT / "bench" / "results" / "method_costs-small-cnn.json"
    measured = json.loads(path.read_text(encoding="utf-8"))["over_default"]
    shown = {name: row[-1] for name, row in methods_rows().items() if name != "default"}
    assert {name: shown.pop(name) for name in measured} == {
        name: f"{figures['ratio']:.2f}" for name, figures in measured.items()
    }
    counted = {name: METHODS[name].from_settings(100, {}) for name in shown}
    words = {name: "at most" if len(method.stages) > 1 else "about" for name, method in counted.items()}
    assert shown == {name: f"{words[name]} {each.relative_cost:.1f}, by its passes" for name, each in counted.items()}


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_has_a_section_with_a_command_line(preset: str) -> None:
    page = (ROOT / "docs" / "protocols.md").read_text(encoding="utf-8")
    _, section = page.split(f"\n## `{preset}`\n")
    assert f"--preset {preset} " in section.partition("\n## ")[0]


def test_the_format_page_has_every_column_and_every_setting() -> None:
    page = (ROOT / "docs" / "format.md").read_text(encoding="utf-8")
    data: Any = SimpleNamespace(clean_labels=np.zeros(1), held_out=("test", "validation"))
    clean: Any = SimpleNamespace(metadata=SimpleNamespace(noise=None, labels="clean"))
    names = {*RunConfig.__dataclass_fields__, *ENGINE_ROWS}
    for method in METHODS:
        names |= {*columns(resolve(method, clean).make_method(), data)}
    assert "validation_error" in names
    assert not {name for name in names if f"`{name}`" not in page}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    prose = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", prose):
        if not target.startswith("http"):
            assert (page.parent / target).exists(), target


def test_the_readers_on_the_format_page_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from datatools import convert

    monkeypatch.chdir(tmp_path)
    convert("digits")
    text = (ROOT / "docs" / "format.md").read_text(encoding="utf-8")
    snippets = re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)
    assert len(snippets) == 2
    first: dict[str, np.ndarray] = {}
    exec(snippets[0], first)
    assert first["images"].shape == (1442, 8, 8, 1)
    second: dict[str, np.ndarray] = {}
    exec(snippets[1], second)
    assert np.array_equal(second["labels"], first["records"]["label"])


def test_the_python_of_the_running_page_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    text = (ROOT / "docs" / "running.md").read_text(encoding="utf-8")
    snippets = re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)
    assert len(snippets) == 3
    spaces: list[dict[str, Any]] = [{}, {}, {}]
    for snippet, names in zip(snippets, spaces, strict=True):
        exec(snippet, names)
    trained, read, by_hand = spaces
    assert read["error"] == pytest.approx(trained["result"]["last_test_error"], abs=1e-12)
    for one, other in zip(read["network"].get_weights(), by_hand["network"].get_weights(), strict=True):
        assert np.array_equal(one, other)
