"""plot, show, compare and export as a user meets them: what they print, and one line for every mistake."""

from __future__ import annotations

import json
import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest
from click.testing import CliRunner

import cli
from datatools.export import EXPORTS
from tests.support.children import run_python
from tests.support.factories import clean_dataset, noisy_dataset, tree

COMMANDS = ("plot", "show", "compare", "export")


@dataclass(frozen=True)
class Outcome:
    """How a command ended."""

    code: int
    out: str
    err: str


def datatools(*arguments: object) -> Outcome:
    result = CliRunner().invoke(cli.datatools, [str(argument) for argument in arguments], prog_name="datatools")
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return Outcome(result.exit_code, result.stdout, result.stderr)


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in which every mistake below can be made."""
    monkeypatch.chdir(tmp_path)
    clean = clean_dataset(tmp_path / "clean", train=40, num_classes=4)
    for seed, name in enumerate(("noisy", "other-seed")):
        noisy_dataset(clean, seed=seed, out=tmp_path / name)
    clean_dataset(tmp_path / "unknown", labels="unknown")
    clean_dataset(tmp_path / "deep", shape=(2, 4, 4))
    clean_dataset(tmp_path / "small", train=20)
    shutil.copytree(tmp_path / "noisy", tmp_path / "no-manifest")
    (tmp_path / "no-manifest" / "manifest.h5").unlink()
    shutil.copytree(tmp_path / "noisy", tmp_path / "bad-manifest")
    (tmp_path / "bad-manifest" / "manifest.h5").write_bytes(b"\x89HDF\r\n\x1a\n")
    shutil.copytree(tmp_path / "noisy", tmp_path / "cut")
    os.truncate(tmp_path / "cut" / "data_batch_2.bin", 100)
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter").write_text("years of work")
    for name in ("taken.png", "taken.h5", "taken.csv", "taken.npz", "taken.json", "file"):
        (tmp_path / name).write_text("mine")
    (tmp_path / "a-folder.png").mkdir()
    return tmp_path


PLOT, SHOW, COMPARE = (
    ["plot", "noisy", "--out"],
    ["show", "noisy", "--out"],
    ["compare", "noisy", "other-seed", "--out"],
)
EXPORT = ["export", "noisy", "--to"]
MISTAKES: dict[str, tuple[list[str], int, str]] = {
    "plot without a picture": (["plot", "noisy"], 2, "--out"),
    "plot of nothing": (["plot", "--out", "x.png"], 2, "DIR"),
    "plot of a missing folder": (["plot", "missing", "--out", "x.png"], 1, "missing"),
    "plot of a clean dataset": (["plot", "clean", "--out", "x.png"], 1, "no transition matrix"),
    "plot of unknown labels": (["plot", "unknown", "--out", "x.png"], 1, "no transition matrix"),
    "plot without a manifest": (["plot", "no-manifest", "--out", "x.png"], 1, "no-manifest/manifest.h5"),
    "plot with a broken manifest": (["plot", "bad-manifest", "--out", "x.png"], 1, "bad-manifest/manifest.h5"),
    "plot as a jpeg": ([*PLOT, "x.jpg"], 1, ".png or .svg or .pdf"),
    "plot over a file": ([*PLOT, "taken.png"], 1, "--overwrite"),
    "plot over a folder": ([*PLOT, "a-folder.png", "--overwrite"], 1, "not a plain file"),
    "plot below a file": ([*PLOT, "file/x.png"], 1, "file"),
    "plot with too long a name": ([*PLOT, "x" * 300 + ".png"], 1, "name too long"),
    "show without a picture": (["show", "noisy"], 2, "--out"),
    "show of a missing folder": (["show", "missing", "--out", "x.png"], 1, "missing"),
    "show without a manifest": (["show", "no-manifest", "--out", "x.png"], 1, "no-manifest/manifest.h5"),
    "show of a cut batch": (["show", "cut", "--out", "x.png"], 1, "data_batch_2.bin"),
    "show of two planes": (["show", "deep", "--out", "x.png"], 1, "2 planes"),
    "show as svg": ([*SHOW, "x.svg"], 1, "ends in .png"),
    "show over a file": ([*SHOW, "taken.png"], 1, "--overwrite"),
    "show below a file": ([*SHOW, "file/x.png"], 1, "file"),
    "show of an unknown class": ([*SHOW, "x.png", "--class", "dog"], 1, "--class dog"),
    "show of an unknown number": ([*SHOW, "x.png", "--class", "4"], 1, "0..3"),
    "show of an unknown kind": ([*SHOW, "x.png", "--only", "wrong"], 2, "wrong"),
    "show of an unknown split": ([*SHOW, "x.png", "--split", "val"], 2, "val"),
    "show of no image": ([*SHOW, "x.png", "--count", "0"], 2, "--count"),
    "show at no scale": ([*SHOW, "x.png", "--scale", "0"], 2, "--scale"),
    "show with a negative seed": ([*SHOW, "x.png", "--seed", "-1"], 2, "--seed"),
    "show flipped of clean labels": (
        ["show", "clean", "--out", "x.png", "--only", "flipped"],
        1,
        "its labels are clean",
    ),
    "show clean of unknown labels": (["show", "unknown", "--out", "x.png", "--only", "clean"], 1, "is not known"),
    "compare of one": (["compare", "noisy"], 2, "B"),
    "compare with a missing folder": (["compare", "noisy", "missing"], 1, "missing"),
    "compare of other counts": (["compare", "noisy", "small"], 1, "number of train images 40 and 20"),
    "compare without a manifest": (["compare", "noisy", "no-manifest"], 1, "no-manifest/manifest.h5"),
    "compare of a cut batch": (["compare", "noisy", "cut"], 1, "data_batch_2.bin"),
    "compare as a jpeg": ([*COMPARE, "x.jpg"], 1, ".png or .svg or .pdf"),
    "compare over a file": ([*COMPARE, "taken.png"], 1, "--overwrite"),
    "compare below a file": ([*COMPARE, "file/x.png"], 1, "file"),
    "export to nothing": (["export", "noisy", "--out", "x"], 2, "--to"),
    "export without a place": ([*EXPORT, "csv"], 2, "--out"),
    "export to an unknown format": ([*EXPORT, "tar", "--out", "x"], 2, "tar"),
    "export of a missing folder": (["export", "missing", "--to", "csv", "--out", "x.csv"], 1, "missing"),
    "export without a manifest": (["export", "no-manifest", "--to", "csv", "--out", "x.csv"], 1, "manifest.h5"),
    "export of two planes": (["export", "deep", "--to", "image-folder", "--out", "x"], 1, "2 planes"),
    **{
        f"export to {to} with another suffix": ([*EXPORT, to, "--out", "x.txt"], 1, "a file name that ends in")
        for to, spec in EXPORTS.items()
        if spec.suffixes
    },
    **{
        f"export to {to} over a file": (
            [*EXPORT, to, "--out", f"taken{spec.suffixes[0]}" if spec.suffixes else "file"],
            1,
            "exists",
        )
        for to, spec in EXPORTS.items()
    },
    **{
        f"export to {to} below a file": ([*EXPORT, to, "--out", "file/x" + (*spec.suffixes, "")[0]], 1, "file")
        for to, spec in EXPORTS.items()
    },
    **{
        f"export to {to} over a thesis": ([*EXPORT, to, "--out", "thesis", "--overwrite"], 1, "thesis")
        for to, spec in EXPORTS.items()
        if not spec.suffixes
    },
    "export over the dataset": ([*EXPORT, "croissant", "--out", "noisy", "--overwrite"], 1, "the dataset itself"),
    "export over the manifest": ([*EXPORT, "hdf5", "--out", "clean/manifest.h5", "--overwrite"], 1, "inside a dataset"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_gets_one_line_and_writes_nothing(workplace: Path, mistake: str) -> None:
    arguments, code, said = MISTAKES[mistake]
    before = tree(workplace)
    outcome = datatools(*arguments)
    assert (outcome.code, outcome.out) == (code, ""), outcome
    if code == 1:
        assert outcome.err.startswith("datatools: error: ")
        assert outcome.err.count("\n") == 1, outcome.err
        assert said in outcome.err
    else:
        assert outcome.err.startswith("Usage: datatools ")
        assert said in outcome.err.partition("\nError: ")[2]
    assert tree(workplace) == before


@pytest.mark.parametrize("command", [PLOT, SHOW, COMPARE, [*EXPORT, "csv", "--out"]], ids=lambda command: command[0])
@pytest.mark.parametrize("room", [0, 1_000])
def test_a_file_that_cannot_grow_gets_one_line(workplace: Path, command: list[str], room: int) -> None:
    limit = f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, ({room},) * 2)\n"
    # matplotlib's font cache is looked for before, and is no part of this
    code = (
        "import sys, matplotlib.font_manager, cli\n" + limit + "cli.datatools.main(sys.argv[1:], prog_name='datatools')"
    )
    before = tree(workplace)
    child = run_python(code, *command, "new/x.csv" if "csv" in command else "new/x.png", cwd=workplace)
    assert child.returncode == 1
    assert child.stderr.startswith("datatools: error: ")
    assert child.stderr.count("\n") == 1
    assert tree(workplace) == before


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
@pytest.mark.parametrize("command", [PLOT, SHOW, COMPARE, [*EXPORT, "csv", "--out"]], ids=lambda command: command[0])
def test_a_read_only_folder_gets_one_line(workplace: Path, command: list[str]) -> None:
    (workplace / "closed").mkdir(mode=0o555)
    outcome = datatools(*command, "closed/x.csv" if "csv" in command else "closed/x.png")
    assert outcome.code == 1
    assert outcome.err.count("\n") == 1
    assert "closed" in outcome.err


# --- what they print -------------------------------------------------------------------------------------------------


def test_what_the_commands_print(workplace: Path) -> None:
    assert datatools(*PLOT, "new/plot.png") == Outcome(0, "new/plot.png\n", "")
    assert datatools(*SHOW, "new/show.png", "--count", 7) == Outcome(0, "new/show.png: 7 images\n", "")
    compared = datatools(*COMPARE, "new/agree.png")
    assert compared.code == 0
    assert re.search(r"^labels +\d+ of 40 differ, a share of 0\.\d+$", compared.out, re.MULTILINE)
    assert compared.out.endswith("\nnew/agree.png\n")
    facts = json.loads(datatools("compare", "noisy", "other-seed", "--json").out)
    assert facts["differing"] == len(facts["differing_ids"])
    assert datatools(*EXPORT, "csv", "--out", "new/x.csv") == Outcome(0, "new/x.csv\n", "")
    exported = datatools(*EXPORT, "image-folder", "--out", "new/images")
    assert exported.out == "new/images\n"
    assert exported.err.startswith("note: images lie in the folders of their noisy labels")
    assert sorted(path.name for path in (workplace / "new").iterdir()) == [
        "agree.png",
        "images",
        "plot.png",
        "show.png",
        "x.csv",
    ]


@pytest.mark.parametrize("command", COMMANDS)
def test_help_loads_nothing_heavy(command: str) -> None:
    heavy = ("keras", "tensorflow", "h5py", "PIL", "matplotlib", "sklearn", "rich", "trainer")
    code = f"""
import sys, cli
try:
    cli.datatools.main([{command!r}, "--help"])
finally:
    print(*[name for name in {heavy!r} if name in sys.modules], file=sys.stderr)
"""
    child = run_python(code)
    assert child.stdout.startswith("Usage: ")
    assert child.stderr.strip() == ""
