"""`trainer run`: a sub-command for each method of the registry."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click

from trainer.commands.options import ENGINE, NETWORK_NAMES, ROOT
from trainer.methods import METHODS
from trainer.methods.base import Method, Option

ESTIMATED = "estimated"
"""The --noise-rate that stands for what `trainer estimate-noise` found."""


def _presets() -> str:
    from trainer.config import PRESETS

    return "; ".join(
        f"{name}: {p.title} ({p.network}, {p.epochs} epochs, batch {p.batch_size}, learning rate {p.learning_rate:g})"
        for name, p in PRESETS.items()
    )


def _rate(context: click.Context, parameter: click.Parameter, text: str | None) -> float | str | None:
    """Reads a number or "estimated"."""
    if text is None or text == ESTIMATED:
        return text
    try:
        return float(text)
    except ValueError:
        raise click.BadParameter(f"'{text}' is neither a number nor '{ESTIMATED}'") from None


def common_options() -> list[click.Option]:
    """The options that every method takes."""
    return [
        click.Option(
            ["--data"],
            type=click.Path(path_type=Path),
            help="Dataset directory.  [default: the only noisy one under ROOT]",
        ),
        click.Option(["--root"], **ROOT),
        click.Option(
            ["--preset"],
            type=click.Choice(["paper", "quick"]),
            default="paper",
            show_default=True,
            help=f"Values for what is not given. {_presets()}.",
        ),
        click.Option(["--network"], type=NETWORK_NAMES, help="Which network.  [default: the preset's]"),
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
            callback=_rate,
            metavar="R|estimated",
            help="Share of wrong labels the method is told, in [0, 1); estimated: what `trainer estimate-noise` found. "
            " [default: a noisy dataset's realised rate, 0 for a clean dataset]",
        ),
        click.Option(
            ["--noise-estimate"],
            type=click.Path(path_type=Path),
            metavar="FILE",
            help="File that --noise-rate estimated reads.  [default: beside the dataset directory, "
            "NAME.noise-estimate.json]",
        ),
        click.Option(
            ["--seed"],
            type=click.IntRange(min=0),
            default=0,
            show_default=True,
            help="Weights, order and dropout; the same seed gives the same run.",
        ),
        click.Option(
            ["--variant"],
            type=click.Choice(["paper", "official", "official-2019"]),
            default="paper",
            show_default=True,
            help="Whose defaults: the papers', or those of SELFIE's official code, its present head or its first "
            "release (independent mini-batches, four runs, two passes a step).",
        ),
        click.Option(
            ["--sampling"],
            type=click.Choice(["permutation", "independent"]),
            help="Mini-batches: every sample once an epoch, or each batch drawn from all samples.  [default: "
            "permutation; independent with --variant official]",
        ),
        click.Option(
            ["--momentum-form"],
            type=click.Choice(["velocity", "accumulator"]),
            help="What stays when the learning rate drops: past steps as they were (Keras), or past gradients "
            "(TensorFlow 1, PyTorch).  [default: velocity; accumulator with --variant official]",
        ),
        click.Option(
            ["--validation-fraction"],
            type=float,
            default=0.0,
            show_default=True,
            metavar="F",
            help="Share of the training samples to hold out, with the labels they have, in [0, 1); an epoch is "
            "selected on them.",
        ),
        click.Option(["--engine"], **ENGINE),
        click.Option(
            ["--device"],
            default="auto",
            show_default=True,
            metavar="auto|cpu|gpu|gpu:N",
            help="Where to train; auto takes a GPU when there is one, gpu:N the GPU of number N, from 0.",
        ),
        click.Option(
            ["--precision"],
            type=click.Choice(["float32", "tf32", "bfloat16"]),
            default="float32",
            show_default=True,
            help="What the network computes in; weights, logits and losses are float32. tf32: products of float32 "
            "numbers, rounded to 10 bits first where a GPU can (a CPU does not round).",
        ),
        click.Option(
            ["--deterministic"],
            is_flag=True,
            help="On a GPU, take only operations that give the same bits each time, so that a resumed run is the "
            "uninterrupted one; slower. A CPU always does.",
        ),
        click.Option(
            ["--compilation-cache"],
            type=click.Path(path_type=Path),
            envvar="TRAINER_COMPILATION_CACHE",
            show_envvar=True,
            metavar="DIR|off",
            help="Where compiled steps are kept for the next run (engine jax).  [default: "
            "~/.cache/selfie-noisy-labels/compiled]",
        ),
        click.Option(
            ["--device-memory"],
            type=click.IntRange(min=1),
            metavar="MIB",
            help="Images may take this much of the device, in MiB; a larger set is read from its files while it "
            "trains.  [default: no limit]",
        ),
        click.Option(
            ["--run-dir"],
            type=click.Path(path_type=Path),
            help="Directory for the results.  [default: runs/DATASET/METHOD-NETWORK-seedSEED]",
        ),
        click.Option(
            ["--checkpoint-every"],
            type=click.IntRange(min=1),
            default=1,
            show_default=True,
            metavar="E",
            help="Epochs from one checkpoint to the next; Ctrl-C and SIGTERM save one too.",
        ),
        click.Option(
            ["--resume"],
            is_flag=True,
            help="Go on from the checkpoint of an unfinished run, with its settings; start where there is none.",
        ),
        click.Option(["--force"], is_flag=True, help="Resume although code, packages or device are others."),
        click.Option(["--overwrite"], is_flag=True, help="Replace a run that stands there."),
        click.Option(
            ["--report-every"],
            type=click.IntRange(min=1),
            default=1,
            show_default=True,
            metavar="E",
            help="Print a line every E epochs, and after a run's last.",
        ),
        click.Option(
            ["--log-format"],
            type=click.Choice(["text", "json"]),
            default="text",
            show_default=True,
            help="Lines for people, or a JSON object a line for programs.",
        ),
        click.Option(["--tensorboard"], is_flag=True, help="Write TensorBoard event files into the run directory."),
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
        callback=click.pass_context(lambda context, **given: _run(method, context, given)),
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


SETTINGS = (
    "preset",
    "network",
    "epochs",
    "batch_size",
    "learning_rate",
    "noise_rate",
    "seed",
    "variant",
    "sampling",
    "momentum_form",
    "validation_fraction",
    "engine",
    "device",
    "precision",
    "deterministic",
    "device_memory",
)
"""The common options that are settings of `trainer.config.resolve`, by their names there."""


def _run(method: type[Method], context: click.Context, given: dict[str, Any]) -> None:
    from datatools.format.dataset import open_dataset
    from trainer.runs.directory import CONFIG_FILE, read_config
    from trainer.training.loop import train

    if given["quiet"] and given["log_format"] == "json":
        raise click.UsageError("--quiet and --log-format json do not go together")
    if given["resume"] and given["overwrite"]:
        raise click.UsageError("--resume and --overwrite do not go together: one goes on, one starts anew")
    if given["compilation_cache"] is not None:
        os.environ["TRAINER_COMPILATION_CACHE"] = str(given["compilation_cache"])
    own = {option.name: given[option.name] for option in method.options if given[option.name] is not None}
    directory = given["run_dir"]
    if given["resume"] and directory is not None and (directory / CONFIG_FILE).is_file():
        dataset = open_dataset(given["data"] or read_config(directory)[1])
        _read_estimate(dataset, given)
        config = _resumed(method, directory, context, given, own)
    else:
        dataset = _dataset(given)
        _read_estimate(dataset, given)
        config = _resolve(method, dataset, given, own)
        directory = directory or (
            Path("runs") / dataset.metadata.name / f"{config.method}-{config.network}-seed{config.seed}"
        )
        if given["resume"] and (directory / CONFIG_FILE).is_file():
            config = _resumed(method, directory, context, given, own)
    train(
        config,
        dataset,
        directory,
        _reporter(directory, given),
        **{key: given[key] for key in ("overwrite", "resume", "force", "checkpoint_every")},
    )


def _dataset(given: dict[str, Any]) -> Any:
    from datatools.format.dataset import find_dataset, open_dataset

    if given["data"] is not None:
        return open_dataset(given["data"])
    return find_dataset(given["root"], "noisy", "make one with `datatools corrupt`, or name one with --data")


def _read_estimate(dataset: Any, given: dict[str, Any]) -> None:
    """Put the rate that was estimated for the dataset in the place of "estimated"."""
    if given["noise_rate"] != ESTIMATED:
        if given["noise_estimate"] is not None:
            raise click.UsageError(f"--noise-estimate goes with --noise-rate {ESTIMATED}")
        return
    from trainer.audit.noise_estimate import default_path, read_estimate

    path = given["noise_estimate"] or default_path(dataset)
    given["noise_rate"] = read_estimate(path, dataset)
    given["noise_rate_from"] = f"estimate, {path.name}"


def _resolve(method: type[Method], dataset: Any, given: dict[str, Any], own: dict[str, Any]) -> Any:
    from trainer.config import resolve

    settings = {key: given[key] for key in SETTINGS}
    return resolve(method.name, dataset, noise_rate_from=given.get("noise_rate_from"), method_options=own, **settings)


def _resumed(
    method: type[Method], directory: Path, context: click.Context, given: dict[str, Any], own: dict[str, Any]
) -> Any:
    """The settings of the run in `directory`, with what was given on the command line put over them.

    What is given and differs, `train` refuses with its name; what is not given is the run's.
    """
    from dataclasses import replace

    from click.core import ParameterSource

    from trainer.runs.directory import read_config

    stored, _ = read_config(directory)
    named = {
        key: given[key]
        for key in SETTINGS
        if context.get_parameter_source(key) not in (ParameterSource.DEFAULT, ParameterSource.DEFAULT_MAP, None)
    }
    own_settings = {**stored.method_settings, **own} if method.name == stored.method else own
    return replace(stored, **{"method": method.name, **named, "method_settings": own_settings})


def _reporter(directory: Path, given: dict[str, Any]) -> Any:
    import sys

    from trainer.reporters.base import Quiet, Several
    from trainer.reporters.console import Console
    from trainer.reporters.json_lines import JsonLines
    from trainer.reporters.tensorboard import EventFiles

    if given["log_format"] == "json":
        shown: Any = JsonLines(sys.stdout)
    else:
        shown = Quiet() if given["quiet"] else Console(given["report_every"])
    return Several([shown, EventFiles(directory)]) if given["tensorboard"] else shown
