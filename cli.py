"""The door of the checkout: `python cli.py datatools …` and `python cli.py trainer …`, without an installation.

The two groups live in their packages, where the installed commands `datatools` and `trainer` start too; a wheel
does not hold this file. A group is imported when it is first used: `datatools` needs nothing of `trainer`.
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from datatools.commands import COMMANDS as DATATOOLS_COMMANDS
    from datatools.commands import main as datatools
    from trainer.commands import COMMANDS as TRAINER_COMMANDS
    from trainer.commands import main as trainer

__all__ = ["DATATOOLS_COMMANDS", "TRAINER_COMMANDS", "datatools", "trainer"]

GROUPS = ("datatools", "trainer")


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'cli' has no attribute '{name}'")
    group = name.partition("_")[0].lower()
    return getattr(import_module(f"{group}.commands"), "main" if name == group else "COMMANDS")


def main(arguments: list[str]) -> None:
    """Hand `arguments` after the first to the group that the first one names."""
    if not arguments or arguments[0] not in GROUPS:
        sys.exit(f"usage: python cli.py {{{','.join(GROUPS)}}} COMMAND …; --help after either shows its commands")
    group, *rest = arguments
    __getattr__(group).main(rest, prog_name=f"python cli.py {group}")


if __name__ == "__main__":
    main(sys.argv[1:])
