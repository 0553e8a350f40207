"""The tutorial is run as it stands: its `sh` and `python` blocks, in order, in one empty folder."""

from __future__ import annotations

import contextlib
import csv
import io
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

import cli

PAGE = Path(__file__).parents[1] / "docs" / "tutorial.md"
BLOCK = re.compile(r"(?:<!-- stop at: (?P<stop>.*?) -->\n)?```(?P<language>[a-z]*)\n(?P<text>.*?)```\n", re.DOTALL)
GROUPS: dict[str, Callable[[list[str]], None]] = {"datatools": cli.datatools.main, "trainer": cli.trainer.main}
START_SECONDS = 240


class Block(NamedTuple):
    """A fenced block, the output that the page shows right after it, and where the reader is to press Ctrl-C."""

    language: str
    text: str
    shown: str
    stop: str | None


def blocks() -> Iterator[Block]:
    text = PAGE.read_text(encoding="utf-8")
    for found in BLOCK.finditer(text):
        following = BLOCK.match(text, found.end() + 1)
        shown = following["text"] if following and not following["language"] else ""
        if found["language"]:
            yield Block(found["language"], found["text"], shown, found["stop"])


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to stand in, on a machine without settings of its own. A GPU would not give the same bits."""
    for variable in ("DATATOOLS_ROOT", "KERAS_BACKEND"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_tutorial_does_what_it_says(folder: Path) -> None:
    printed = [_run(block) for block in blocks()]
    with (folder / "report" / "results.csv").open(encoding="utf-8", newline="") as file:
        errors = {row["method"]: float(row["best_test_error"]) for row in csv.DictReader(file)}
    assert errors["selfie"] < errors["co-teaching"] < errors["default"] < 0.4
    assert errors["active-bias"] < 0.4
    found = re.findall(r"\d+", printed[-1].splitlines()[-1])
    suspects, wrong, right = (int(number) for number in found)
    assert 150 <= right <= wrong <= suspects <= 220
    for name in ("transition.png", "sheet.png", "report/report.html", "relabelled/page.html"):
        assert (folder / name).stat().st_size > 1000


def _run(block: Block) -> str:
    """What a block prints; each line that the page shows of it has to be there, numbers aside."""
    if block.language == "python":
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile(block.text, str(PAGE), "exec"), {"__name__": "__main__"})
    elif block.stop:
        return _stopped(shlex.split(block.text), block.stop, block.shown)
    else:
        assert block.language == "sh"
        printed = io.StringIO()
        for line in block.text.splitlines():
            with contextlib.redirect_stdout(printed):
                _command(shlex.split(line))
    lines = {_form(line) for line in printed.getvalue().splitlines()}
    assert lines >= {_form(line) for line in block.shown.splitlines()}, printed.getvalue()
    return printed.getvalue()


def _command(words: list[str]) -> None:
    with pytest.raises(SystemExit) as end:
        GROUPS[words[0]](words[1:])
    assert end.value.code in (0, None), words


def _stopped(words: list[str], stop: str, shown: str) -> str:
    """Run a command and press Ctrl-C when `stop` is on the screen."""
    program = [sys.executable, "-c", f"import cli; cli.{words[0]}()", *words[1:]]
    process = subprocess.Popen(program, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        seen = ""
        while stop not in seen:
            line = process.stdout.readline()
            assert line, f"{words} ended before '{stop}': {seen}"
            seen += line
        process.send_signal(signal.SIGINT)
        _, error = process.communicate(timeout=START_SECONDS)
    finally:
        process.kill()
    assert process.returncode == 1
    assert _form(error.splitlines()[-1]) == _form(shown.strip())
    return error


def _form(line: str) -> str:
    """A line without its numbers and the width of its columns."""
    return re.sub(r" +", " ", re.sub(r"[\d,.]*\d", "0", line)).strip()
