"""What the commands do, for Python: `train` and `predict`. `trainer.runs.run.load_run` opens what they leave."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from datatools.format.dataset import Dataset, open_dataset
from trainer.config import resolve
from trainer.errors import TrainerError
from trainer.methods import METHODS
from trainer.runs.directory import default_directory
from trainer.runs.run import Run, load_run
from trainer.settings import settings_of

if TYPE_CHECKING:
    from trainer.reporters.base import Reporter


def train(
    method: str,
    dataset: Dataset | Path | str,
    directory: Path | str | None = None,
    *,
    reporter: Reporter | None = None,
    overwrite: bool = False,
    resume: bool = False,
    force: bool = False,
    checkpoint_every: int = 1,
    **settings: Any,
) -> Run:
    """Train a method on a dataset, as `trainer run` does.

    Args:
        method: a name of METHODS. dataset: opened, or its directory.
        directory: of the run; None for runs/DATASET/METHOD-NETWORK-seedSEED.
        reporter: who is told of it; None for the lines and the bar of the command.
        overwrite, resume, force, checkpoint_every: as the options of the command.
        settings: the other options of the command by their names, with underscores, a method's own among them:
            preset, network, epochs, seed, …, warm_up, ….

    Returns:
        The finished run.

    Raises:
        TypeError: a setting that neither the command nor the method has.
        TrainerError: as the command says it.
    """
    from trainer.reporters.console import Console
    from trainer.training.loop import train as train_run

    if method not in METHODS:
        raise TrainerError(f"method '{method}': not known; known are {', '.join(METHODS)}")
    opened = dataset if isinstance(dataset, Dataset) else open_dataset(dataset)
    of_method = settings_of(METHODS[method])
    options = {name: value for name, value in settings.items() if name in of_method}
    config = resolve(
        method,
        opened,
        method_options=options,
        **{name: value for name, value in settings.items() if name not in of_method},
    )
    if directory is None:
        directory = default_directory(config, opened)
    train_run(
        config,
        opened,
        Path(directory),
        Console() if reporter is None else reporter,
        overwrite=overwrite,
        resume=resume,
        force=force,
        checkpoint_every=checkpoint_every,
    )
    return load_run(directory)


def predict(run: Run | Path | str, images: np.ndarray, which: str = "last") -> np.ndarray:
    """Class probabilities of images, by the first network of a finished run.

    Of a method whose networks are tested together, as ELR+ and DivideMix, they are of the mean of their logits.

    Args:
        run: opened, or its directory. images: (N, H, W, C) uint8, of the size that it was trained on; for a run on
            features, (N, D) of them, as they are in their file. which: "last", or "selected" for the epoch selected on
            held-out samples.

    Returns:
        (N, K) float32, each row sums to 1.

    Raises:
        TrainerError: the run is not finished, or has no such weights; or the images are of another kind or shape.
    """
    from trainer.engine.prediction import predict as predict_probabilities

    opened = run if isinstance(run, Run) else load_run(run)
    method = METHODS[opened.config.method]
    count = method.num_networks if method.tested_together else 1
    networks = [opened.network(which, number) for number in range(1, count + 1)]
    expected = tuple(networks[0].input_shape[1:])
    scaling = opened.scaling
    if scaling is not None:
        if images.dtype.kind != "f" or images.shape[1:] != expected:
            raise TrainerError(
                f"features of shape {images.shape}, {images.dtype}: (N, {expected[0]}) floats are expected, of the "
                "model that made those of the run"
            )
        return predict_probabilities(networks, scaling.apply(images))
    if images.dtype != np.uint8 or images.shape[1:] != expected:
        raise TrainerError(
            f"images of shape {images.shape}, {images.dtype}: (N, {', '.join(map(str, expected))}) uint8 is expected"
        )
    return predict_probabilities(networks, images)
