"""What is run, in a workplace of its own, and what has to be there after it was disturbed."""

from __future__ import annotations

import itertools
import os
import shutil
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from datatools.files import placing
from datatools.files.output import FolderKind, atomic_hdf5, new_file, new_folder
from datatools.format.dataset import open_dataset
from datatools.format.metadata import DATASET_FILE
from datatools.verification import verify
from tests.chaos.children import Ended, command, run
from tests.support.cifar_files import cifar10_set, write_cifar10_binary
from tests.support.factories import clean_dataset, noisy_dataset, tree
from tests.support.official_files import image_folder_set, write_image_folder

Content = dict[str, bytes | None] | None
Work = Callable[[], object]
NOTES = FolderKind(lambda folder: (folder / "notes").is_file(), "a folder without notes")


@dataclass(frozen=True)
class Case:
    """One output, and two ways to make it that give different content.

    Attributes:
        make: (seed 0 or 1, --overwrite or not) -> what a process has to do, in the workplace.
        out: the name of the output.
    """

    name: str
    make: Callable[[int, bool], Work]
    out: str = "out"

    def __str__(self) -> str:
        return self.name


def _command(
    name: str,
    *arguments: str,
    out: str = "out",
    seeds: tuple[tuple[str, ...], tuple[str, ...]],
    way: Callable[[list[object]], Work] = command,
) -> Case:
    def make(seed: int, overwrite: bool) -> Work:
        return way([*arguments, *seeds[seed], "--out", f"place/{out}", *(["--overwrite"] if overwrite else [])])

    return Case(name, make, out)


def _export(to: str, suffix: str = "") -> Case:
    datasets = (("in/noisy",), ("in/clean",))
    return _command(f"export {to}", "export", "--to", to, out=f"out{suffix}", seeds=datasets)


COMMANDS = (
    _command("convert", "convert", "--dataset", "cifar10", "--source", "in/cifar10", seeds=((), ("--limit", "5"))),
    _command(
        "convert image-folder",
        *("convert", "--dataset", "image-folder", "--source", "in/images", "--workers", "1"),
        seeds=((), ("--limit", "5")),
    ),
    _command(
        "corrupt",
        *("corrupt", "--type", "pair", "--rate", "0.4", "--data", "in/clean"),
        seeds=((), ("--seed", "1")),
    ),
    _export("hdf5", ".h5"),
    _export("npz", ".npz"),
    _export("csv", ".csv"),
    _export("image-folder"),
    _export("croissant"),
)
"""The commands of datatools that write datasets and exports."""


def digits_case(way: Callable[[list[object]], Work]) -> Case:
    """`convert --dataset digits`; `way` makes of the arguments of `datatools` what a process has to do."""
    return _command("convert digits", "convert", "--dataset", "digits", seeds=((), ("--limit", "5")), way=way)


def _make_folder(seed: int, overwrite: bool) -> Work:
    def work() -> None:
        with new_folder(Path("place/out"), overwrite, NOTES) as folder:
            (folder / "deep").mkdir()
            (folder / "deep" / "numbers").write_bytes(bytes([seed]) * 5_000)
            with atomic_hdf5(folder / "numbers.h5", sole_writer=True, fsync=False) as file:
                file["seed"] = seed
            (folder / "notes").write_text(f"seed {seed}")

    return work


def _make_file(seed: int, overwrite: bool) -> Work:
    def work() -> None:
        with new_file(Path("place/out.txt"), (".txt",), overwrite) as partial:
            partial.write_text(f"seed {seed}")

    return work


WRITER = (Case("folder", _make_folder), Case("file", _make_file, "out.txt"))
"""The writer by itself: few calls, so that every point of it is tried in a moment."""


class Way(NamedTuple):
    """Whether an old output is there and is to be replaced, and whether two folders can be exchanged in one step."""

    old: bool
    exchanges: bool


def ways(cases: Iterable[Case], fast: Collection[str] = ()) -> list[Any]:
    """Parameters `case, way`: each case in each way that makes a difference to it; marked `chaos`, but those in `fast`.

    Args:
        fast: as "folder-overwrite": the name of a case, and of a way.
    """
    names = {"new": Way(False, True), "overwrite": Way(True, True), "no exchange": Way(True, False)}
    params = []
    for case, (name, way) in itertools.product(cases, names.items()):
        if way.exchanges or not Path(case.out).suffix:  # a file is replaced in one step anywhere
            title = f"{case}-{name}"
            params.append(pytest.param(case, way, id=title, marks=() if title in fast else pytest.mark.chaos))
    return params


@dataclass
class Workplace:
    """A folder with inputs in `in` and outputs in `place`, for one case.

    Attributes:
        old, new: the content that an undisturbed run with seed 1 and with seed 0 gives.
        exchanges: whether the system may exchange two folders in one step.
    """

    root: Path
    case: Case
    exchanges: bool = True
    old: Content = field(init=False)
    new: Content = field(init=False)

    def __post_init__(self) -> None:
        self.place = self.root / "place"
        self.out = self.place / self.case.out
        self.place.mkdir()
        (self.root / "kept").mkdir()
        self.old, self.new = self._undisturbed(1), self._undisturbed(0)
        assert self.old != self.new, "the case's two ways give the same"

    def _undisturbed(self, seed: int) -> Content:
        ended = run(self.work(seed, overwrite=False))
        assert ended.code == 0, ended
        assert is_whole(self.out)
        made = content(self.out)
        self.out.rename(self.root / "kept" / str(seed))
        return made

    def work(self, seed: int = 0, *, overwrite: bool) -> Work:
        """What a process has to do, as far as the system it meets allows."""
        make = self.case.make(seed, overwrite)

        def work() -> None:
            os.chdir(self.root)
            if not self.exchanges:
                placing.exchange = lambda path, other: False
            make()

        return work

    def reset(self, old: bool) -> None:
        """Empty `place`, but for an old output if that is to be there."""
        shutil.rmtree(self.place)
        self.place.mkdir()
        kept = self.root / "kept" / "1"
        if old:
            (shutil.copytree if kept.is_dir() else shutil.copy)(kept, self.out)

    def state(self) -> str:
        """What stands in the output's place: "old", "new", "nothing" or "neither"."""
        now = content(self.out)
        if now is None:
            return "nothing"
        return "old" if now == self.old else "new" if now == self.new else "neither"

    def hidden(self) -> list[str]:
        """The names beside the output."""
        return sorted(path.name for path in self.place.iterdir() if path != self.out)

    def check_undamaged(self, old: bool) -> None:
        """After a kill: the old output stands there or the new one, or nothing where there was none.

        Where folders cannot be exchanged in one step, the old one may have its hidden name, and nothing its own.
        """
        state = self.state()
        if state == "nothing" and old and not self.exchanges:
            names = [name for name in self.hidden() if name.startswith(f".{self.case.out}.old-")]
            assert [content(self.place / name) for name in names] == [self.old], (names, self.hidden())
            return
        assert state in (("old", "new") if old else ("nothing", "new")), (state, self.hidden())

    def check_repeats(self) -> None:
        """The same command again makes the new output, and nothing of the disturbed run is left."""
        again = run(self.work(overwrite=True))
        assert again.code == 0, again
        self.check_done()

    def check_done(self) -> None:
        """The new output is there, whole, and nothing else."""
        assert self.state() == "new", self.state()
        assert is_whole(self.out)
        assert self.hidden() == []


def prepare_inputs(root: Path) -> None:
    """The inputs of COMMANDS, in `root`/in."""
    folder = root / "in"
    write_cifar10_binary(folder / "cifar10", cifar10_set(20, 6))
    write_image_folder(folder / "images", image_folder_set())
    noisy = noisy_dataset(clean_dataset(folder / "clean", train=8, test=2, train_files=2))
    noisy.path.rename(folder / "noisy")


def content(path: Path) -> Content:
    """The content of a file or folder; None where there is none."""
    if not path.exists():
        return None
    return tree(path) if path.is_dir() else {"": path.read_bytes()}


def is_whole(path: Path) -> bool:
    """What `datatools verify` finds, where it is a dataset; another output is compared by its content alone."""
    if not (path / DATASET_FILE).is_file():
        return True
    return all(check.passed is not False for check in verify(open_dataset(path)))


def check_one_line(ended: Ended, *said: str) -> None:
    """A command that failed did it with exit code 1 and one line, which says all of `said`."""
    assert ended.code == 1, ended
    assert ended.output.startswith("datatools: error: "), ended
    assert ended.output.count("\n") == 1, ended
    for part in said:
        assert part in ended.output, ended
