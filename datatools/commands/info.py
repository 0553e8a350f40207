"""`datatools info`."""

from __future__ import annotations

from pathlib import Path

import click

from datatools.commands.options import directory_argument
from datatools.commands.printing import echo, echo_json


@click.command(epilog="Example: datatools info data/cifar10-pair-0.2-seed0 --json")
@directory_argument
@click.option("--json", "as_json", is_flag=True, help="Print JSON for programs instead of a table.")
def info(directory: Path, as_json: bool) -> None:
    """Say what a dataset directory holds."""
    from datatools.format.dataset import open_dataset
    from datatools.info import describe, summary

    facts = describe(open_dataset(directory))
    if as_json:
        echo_json(facts)
        return
    for term, value in summary(facts):
        echo(f"{term:<11} {value}")
