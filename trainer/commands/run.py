"""`trainer run`: a sub-command for each method of the registry."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import click

from datatools.commands.options import NO_FSYNC
from trainer.commands.options import ROOT, setting_option
from trainer.config import CHECKPOINT_EVERY, COMPILATION_CACHE_VARIABLE, RunConfig
from trainer.methods import METHODS
from trainer.methods.base import Method
from trainer.reporters.json_lines import JsonLines
from trainer.settings import settings_of
from trainer.training.signals import Acknowledge, stop_on_signals

SETTINGS = settings_of(RunConfig)
ESTIMATED = "estimated"
"""The --noise-rate that stands for what `trainer estimate-noise` found."""


def _rate(context: click.Context, parameter: click.Parameter, text: str | None) -> float | str | None:
    """Reads a number or "estimated"."""
    if text is None or text == ESTIMATED:
        return text
    try:
        return float(text)
    except ValueError:
        raise click.BadParameter(f"'{text}' is neither a number nor '{ESTIMATED}'") from None


def common_options() -> list[click.Option]:
    """The options that every method takes: what to train on, the settings of a run, and how it is done."""
    return [
        click.Option(
            ["--data"],
            type=click.Path(path_type=Path),
            help="Dataset directory.  [default: the only noisy one under ROOT]",
        ),
        click.Option(["--root"], **ROOT),
        *map(_run_option, SETTINGS),
        click.Option(
            ["--noise-estimate"],
            type=click.Path(path_type=Path),
            metavar="FILE",
            help="File that --noise-rate estimated reads.  [default: beside the dataset directory, "
            "NAME.noise-estimate.json]",
        ),
        click.Option(
            ["--compilation-cache"],
            type=click.Path(path_type=Path),
            envvar=COMPILATION_CACHE_VARIABLE,
            show_envvar=True,
            metavar="DIR|off",
            help="Where compiled steps are kept for the next run (engine jax).  [default: "
            "~/.cache/selfie-noisy-labels/compiled]",
        ),
        click.Option(
            ["--run-dir"],
            type=click.Path(path_type=Path),
            help="Directory for the results.  [default: runs/DATASET/METHOD-NETWORK-seedSEED]",
        ),
        setting_option("checkpoint_every", CHECKPOINT_EVERY, CHECKPOINT_EVERY.default),
        click.Option(
            ["--resume"],
            is_flag=True,
            help="Go on from the checkpoint of an unfinished run, with its settings; start where there is none.",
        ),
        click.Option(["--force"], is_flag=True, help="Resume although code, packages or device are others."),
        click.Option(["--overwrite"], is_flag=True, help="Replace a run that stands there."),
        click.Option(["--no-fsync"], **NO_FSYNC),
        click.Option(
            ["--report-every"],
            type=click.IntRange(min=1),
            default=1,
            show_default=True,
            metavar="E",
            help="Print a line every E epochs, and after a run's last; files have every epoch.",
        ),
        click.Option(
            ["--log-format"],
            type=click.Choice(["text", "json"]),
            default="text",
            show_default=True,
            help="Lines for people, or a JSON object a line for programs.",
        ),
        click.Option(["--tensorboard"], is_flag=True, help="Write TensorBoard event files into the run directory."),
        click.Option(
            ["--quiet"], is_flag=True, help="Print nothing but the result; does not go with --log-format json."
        ),
    ]


def _run_option(name: str) -> click.Option:
    """The option of a setting of a run; --noise-rate also takes a word."""
    option = setting_option(name, SETTINGS[name])
    if name == "noise_rate":
        option.type, option.callback = click.STRING, _rate
    return option


def _method_command(method: type[Method]) -> click.Command:
    title = f"{method.title[0].upper()}{method.title[1:]}."
    return click.Command(
        method.name,
        params=[*common_options(), *(setting_option(*declared) for declared in settings_of(method).items())],
        callback=lambda **options: _run(method, options),
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


def _run(method: type[Method], options: dict[str, Any]) -> None:
    """Check what contradicts; from then on a signal is heard, whatever is loaded or computed."""
    if options["quiet"] and options["log_format"] == "json":
        raise click.UsageError("--quiet and --log-format json do not go together")
    if options["resume"] and options["overwrite"]:
        raise click.UsageError("--resume and --overwrite do not go together: one goes on, one starts anew")
    with _acknowledging(options) as acknowledge, stop_on_signals(acknowledge, ends_process=True):
        _train(method, options)


@contextmanager
def _acknowledging(options: dict[str, Any]) -> Iterator[Acknowledge]:
    """How the line that answers a signal is shown: on the screen, as a note for programs, with --quiet not at all."""
    if options["log_format"] == "json":
        yield JsonLines(sys.stdout).note
        return
    try:
        # of its own: while a framework is imported, what is written to stderr is held back
        screen = os.fdopen(os.dup(2), "w", encoding="utf-8")
    except OSError:  # no stderr at all
        yield lambda text: None
        return
    bar = "\r\033[K" if screen.isatty() else ""

    def show(text: str) -> None:
        with suppress(OSError, ValueError):  # a terminal that is gone, or a run that has ended meanwhile
            print(f"{bar}{text}", file=screen, flush=True)

    with screen:
        yield (lambda text: None) if options["quiet"] else show


def _train(method: type[Method], options: dict[str, Any]) -> None:
    from datatools.format.dataset import open_dataset
    from trainer.config import resolve
    from trainer.runs.directory import CONFIG_FILE, default_directory
    from trainer.runs.run import load_run
    from trainer.training.loop import train

    if options["compilation_cache"] is not None:
        os.environ[COMPILATION_CACHE_VARIABLE] = str(options["compilation_cache"])
    # which dataset and which directory: a run that is resumed by its directory names its dataset itself
    directory = options["run_dir"]
    resumes = options["resume"] and directory is not None and (directory / CONFIG_FILE).is_file()
    if resumes:
        dataset = open_dataset(options["data"] or load_run(directory).dataset_path)
    else:
        dataset = _dataset(options)
    # the settings that were named; the others follow from these, or are those of the run that is resumed
    settings = {name: options[name] for name in SETTINGS if options[name] is not None}
    settings |= _noise_rate(dataset, options)
    method_settings = {name: options[name] for name in settings_of(method) if options[name] is not None}
    if resumes:
        config = _resumed(method, directory, settings, method_settings)
    else:
        config = resolve(method.name, dataset, method_options=method_settings, **settings)
        directory = directory or default_directory(config, dataset)
        if options["resume"] and (directory / CONFIG_FILE).is_file():
            config = _resumed(method, directory, settings, method_settings)
    train(
        config,
        dataset,
        directory,
        _reporter(directory, options),
        **{name: options[name] for name in ("overwrite", "resume", "force", "checkpoint_every")},
    )


def _dataset(options: dict[str, Any]) -> Any:
    from datatools.format.dataset import find_dataset, open_dataset

    if options["data"] is not None:
        return open_dataset(options["data"])
    return find_dataset(options["root"], "noisy", "make one with `datatools corrupt`, or name one with --data")


def _noise_rate(dataset: Any, options: dict[str, Any]) -> dict[str, Any]:
    """The noise rate that was estimated for the dataset, where it is asked for, and that it was estimated."""
    if options["noise_rate"] != ESTIMATED:
        if options["noise_estimate"] is not None:
            raise click.UsageError(f"--noise-estimate goes with --noise-rate {ESTIMATED}")
        return {}
    from trainer.audit.noise_estimate import default_path, read_estimate

    path = options["noise_estimate"] or default_path(dataset)
    return {"noise_rate": read_estimate(path, dataset), "noise_rate_from": f"estimate, {path.name}"}


def _resumed(
    method: type[Method], directory: Path, settings: dict[str, Any], method_settings: dict[str, Any]
) -> RunConfig:
    """The settings of the run in `directory`, with those that were named put over them.

    What is named and differs, `train` refuses; what is not named is the run's.
    """
    from dataclasses import replace

    from trainer.runs.run import load_run

    stored = load_run(directory).config
    if method.name == stored.method:
        method_settings = {**stored.method_settings, **method_settings}
    settings = {name: value for name, value in settings.items() if name != "noise_rate_from"}
    return replace(stored, **settings, method=method.name, method_settings=method_settings)


def _reporter(directory: Path, options: dict[str, Any]) -> Any:
    from trainer.reporters.base import Quiet, ReporterGroup
    from trainer.reporters.console import Console
    from trainer.reporters.tensorboard import EventFiles

    if options["log_format"] == "json":
        shown: Any = JsonLines(sys.stdout)
    else:
        shown = Quiet() if options["quiet"] else Console(options["report_every"])
    return ReporterGroup([shown, EventFiles(directory)]) if options["tensorboard"] else shown
