"""Reads mutated inputs in this process, and prints a line of JSON for each attempt.

    python -m tests.chaos.mutants SEED COUNT FOLDER FORMAT=FIRST …

An attempt is well where the reader succeeds or raises DataToolsError, within SECONDS and with at most MEMORY_BYTES more
than at the start, and leaves nothing outside its folder. What attempt n reads is a function of (format, seed, n).
"""

from __future__ import annotations

import json
import random
import resource
import shutil
import signal
import sys
import traceback
import warnings
from pathlib import Path
from types import FrameType

from datatools.errors import DataToolsError
from tests.chaos.formats import FORMATS, Format, files
from tests.chaos.mutations import mutated

SECONDS = 5.0
MEMORY_BYTES = 1 << 30


class TooLongError(BaseException):
    """The time is over; nothing but this module catches it."""


def _too_long(number: int, frame: FrameType | None) -> None:
    raise TooLongError(f"more than {SECONDS:g} seconds")


def mutate(folder: Path, spec: Format, rng: random.Random) -> None:
    """Damage one file of a valid input, sometimes two."""
    targets = files(folder, spec)
    for path in rng.sample(targets, min(len(targets), rng.choice((1, 1, 1, 2)))):
        path.write_bytes(mutated(path.read_bytes(), rng.choice(targets).read_bytes(), rng))
    if spec.pack is not None:
        spec.pack(folder)


def attempt(valid: Path, folder: Path, spec: Format, rng: random.Random) -> str:
    """Read one mutant; returns "read", "refused" or what went wrong."""
    shutil.copytree(valid, folder)
    mutate(folder, spec, rng)
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    try:
        spec.read(folder)
    except DataToolsError:
        outcome = "refused"
    except (Exception, TooLongError):
        outcome = traceback.format_exc()
    else:
        outcome = "read"
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    if [path.name for path in folder.parent.iterdir()] != [folder.name]:
        outcome = f"wrote outside its folder: {sorted(path.name for path in folder.parent.iterdir())}"
    return outcome


def read_mutants(name: str, seed: str, numbers: range, root: Path) -> None:
    """Read mutants of a format, in folders of their own below `root`."""
    spec, valid, folder = FORMATS[name], root / "valid", root / "inner" / "work"
    valid.mkdir(parents=True)
    spec.make(valid)
    shutil.copytree(valid, folder)
    if spec.pack is not None:
        spec.pack(folder)
    spec.read(folder)  # the valid input can be read, and all that is imported by this is
    for number in numbers:
        shutil.rmtree(folder.parent)
        folder.parent.mkdir()
        print(json.dumps({"format": name, "number": number}), flush=True)
        outcome = attempt(valid, folder, spec, random.Random(f"{name} {seed} {number}"))
        print(json.dumps({"format": name, "number": number, "outcome": outcome}), flush=True)


def limit_memory() -> None:
    """Let this process have MEMORY_BYTES more of address space than it has."""
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY_BYTES, used + MEMORY_BYTES))


def main(seed: str, count: str, place: str, *formats: str) -> None:
    """Read the mutants FIRST to COUNT - 1 of each format."""
    warnings.simplefilter("ignore")
    signal.signal(signal.SIGALRM, _too_long)
    if Path("/proc/self/statm").exists():
        limit_memory()
    for name, _, first in (text.rpartition("=") for text in formats):
        read_mutants(name, seed, range(int(first), int(count)), Path(place, f"{name.replace('.', '-')}-{first}"))


if __name__ == "__main__":
    main(*sys.argv[1:])
