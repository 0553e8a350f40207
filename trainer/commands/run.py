"""`trainer run`: a sub-command for each method of the registry."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from trainer.methods import METHODS
from trainer.methods.base import Method, Option


def _networks() -> list[str]:
    from trainer.networks import NETWORKS

    return list(NETWORKS)


def _presets() -> str:
    from trainer.config import PRESETS

    return "; ".join(
        f"{name}: {p.title} ({p.network}, {p.epochs} epochs, batch {p.batch_size}, learning rate {p.learning_rate:g})"
        for name, p in PRESETS.items()
    )


def common_options() -> list[click.Option]:
    """The options that every method takes."""
    return [
        click.Option(
            ["--data"],
            type=click.Path(path_type=Path),
            help="Dataset directory.  [default: the only noisy one under ROOT]",
        ),
        click.Option(
            ["--root"],
            type=click.Path(path_type=Path, file_okay=False),
            default=Path("data"),
            show_default=True,
            envvar="DATATOOLS_ROOT",
            show_envvar=True,
            help="Folder where datasets live.",
        ),
        click.Option(
            ["--preset"],
            type=click.Choice(["paper", "quick"]),
            default="paper",
            show_default=True,
            help=f"Values for what is not given. {_presets()}.",
        ),
        click.Option(["--network"], type=click.Choice(_networks()), help="Which network.  [default: the preset's]"),
        click.Option(
            ["--epochs"],
            type=click.IntRange(min=1),
            metavar="E",
            help="Epochs a run.  [default: the preset's]",
        ),
        click.Option(
            ["--batch-size"],
            type=click.IntRange(min=2),
            metavar="B",
            help="Images a step.  [default: the preset's]",
        ),
        click.Option(
            ["--learning-rate"],
            type=float,
            metavar="LR",
            help="First learning rate; a fifth of it from 50%, a 25th from 75% of the epochs.  [default: the preset's]",
        ),
        click.Option(
            ["--noise-rate"],
            type=float,
            metavar="R",
            help="Share of wrong labels the method is told, in [0, 1).  [default: a noisy dataset's realised rate, "
            "0 for a clean dataset]",
        ),
        click.Option(
            ["--seed"],
            type=click.IntRange(min=0),
            default=0,
            show_default=True,
            help="Weights, order and dropout; the same seed gives the same run.",
        ),
        click.Option(
            ["--engine"],
            type=click.Choice(["tensorflow"]),
            default="tensorflow",
            show_default=True,
            help="What trains the networks.",
        ),
        click.Option(
            ["--run-dir"],
            type=click.Path(path_type=Path),
            help="Directory for the results.  [default: runs/DATASET/METHOD-NETWORK-seedSEED]",
        ),
        click.Option(["--overwrite"], is_flag=True, help="Replace a run that stands there."),
        click.Option(
            ["--report-every"],
            type=click.IntRange(min=1),
            default=1,
            show_default=True,
            metavar="E",
            help="Print a line every E epochs, and after a run's last.",
        ),
        click.Option(["--quiet"], is_flag=True, help="Print nothing but the result."),
    ]


def _method_option(option: Option) -> click.Option:
    kind: click.ParamType
    if option.choices:
        kind = click.Choice(option.choices)
    elif option.kind is int:
        kind = click.IntRange(
            min=None if option.minimum is None else int(option.minimum),
            max=None if option.maximum is None else int(option.maximum),
        )
    else:
        kind = click.FloatRange(min=option.minimum, max=option.maximum)
    return click.Option(
        [f"--{option.name.replace('_', '-')}"], type=kind, help=f"{option.help}  [default: {option.default}]"
    )


def _method_command(method: type[Method]) -> click.Command:
    title = f"{method.title[0].upper()}{method.title[1:]}."
    return click.Command(
        method.name,
        params=[*common_options(), *(_method_option(option) for option in method.options)],
        callback=lambda **given: _run(method, given),
        help=title,
        short_help=title,
        epilog=f"Example: trainer run {method.name} --preset quick",
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    )


class _Methods(click.Group):
    """A sub-command for each method of the registry, each with the method's own options."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(METHODS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        return _method_command(METHODS[cmd_name]) if cmd_name in METHODS else None


run = _Methods(
    "run",
    help="Train with one method and log it. Each method has options of its own: trainer run METHOD --help",
    short_help="Train with one method and log it.",
    subcommand_metavar="METHOD [OPTIONS]",
    epilog="Example: trainer run selfie --preset quick",
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _run(method: type[Method], given: dict[str, Any]) -> None:
    from datatools.dataset import find_dataset, open_dataset
    from trainer.config import resolve
    from trainer.console import Console, Quiet
    from trainer.loop import train

    dataset = (
        open_dataset(given["data"])
        if given["data"] is not None
        else find_dataset(given["root"], "noisy", "make one with `datatools corrupt`, or name one with --data")
    )
    config = resolve(
        method.name,
        dataset,
        **{
            key: given[key]
            for key in (
                "preset",
                "network",
                "epochs",
                "batch_size",
                "learning_rate",
                "noise_rate",
                "seed",
                "engine",
            )
        },
        method_options={o.name: given[o.name] for o in method.options if given[o.name] is not None},
    )
    directory = given["run_dir"] or (
        Path("runs") / dataset.metadata.name / f"{config.method}-{config.network}-seed{config.seed}"
    )
    reporter = Quiet() if given["quiet"] else Console(given["report_every"])
    result = train(config, dataset, directory, reporter, given["overwrite"])
    click.echo(
        f"{directory}: test error best {result['best_test_error']:.2%}, last {result['last_test_error']:.2%}, mean of "
        f"the last 10 epochs {result['mean_last10_test_error']:.2%}"
    )
