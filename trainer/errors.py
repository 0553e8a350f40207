"""The trainer's own expected error; the door treats it as datatools' one."""

from __future__ import annotations

from datatools.errors import DataToolsError


class TrainerError(DataToolsError):
    """One line for the user: what, where, what was expected, what to do."""
