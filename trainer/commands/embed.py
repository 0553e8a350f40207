"""`trainer embed`."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from datatools.commands.options import no_fsync_option
from datatools.commands.printing import echo
from datatools.printable import printable
from trainer.config import ENGINES

LINE_EVERY_SECONDS = 5.0
BAR_EVERY_SECONDS = 0.5


class _Speed:
    """Shows how many images are done, how many a second, and the time left: a line that is written over on a terminal,
    elsewhere a line every few seconds."""

    def __init__(self, title: str) -> None:
        self.title, self.on_terminal = printable(title), sys.stderr.isatty()
        self.every = BAR_EVERY_SECONDS if self.on_terminal else LINE_EVERY_SECONDS
        self.first: tuple[float, int] | None = None
        self.due = 0.0

    def __call__(self, done: int, total: int) -> None:
        from trainer.reporters.console import duration

        now = time.monotonic()
        if self.first is None:  # the first batch also compiles
            self.first, self.due = (now, done), now + self.every
        if now < self.due or done == total:
            return
        self.due = now + self.every
        started, before = self.first
        speed = (done - before) / (now - started)
        left = f", {duration((total - done) / speed)} left" if speed else ""
        text = f"{self.title}: {done:,} of {total:,} images, {speed:,.0f} images/s{left}"
        print(f"\r\033[K{text}" if self.on_terminal else text, end="" if self.on_terminal else "\n", file=sys.stderr)
        sys.stderr.flush()

    def end(self) -> None:
        """Take the line off the terminal."""
        if self.on_terminal and self.first is not None:
            print("\r\033[K", end="", file=sys.stderr, flush=True)


@contextmanager
def _speed(title: str) -> Iterator[_Speed]:
    speed = _Speed(title)
    try:
        yield speed
    finally:
        speed.end()


@click.command(epilog="Example: trainer embed --data data/my_photos --backbone efficientnet-lite0 --size 160")
@click.option("--data", required=True, type=click.Path(path_type=Path), help="Dataset directory, of any labels.")
@click.option(
    "--backbone",
    default="efficientnet-lite0",
    show_default=True,
    metavar="NAME",
    help="The network: efficientnet-lite0, -lite1 or -lite2, whose weights come with the extra `pretrained`, or "
    "keras:NAME for one of keras.applications, as keras:MobileNetV3Small, whose weights Keras downloads.",
)
@click.option(
    "--size",
    type=int,
    default=160,
    show_default=True,
    metavar="PIXELS",
    help="Side of the square that each image is resized to, 32 to 1024 pixels, by a bicubic filter.",
)
@click.option(
    "--weights",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Weights: .pth for efficientnet-lite, .weights.h5 or .h5 for keras:NAME.  [default: the backbone's own]",
)
@click.option(
    "--dtype",
    type=click.Choice(["float16", "float32"]),
    default="float16",
    show_default=True,
    help="Of the numbers in the file; float16 keeps three digits of each and takes half the room.",
)
@click.option(
    "--batch-size",
    type=click.IntRange(min=1),
    default=64,
    show_default=True,
    metavar="B",
    help="Images that go through the network at a time.",
)
@click.option(
    "--engine",
    type=click.Choice(list(ENGINES)),
    default="tensorflow",
    show_default=True,
    envvar="KERAS_BACKEND",
    show_envvar=True,
    help="What runs the network.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Features file, .h5.  [default: features/BACKBONE-SIZE-DIGEST.h5 beside the dataset directory]",
)
@click.option("--overwrite", is_flag=True, help="Replace other features that stand there.")
@no_fsync_option
def embed(data: Path, backbone: str, **given: Any) -> None:
    """Make pretrained features of a dataset's images, for `trainer run METHOD --features`.

    Each image of both splits goes through a network that was trained on other images; the numbers before its classifier
    are written to a features file. Labels play no part: the file serves every noisy version of the same images.
    Features that are there already are not made again.
    """
    from datatools.format.dataset import open_dataset
    from trainer.features.embedding import make_features

    dataset = open_dataset(data)
    with _speed(f"embed {data.name}") as progress:
        made = make_features(dataset, backbone, **given, progress=progress)
    if not made.is_new:
        echo(f"{made.path}: there already")
        return
    counts = " and ".join(f"{dataset.metadata.num_records(split):,} {split}" for split in dataset.metadata.splits)
    name = backbone if given["out"] is None else made.path
    echo(f"{made.path}: features of {counts} images by {backbone}; train on them with --features {name}")
