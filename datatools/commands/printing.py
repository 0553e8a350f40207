"""Where commands print: what they say holds names from files, and these are escaped here."""

from __future__ import annotations

import json
from typing import Any

import click

from datatools.printable import printable, printable_json


def echo(line: object = "", *, err: bool = False) -> None:
    """Print one line, on stdout or stderr; see `printable`."""
    click.echo(printable(line), err=err)


def echo_json(value: Any) -> None:
    """Print a value as JSON for programs, which read from it what was in the files."""
    click.echo(printable_json(json.dumps(value, indent=2, ensure_ascii=False)))
