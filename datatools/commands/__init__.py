"""The command `datatools`, and its sub-commands, one file each: parse, call, print.

What a command needs beside click is imported when it is called, so that `--help` answers at once.
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Any, cast

import click

from datatools.errors import DataToolsError
from datatools.printable import printable

COMMANDS = ("convert", "corrupt", "info", "verify", "plot", "show", "compare", "export")


class CommandGroup(click.Group):
    """A group whose commands live in `<name>.commands.<command>`, and that turns expected errors into one line.

    A command's module is imported when the command is called or shown.
    """

    def __init__(self, name: str, commands: tuple[str, ...], help: str) -> None:
        super().__init__(name, help=help, context_settings={"help_option_names": ["-h", "--help"]})
        self.command_names = commands
        click.version_option(package_name="selfie-noisy-labels", message="%(package)s %(version)s")(self)

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.command_names)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self.command_names:
            return None
        python_name = cmd_name.replace("-", "_")
        module = import_module(f"{self.name}.commands.{python_name}")
        return cast(click.Command, getattr(module, python_name))

    def main(self, *args: Any, **kwargs: Any) -> Any:
        try:
            return super().main(*args, **kwargs)
        except DataToolsError as error:
            self._fail(str(error))
        except OSError as error:  # disk full, no permission, a path through a file: the system's own words
            where = f"{error.filename}: " if error.filename else ""
            self._fail(f"{where}{error.strerror or error}; free or choose another place and run it again")
        except MemoryError:
            self._fail("out of memory; close other programs or use a smaller set (--limit)")

    def _fail(self, message: str) -> None:
        print(printable(f"{self.name}: error: {' '.join(message.split())}"), file=sys.stderr)
        sys.exit(1)


main = CommandGroup(
    "datatools",
    COMMANDS,
    """Image sets as binary batches with controlled label noise.

    \b
    datatools convert --dataset cifar10        data/raw -> data/cifar10
    datatools corrupt --rate 0.2 --type pair   data/cifar10 -> data/cifar10-pair-0.2-seed0
    """,
)
