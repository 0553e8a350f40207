"""The page of the Python API: its examples run as they stand and print what it shows, and it has every public name."""

from __future__ import annotations

import contextlib
import importlib
import io
import re
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

PAGE = Path(__file__).parents[1] / "docs" / "python-api.md"
BLOCK = re.compile(
    r"(?:<!-- needs: (?P<needs>\w+) -->\n)?```python\n(?P<code>.*?)```\n(?:\n```\n(?P<shown>.*?)```\n)?", re.DOTALL
)


def sections() -> dict[str, str]:
    """The text of the page below each heading of the second level."""
    parts = re.split(r"^## ", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]
    return {part.partition("\n")[0]: part for part in parts}


def run_examples(section: str) -> int:
    """Run the examples of a section, in order and in one namespace; how many were run.

    What needs a package that is not installed is left out (the test of `to_torch` says that it was skipped).
    """
    names: dict[str, Any] = {"__name__": "__main__"}
    count = 0
    for block in BLOCK.finditer(sections()[section]):
        if block["needs"] and find_spec(block["needs"]) is None:
            continue
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile(block["code"], str(PAGE), "exec"), names)
        assert printed.getvalue() == (block["shown"] or ""), block["code"]
        count += 1
    return count


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty folder to stand in. A GPU would not give the same bits."""
    monkeypatch.delenv("DATATOOLS_ROOT", raising=False)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("section", sections())
def test_the_examples_do_what_the_page_shows(section: str) -> None:
    assert run_examples(section) >= 3


@pytest.mark.parametrize("section", sections())
def test_the_page_has_every_public_name(section: str) -> None:
    package = importlib.import_module(section)
    missing = [name for name in package.__all__ if not re.search(rf"\b{name}\b", sections()[section])]
    assert not missing
