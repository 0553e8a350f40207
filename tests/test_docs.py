"""Documentation is tested: every command and option is on its page, and what the pages show works."""

from __future__ import annotations

import importlib.util
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import click
import numpy as np
import pytest

import cli
from trainer.config import PRESETS, RunConfig
from trainer.methods import METHODS
from trainer.networks import NETWORKS

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "data" / "README.md", *sorted(ROOT.glob("docs/**/*.md"))]
GROUPS = {"datatools": cli.datatools, "trainer": cli.trainer}


def _generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("docs_commands", ROOT / "docs" / "commands.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def every_command() -> list[click.Context]:
    generator = _generator()
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
    assert (ROOT / "docs" / "commands.md").read_text(encoding="utf-8") == _generator().render(), "run: make docs"


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
    if "METHOD" in arguments:  # stands for each of them
        return
    while isinstance(command, click.Group) and arguments and not arguments[0].startswith("-"):
        found = command.get_command(context, arguments[0])
        assert found is not None, f"{where}: no command {arguments[0]}"
        command, context, arguments = found, click.Context(found, parent=context), arguments[1:]
    known = {"--help", *(option for parameter in command.params for option in parameter.opts)}
    for argument in arguments:
        if argument.startswith("--"):
            assert argument.split("=")[0] in known, f"{where}: {command.name} has no {argument}"


def test_every_setting_is_on_the_configuration_page() -> None:
    page = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
    for name in NETWORKS:
        assert f"`{name}`" in page
    for preset in PRESETS.values():
        for value in (preset.network, preset.epochs, preset.batch_size, preset.learning_rate):
            assert re.search(rf"\| {re.escape(str(value))} \|", page), value
    assert RunConfig.__dataclass_fields__["weight_decay"].default == 5e-4
    assert "5e-4" in page


def test_every_method_and_its_options_are_on_the_algorithms_page() -> None:
    page = (ROOT / "docs" / "algorithms.md").read_text(encoding="utf-8")
    for method in METHODS.values():
        assert method.name in page.lower()
        for option in method.options:
            assert f"`--{option.name.replace('_', '-')}`" in page


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text(encoding="utf-8")):
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
