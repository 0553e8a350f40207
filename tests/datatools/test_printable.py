"""Names from files show themselves on a terminal, in pictures and in tables, and do nothing else there."""

from __future__ import annotations

import csv
import json
import re
import sys
import unicodedata
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

import cli
from datatools import contact_sheet
from datatools.commands import CommandGroup
from datatools.errors import DataToolsError
from datatools.format.dataset import Dataset, open_dataset
from datatools.printable import ORDERS, formula_safe, formula_undone, printable, printable_json
from datatools.progress import progress_bar
from tests.support.factories import clean_dataset, noisy_dataset
from tests.support.official_files import image_folder_set, write_image_folder

NAMES = [
    "\x1b]0;owned\x07\x1b[2J",
    "a\u202etxt.exe\u202c",
    "new\nline\rover\tand\x9b31m",
    "\u2066x\u2069\u200e\u200f\x7f",
]
RAW = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""What must not reach a terminal; a line may end."""


@pytest.fixture
def odd(tmp_path: Path) -> Dataset:
    """A noisy dataset whose texts are full of orders to a terminal."""
    clean = clean_dataset(tmp_path / "clean\u202e")
    facts = json.loads((clean.path / "dataset.json").read_text())
    facts |= {"class_names": NAMES, "source": {"name": NAMES[0], "location": NAMES[1], "sha256": None}}
    (clean.path / "dataset.json").write_text(json.dumps(facts))
    noisy = noisy_dataset(open_dataset(clean.path), out=tmp_path / "noisy\u202e")
    facts = json.loads((noisy.path / "dataset.json").read_text())
    facts["noise"] |= {
        "convention": NAMES[2],
        "sampling": NAMES[3],
        "labels_file": {"name": NAMES[0]},
        "column": NAMES[0],
    }
    (noisy.path / "dataset.json").write_text(json.dumps(facts))
    return open_dataset(noisy.path)


def run(*arguments: object, code: int = 0) -> str:
    """What a command prints, on both streams."""
    done = CliRunner().invoke(cli.datatools, [str(argument) for argument in arguments])
    assert done.exit_code == code, done.output
    return done.output


def test_orders_are_shown_as_escapes() -> None:
    assert printable("a\x1bb\u202ec\x9bd\n\ud800") == r"a\x1bb\u202ec\x9bd\x0a\ud800"
    assert printable("Bär \u732b, e\u0301 \U0001f600 \\x1b") == "Bär \u732b, e\u0301 \U0001f600 \\x1b"
    assert printable(Path("a\u202eb")) == r"a\u202eb"


def test_every_control_and_direction_character_is_an_order() -> None:
    for code in range(sys.maxunicode + 1):
        character = chr(code)
        moves = unicodedata.bidirectional(character) in ("LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI")
        if moves or unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp"):
            assert ORDERS.fullmatch(character), hex(code)


def test_json_keeps_its_value() -> None:
    value = {"names": [*NAMES, "\ud800\udc00", "\u2028"], "\x7f": 1}
    text = printable_json(json.dumps(value, indent=2, ensure_ascii=False))
    assert not RAW.search(text)
    assert json.loads(text) == json.loads(json.dumps(value))
    assert len(text.splitlines()) == len(json.dumps(value, indent=2).splitlines())


@pytest.mark.parametrize(
    "arguments",
    [
        ["info", "{noisy}"],
        ["info", "{noisy}", "--json"],
        ["compare", "{clean}", "{noisy}"],
        ["compare", "{clean}", "{noisy}", "--json"],
        ["show", "{noisy}", "--out", "{root}/a.png"],
        ["plot", "{noisy}", "--out", "{root}/a.svg"],
        ["export", "{noisy}", "--to", "csv", "--out", "{root}/a\u202e.csv"],
        ["corrupt", "--data", "{clean}", "--type", "pair", "--rate", "0.05", "--out", "{root}/o\u202e"],
        ["convert", "--dataset", "digits", "--out", "{root}/o\u202e", "--limit", "5"],
    ],
    ids=" ".join,
)
def test_no_command_prints_orders(odd: Dataset, arguments: list[str]) -> None:
    root = odd.path.parent
    places = {"noisy": odd.path, "clean": root / "clean\u202e", "root": root}
    output = run(*(argument.format(**places) for argument in arguments))
    assert output
    assert not RAW.search(output)
    if "--json" in arguments:
        assert json.loads(output)["class_names"] == NAMES


def test_verify_prints_no_orders(odd: Dataset) -> None:
    output = run("verify", odd.path, code=1)  # its sampling is not the manifest's
    assert r"\u2066x\u2069" in output
    assert not RAW.search(output)


@pytest.mark.parametrize(
    "error", [DataToolsError(f"{NAMES[0]}: {NAMES[1]}"), FileNotFoundError(2, "No such \x1b[2J", "a\u202eb")]
)
def test_errors_print_no_orders(
    error: Exception, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr("click.Group.main", fail)
    group = CommandGroup("datatools", (), "")
    with pytest.raises(SystemExit):
        group.main()
    said = capsys.readouterr().err
    assert said.startswith("datatools: error: ")
    assert said.count("\n") == 1
    assert not RAW.search(said)


def test_notices_of_odd_file_names_print_no_orders(tmp_path: Path) -> None:
    folder = write_image_folder(tmp_path / "images", image_folder_set())
    (folder / "train" / "fine_0" / "no\x1b[2Jimage\udcff").write_bytes(b"")
    output = run("convert", "--dataset", "image-folder", "--source", folder, "--out", tmp_path / "out", "--skip-bad")
    assert r"left out: " in output
    assert r"no\x1b[2Jimage\udcff" in output
    assert not RAW.search(output)


def test_a_title_in_brackets_and_braces_is_no_markup(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    with progress_bar("convert [bold]{task.id} {x}\x1b]0;owned\x07", "images") as progress:
        progress(1, 2)
    shown = capfd.readouterr().err
    assert "\x1b]0;" not in shown


def test_pictures_show_escapes(odd: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run("plot", odd.path, "--out", tmp_path / "a.svg")
    ElementTree.parse(tmp_path / "a.svg")  # a control character would be no XML
    drawn: list[str] = []
    monkeypatch.setattr("PIL.ImageDraw.ImageDraw.text", lambda self, place, text, *_: drawn.append(text))
    contact_sheet.draw_sheet(odd, tmp_path / "a.png", contact_sheet.Wanted())
    assert any(r"\x1b]" in text for text in drawn)
    assert not RAW.search("".join(drawn))


# --- tables ----------------------------------------------------------------------------------------------------------

FORMULAS = ["=cmd|'/c calc'!A0", "+1", "-x", "@SUM(A1)", "\tx", "\rx", "a=b"]


@pytest.mark.parametrize(("to", "table"), [("csv", "out.csv"), ("image-folder", "out/labels.csv")])
def test_a_safe_table_holds_no_formula(tmp_path: Path, to: str, table: str) -> None:
    dataset = clean_dataset(tmp_path / "data", num_classes=7)
    facts = json.loads((dataset.path / "dataset.json").read_text())
    (dataset.path / "dataset.json").write_text(json.dumps(facts | {"class_names": FORMULAS}))
    for more, expected in (([], FORMULAS), (["--safe-csv"], [*(f"'{name}" for name in FORMULAS[:-1]), "a=b"])):
        run("export", dataset.path, "--to", to, "--out", tmp_path / table.partition("/")[0], "--overwrite", *more)
        with (tmp_path / table).open(newline="") as file:
            rows = list(csv.DictReader(file))
        assert {row["class_name"] for row in rows} == {row["clean_class_name"] for row in rows} == set(expected)


def test_safe_tables_are_for_formats_with_a_table(odd: Dataset, tmp_path: Path) -> None:
    done = CliRunner().invoke(
        cli.datatools, ["export", str(odd.path), "--to", "npz", "--out", str(tmp_path / "a.npz"), "--safe-csv"]
    )
    assert done.exit_code == 1
    assert "--safe-csv: npz has no CSV table" in done.output


def test_other_cells_stay_as_they_are() -> None:
    assert [formula_safe(cell) for cell in ("", "a", "1", " =1", "'a")] == ["", "a", "1", " =1", "'a"]


@given(st.text(alphabet="'=+-@\t\ra", max_size=6))
def test_a_safe_cell_gives_its_text_back(text: str) -> None:
    assert formula_undone(formula_safe(text)) == text
    assert not formula_safe(text).startswith(("=", "+", "-", "@", "\t", "\r"))


def test_a_cell_that_was_never_made_safe_stays() -> None:
    assert [formula_undone(cell) for cell in ("=1", "'a", "", "'")] == ["=1", "'a", "", "'"]
