"""The documentation as a site: it builds strictly, loads nothing from elsewhere, and leaves no page out."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
DECISIONS = sorted((DOCS / "decisions").glob("[0-9]*.md"))
NAV = (ROOT / "mkdocs.yml").read_text(encoding="utf-8").partition("\nnav:\n")[2]


@pytest.mark.parametrize("page", sorted(DOCS.rglob("*.md")), ids=lambda page: str(page.relative_to(DOCS)))
def test_every_page_is_in_the_navigation(page: Path) -> None:
    if page not in DECISIONS:  # they are reached through their index
        name = str(page.relative_to(DOCS))
        assert f": {name}\n" in NAV, f"docs/{name} is not in the navigation: add it to `nav` in mkdocs.yml"


@pytest.mark.parametrize("record", DECISIONS, ids=lambda record: record.stem)
def test_every_decision_has_date_and_status_and_a_line_in_the_index(record: Path) -> None:
    text = record.read_text(encoding="utf-8")
    head = re.match(r"# (\d{4}) (.+)\n\n- date: (\d{4}-\d\d-\d\d)\n- status: (.+)\n\n", text)
    assert head, f"{record.name}: begin it with '# NUMBER Title', '- date: YEAR-MONTH-DAY' and '- status: accepted'"
    number, title, date, status = head.groups()
    row = f"| [{number}]({record.name}) | {title} | {date} | {status} |"
    index = (DOCS / "decisions" / "README.md").read_text(encoding="utf-8")
    assert row in index.splitlines(), f"docs/decisions/README.md lacks this line, add it: {row}"


def test_numbers_of_decisions_are_given_once() -> None:
    numbers = [record.name[:4] for record in DECISIONS]
    assert sorted(set(numbers)) == numbers


def test_the_index_of_decisions_names_no_record_that_is_gone() -> None:
    index = (DOCS / "decisions" / "README.md").read_text(encoding="utf-8")
    assert re.findall(r"^\| \[\d+\]\((.+?)\)", index, flags=re.MULTILINE) == [record.name for record in DECISIONS]


def test_the_version_to_cite_is_the_one_released() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    assert f"\nversion: {version}\n" in (ROOT / "CITATION.cff").read_text(encoding="utf-8")


@pytest.mark.slow
def test_the_site_builds_strictly_and_loads_nothing_from_elsewhere(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path)]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    pages = {page: page.read_text(encoding="utf-8") for page in tmp_path.rglob("*.html")}
    assert len(pages) > len(list(DOCS.rglob("*.md")))  # those from outside docs/ too
    loaded = re.compile(r"<(?:script|img|iframe|source)\b[^>]*\bsrc=\"?https?:|<link\b[^>]*\bhref=\"?https?://fonts")
    assert not {page.name for page, text in pages.items() if loaded.search(text)}
    reference = (tmp_path / "reference" / "datatools.html").read_text(encoding="utf-8")
    for name in ("convert", "corrupt", "open_dataset", "NOISE_TYPES"):
        assert f'id="datatools.{name}"' in reference, f"{name} is not on the page of the reference"
    # a link out of docs/ leads to the page that the site has instead
    assert 'href="project/data.html"' in (tmp_path / "sources.html").read_text(encoding="utf-8")
