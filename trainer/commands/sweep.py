"""`trainer sweep`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from datatools.commands.options import no_fsync_option
from datatools.commands.printing import echo
from trainer.commands.options import ROOT, setting_options
from trainer.sweep import EXECUTORS
from trainer.sweep.grid import SHARED


def _list(kind: Callable[[str], Any]) -> Callable[[click.Context, click.Parameter, str | None], Any]:
    """A callback that reads "a,b,c" as a tuple of `kind`."""

    def read(context: click.Context, parameter: click.Parameter, text: str | None) -> Any:
        if text is None:
            return None
        try:
            return tuple(kind(part.strip()) for part in text.split(",") if part.strip())
        except ValueError:
            raise click.BadParameter(f"'{text}' is not a list of numbers with commas between") from None

    return read


def _method_options(context: click.Context, parameter: click.Parameter, texts: tuple[str, ...]) -> Any:
    """Reads METHOD.OPTION=VALUE into {method: {option: value}}."""
    options: dict[str, dict[str, Any]] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        method, dot, option = name.partition(".")
        if not (equals and dot and method and option and value):
            raise click.BadParameter(f"'{text}' is not METHOD.OPTION=VALUE, as selfie.restarts=1 is")
        options.setdefault(method, {})[option.replace("-", "_")] = _value(value)
    return options


def _value(text: str) -> Any:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


@click.command(
    epilog="Example: trainer sweep --dataset digits --noise pair --rates 0,0.2,0.4 --methods default,selfie "
    "--seeds 0,1,2 --preset quick"
)
@click.option(
    "--file", type=click.Path(path_type=Path, dir_okay=False), help="TOML file with the grid; options override it."
)
@click.option(
    "--dataset",
    "datasets",
    metavar="NAME,…",
    callback=_list(str),
    help="Clean datasets under ROOT, or image sets that `datatools convert` knows; these are converted.",
)
@click.option("--source", metavar="PATH|URL", help="What to convert from, for one dataset.  [default: under ROOT/raw]")
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="Convert the first N records of each split.")
@click.option("--noise", metavar="TYPE,…", callback=_list(str), help="Noise types.  [default: pair]")
@click.option(
    "--rates",
    metavar="R,…",
    callback=_list(float),
    help="Noise rates in [0, 1); 0 is the clean dataset.  [default: 0,0.1,0.2,0.3,0.4]",
)
@click.option("--methods", metavar="METHOD,…", callback=_list(str), help="Methods to compare.")
@click.option("--networks", metavar="NAME,…", callback=_list(str), help="Networks.  [default: the preset's]")
@click.option(
    "--seeds", metavar="S,…", callback=_list(int), help="Seeds, of the noise and of the training alike.  [default: 0]"
)
@setting_options(SHARED)
@click.option(
    "--set",
    "options",
    multiple=True,
    metavar="METHOD.OPTION=VALUE",
    callback=_method_options,
    help="An option of one method's own, as selfie.restarts=1; may be given several times.",
)
@click.option("--root", **ROOT)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path("runs/sweep"),
    show_default=True,
    help="Folder for the run directories and sweep.json.",
)
@click.option(
    "--executor",
    type=click.Choice(list(EXECUTORS)),
    default="local",
    show_default=True,
    help="Processes of this machine, or tasks of a Ray cluster whose nodes see the same files.",
)
@click.option("--address", metavar="HOST:PORT", help="A running Ray cluster.  [default: start one on this machine]")
@click.option(
    "--jobs",
    type=click.IntRange(min=1),
    metavar="N",
    help="Cells at a time.  [default: one a GPU, else as many as the processors give threads for]",
)
@click.option(
    "--threads", type=click.IntRange(min=1), default=1, show_default=True, metavar="N", help="CPU threads of each cell."
)
@click.option(
    "--gpus",
    type=click.FloatRange(min=0),
    metavar="G",
    help="GPUs of each cell, with Ray also a share of one.  [default: 1 where there is one, 0 with --device cpu]",
)
@click.option(
    "--memory", type=click.IntRange(min=1), metavar="MIB", help="Memory that Ray sets aside for each cell, in MiB."
)
@click.option("--force", is_flag=True, help="Resume cells although code, packages or device are others.")
@no_fsync_option
@click.option("--dry-run", is_flag=True, help="Print the plan and its cost, and do nothing.")
@click.option("--quiet", is_flag=True, help="Print nothing but what failed.")
def sweep(**given: Any) -> None:
    """Run a grid of datasets, noise, methods, networks and seeds.

    Each cell is an ordinary run directory below --out. A finished cell is skipped, one that was interrupted goes on
    from its checkpoint, and one that fails is kept with its error and does not stop the rest: the same command again
    does what is left. The noisy datasets are made where they are missing.
    """
    from trainer.errors import TrainerError
    from trainer.sweep.executor import Resources
    from trainer.sweep.grid import LISTS, merged, read_toml
    from trainer.sweep.loop import SWEEP_FILE
    from trainer.sweep.loop import sweep as run_sweep

    named = {key: given[key] for key in (*LISTS, "source", "limit") if given[key] is not None}
    settings = {key: given[key] for key in SHARED if given[key] is not None}
    file = read_toml(given["file"]) if given["file"] is not None else {}
    grid = merged(file, {**named, "settings": settings, "options": given["options"]})
    resources = Resources(
        threads=given["threads"],
        gpus=_gpus(given["gpus"], grid.settings.get("device", "auto")),
        memory=given["memory"],
        jobs=given["jobs"],
        address=given["address"],
        force=given["force"],
    )
    if given["dry_run"]:
        _show_plan(grid, given["root"], given["out"], given["executor"], resources)
        return
    outcome = run_sweep(grid, given["root"], given["out"], given["executor"], resources, given["quiet"])
    failed = [cell for cell in outcome["cells"] if cell["state"] == "failed"]
    for cell in failed:
        echo(f"failed: {cell['run']}: {cell['error']}", err=True)
    done = len(outcome["cells"]) - len(failed)
    total = len(outcome["cells"])
    summary = f"{given['out']}: {done} of {total} cells finished; see {SWEEP_FILE}, `trainer report {given['out']}`"
    if failed:
        raise TrainerError(f"{summary}; {len(failed)} failed, the same command tries them again")
    if not given["quiet"]:
        echo(summary)


def _gpus(given: float | None, device: str) -> float:
    from trainer.sweep.local import count_gpus

    if given is not None:
        return given
    return 0.0 if device == "cpu" or not count_gpus() else 1.0


def _show_plan(grid: Any, root: Path, out: Path, executor: str, resources: Any) -> None:
    """Print every cell with its state, and what is to be done in all."""
    from trainer.reporters.console import duration
    from trainer.sweep.local import slots
    from trainer.sweep.plan import cost, estimate_seconds, state

    cells = grid.cells()
    for cell in cells:
        echo(f"{state(out / cell.name):<9} {cell.name}  {cost(cell).epochs} epochs")
    left = [cell for cell in cells if state(out / cell.name) != "finished"]
    echo(f"{len(cells)} cells, {len(left)} to be run, {sum(cost(cell).epochs for cell in left):,} epochs")
    if executor == "ray":
        return
    seconds = estimate_seconds(grid, left, root, resources.threads)
    if seconds is None:
        echo("no estimate of the time: a dataset is not converted yet (`datatools convert`)")
    else:
        jobs, _ = slots(resources)
        echo(f"about {duration(seconds / jobs)} here, {jobs} at a time")
