"""The one exception that a user's input can cause.

Raised wherever input is at fault, with a message of one line that says what was found, where, what was
expected and what to do. The command line prints that line and exits with 1; everything else is a bug and
keeps its traceback.
"""

from __future__ import annotations

from collections.abc import Sequence


class DataToolsError(Exception):
    """One line for the user: what, where, what was expected, what to do."""


class TakenError(DataToolsError):
    """What was to be written exists already, and it was not asked to be replaced.

    Another process may have made it meanwhile: one that would have made the same can go on with it.
    """


def listed(names: Sequence[object], limit: int = 5) -> str:
    """`names` as "a, b, c", cut after `limit` with the count of the rest."""
    shown = ", ".join(str(name) for name in names[:limit])
    return shown if len(names) <= limit else f"{shown} and {len(names) - limit} more"
