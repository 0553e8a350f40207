"""Writes docs/commands.md: the help of every command, as the commands themselves print it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click

import cli

PAGE = Path(__file__).with_suffix(".md")
WIDTH = 100
HEAD = """# Commands

This page is made from the commands' own `--help` (`make docs`); a test holds it to them.
"""


def commands(command: click.Command, name: str, parent: click.Context | None = None) -> Iterator[click.Context]:
    """The context of a command and of all commands below it."""
    context = click.Context(
        command,
        parent=parent,
        info_name=name,
        terminal_width=WIDTH,
        max_content_width=WIDTH,
        help_option_names=["-h", "--help"],
    )
    yield context
    if isinstance(command, click.Group):
        for child in command.list_commands(context):
            found = command.get_command(context, child)
            assert found is not None
            yield from commands(found, child, context)


def render() -> str:
    """The text of the page."""
    parts = [HEAD]
    for name, group in (("datatools", cli.datatools), ("trainer", cli.trainer)):
        for context in commands(group, name):
            level = "##" if context.parent is None else "###"
            parts.append(f"{level} {context.command_path}\n\n```\n{context.get_help().rstrip()}\n```\n")
    return "\n".join(parts)


if __name__ == "__main__":
    PAGE.write_text(render(), encoding="utf-8")
