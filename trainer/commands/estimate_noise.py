"""`trainer estimate-noise`."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import click

from datatools.commands.options import no_fsync_option
from datatools.commands.printing import echo
from trainer.commands.options import ROOT, setting_options
from trainer.config import RunConfig
from trainer.settings import settings_of

DEFAULTS = {
    "network": "small-cnn",
    "epochs": 15,
    "batch_size": 64,
    "learning_rate": 0.05,
    "seed": 0,
    "engine": "tensorflow",
    "device": "auto",
}
"""The settings of the networks that predict; they have to learn the classes, not to be the best."""


@click.command("estimate-noise", epilog="Example: trainer estimate-noise --data data/photos")
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    help="Dataset directory.  [default: the only one with labels of unknown quality under ROOT]",
)
@click.option("--root", **ROOT)
@click.option(
    "--folds",
    type=click.IntRange(min=2),
    default=5,
    show_default=True,
    metavar="K",
    help="Each K-th of the images is predicted by a network that was trained on the others.",
)
@setting_options({name: settings_of(RunConfig)[name] for name in DEFAULTS}, DEFAULTS)
@click.option(
    "--bootstrap",
    "repeats",
    type=click.IntRange(min=20),
    default=200,
    show_default=True,
    metavar="N",
    help="How often the figures are taken anew on samples drawn with replacement, for their interval.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="File to write, .json.  [default: beside the dataset directory, NAME.noise-estimate.json, where "
    "a run with --noise-rate estimated looks for it]",
)
@click.option("--overwrite", is_flag=True, help="Replace a file that stands there.")
@no_fsync_option
def estimate_noise(data: Path | None, root: Path, out: Path | None, **given: Any) -> None:
    """Estimate the noise rate and the transition matrix of a dataset that nobody knows.

    Trains a quick network on all but one of K folds and predicts that one, for each, and counts where the predictions
    confidently contradict the labels. Prints two estimates with their 95% intervals, and beside them the truth where a
    manifest tells it. `trainer run selfie --noise-rate estimated` reads the file it writes.
    """
    from datatools.format.dataset import find_dataset, open_dataset
    from datatools.progress import progress_bar
    from trainer.audit.noise_estimate import default_path, summary
    from trainer.audit.noise_estimate import estimate_noise as run_estimate

    dataset = (
        open_dataset(data)
        if data is not None
        else find_dataset(root, "unknown", "name one with --data; the noise rate of the others is known")
    )
    out = out or default_path(dataset)
    with ExitStack() as bars:
        content = run_estimate(
            dataset,
            out,
            training_progress=bars.enter_context(progress_bar(f"train on {dataset.path.name}", "epochs")),
            bootstrap_progress=_following(bars, "bootstrap", "repeats"),
            **given,
        )
    for line in summary(content):
        echo(line)
    where = "" if out == default_path(dataset) else f" --noise-estimate {out}"
    reader = f"trainer run selfie --data {dataset.path} --noise-rate estimated{where}"
    echo(f"{out}: the estimate; `{reader}` reads it")


def _following(bars: ExitStack, title: str, unit: str) -> Callable[[int, int], None]:
    """A progress bar that takes the place of those before it when it is first called."""
    shown: list[Callable[[int, int], None]] = []

    def show(done: int, total: int) -> None:
        from datatools.progress import progress_bar

        if not shown:
            bars.close()
            shown.append(bars.enter_context(progress_bar(title, unit)))
        shown[0](done, total)

    return show
