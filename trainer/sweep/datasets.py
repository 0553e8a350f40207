"""What the cells of a sweep train on: clean datasets, converted where they are missing, and their noisy copies."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

from datatools.conversion import convert
from datatools.corruption import corrupt, default_name
from datatools.errors import DataToolsError, TakenError
from datatools.format.dataset import Dataset, open_dataset
from datatools.format.metadata import DATASET_FILE
from datatools.sources import SOURCES
from trainer.errors import TrainerError
from trainer.sweep.grid import Cell, Grid

Say = Callable[[str], None]


def prepare(grid: Grid, cells: Iterable[Cell], root: Path, say: Say) -> tuple[dict[str, Path], dict[str, str]]:
    """Make every dataset that the cells need; one that cannot be had fails its own cells alone.

    Returns:
        By name of the cell: the dataset's directory; or else the reason why there is none, a line.
    """
    cleans = {grid.directory(name): _clean(grid, name, root, say) for name in grid.datasets}
    made: dict[tuple[str, str, int], Path | str] = {}
    ready, failed = {}, {}
    for cell in cells:
        key = (cell.dataset, cell.noise_name, cell.seed)
        if key not in made:
            clean = cleans[cell.dataset]
            made[key] = clean if isinstance(clean, str) else _noisy(cell, clean, say)
        path_or_error = made[key]
        if isinstance(path_or_error, str):
            failed[cell.name] = path_or_error
        else:
            ready[cell.name] = path_or_error
    return ready, failed


def _clean(grid: Grid, name: str, root: Path, say: Say) -> Dataset | str:
    """A clean dataset, converted to the root where it is not there; or why it cannot be had."""
    path = root / grid.directory(name)
    try:
        if not (path / DATASET_FILE).is_file():
            if name not in SOURCES:
                raise TrainerError(
                    f"{path}: no such dataset, and no image set of that name to convert; known are {', '.join(SOURCES)}"
                )
            say(f"converting {name} -> {path}")
            with suppress(TakenError):  # another sweep was faster: its dataset is looked at as any that is there
                return convert(name, root=root, source=grid.source, out=path, limit=grid.limit, workers=None).dataset
        dataset = open_dataset(path)
        if dataset.metadata.labels != "clean":
            raise TrainerError(
                f"{path}: its labels are {dataset.metadata.labels}; a sweep gives noise to clean ones, name a clean "
                "dataset"
            )
    except (DataToolsError, OSError) as error:
        return " ".join(str(error).split())
    return dataset


def noisy_path(cell: Cell, clean: Path) -> Path:
    """Where a cell's dataset is: where `datatools corrupt` puts it, or the clean dataset itself at rate 0."""
    return clean.parent / default_name(clean.name, cell.noise, cell.rate, cell.seed) if cell.rate else clean


def _noisy(cell: Cell, clean: Dataset, say: Say) -> Path | str:
    """The directory of a cell's dataset, corrupted from the clean one where it is not there; or why there is none."""
    path = noisy_path(cell, clean.path)
    if not cell.rate:
        return path
    try:
        if not (path / DATASET_FILE).is_file():
            say(f"corrupting {clean.path} -> {path}")
            with suppress(TakenError):  # another sweep was faster
                corrupt(clean, noise=cell.noise, rate=cell.rate, seed=cell.seed, out=path)
        noise = open_dataset(path).metadata.noise or {}
        parent = noise.get("parent", {}).get("sha256")
        if (noise.get("rate"), noise.get("seed"), parent) != (cell.rate, cell.seed, clean.sha256):
            raise TrainerError(
                f"{path}: not {cell.noise} noise of rate {cell.rate:g} and seed {cell.seed} of {clean.path}; "
                "remove it, and it is made anew"
            )
    except (DataToolsError, OSError) as error:
        return " ".join(str(error).split())
    return path
