"""Page and contact sheet of `relabel`: self-contained, and names stay text."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from datatools.format.dataset import open_dataset
from datatools.printable import ORDERS, printable
from datatools.verification import verify
from tests.support.relabel_runs import finished, noisy, renamed, rows
from trainer.audit.output import relabel

HOSTILE = ("<script>alert(1)</script>", '"><img src=http://127.0.0.1/x onerror=alert(2)>', "‮&amp;'\n=cmd|x")


class Tags(HTMLParser):
    """The tags of a page with their attributes, and its text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


def test_names_from_a_dataset_stay_text(tmp_path: Path) -> None:
    finished(tmp_path / "run", renamed(noisy(tmp_path / "noisy"), HOSTILE))
    relabel(tmp_path / "run", tmp_path / "out")
    page = Tags((tmp_path / "out" / "page.html").read_text(encoding="utf-8"))
    kinds = {tag for tag, _ in page.tags}
    assert not kinds & {"script", "link", "iframe", "object", "base", "form"}
    for tag, attributes in page.tags:
        assert not any(name.startswith("on") for name in attributes), (tag, attributes)
        for name in ("src", "href", "data"):
            assert (attributes.get(name) or "data:image/png;base64,").startswith("data:image/png;base64,")
    assert all(printable(name) in page.text for name in HOSTILE)
    assert not ORDERS.search(page.text.replace("\n", ""))
    assert {row["given_name"] for row in rows(tmp_path / "out" / "suspects.csv")} <= set(HOSTILE)


@pytest.mark.parametrize("option", [{}, {"safe_csv": True}, {"safe_csv": False}], ids=str)
def test_names_that_a_spreadsheet_takes_for_formulas_are_safe(option: dict[str, Any], tmp_path: Path) -> None:
    names = ("=1+1", "@SUM(A1)", "-plain")
    finished(tmp_path / "run", renamed(noisy(tmp_path / "noisy"), names))
    relabel(tmp_path / "run", tmp_path / "out", **option)
    expected = {f"'{name}" if option.get("safe_csv", True) else name for name in names}
    suspects = rows(tmp_path / "out" / "suspects.csv")
    assert {row[name] for row in suspects for name in ("given_name", "suggested_name", "clean_name")} == expected
    changes = rows(tmp_path / "out" / "dataset" / "changes.csv")
    assert {row["from_name"] for row in changes} | {row["to_name"] for row in changes} == expected
    assert all(check.passed is not False for check in verify(open_dataset(tmp_path / "out" / "dataset")))


def test_the_page_holds_the_images_themselves(tmp_path: Path, run: Path) -> None:
    relabel(run, tmp_path / "out", count=3)
    page = (tmp_path / "out" / "page.html").read_text()
    assert len(re.findall(r"<li>", page)) == 3
    assert "default-src 'none'" in page
    assert "prefers-color-scheme: dark" in page
    assert 'name="viewport"' in page
    assert not re.search(r"https?://", page)


def test_no_image_at_all_is_a_page_too(tmp_path: Path, run: Path) -> None:
    relabel(run, tmp_path / "out", count=0)
    assert "<li>" not in (tmp_path / "out" / "page.html").read_text()
    assert not (tmp_path / "out" / "suspects.png").exists()


def test_images_that_no_png_holds_are_left_out_and_said_so(tmp_path: Path) -> None:
    finished(tmp_path / "run", noisy(tmp_path / "noisy", depth=2))
    made = relabel(tmp_path / "run", tmp_path / "out")
    assert made.notices == ("images of 2 planes are neither grey nor RGB: suspects.png and page.html are left out",)
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"suspects.csv", "relabel.json", "dataset"}


def test_the_sheet_shows_colour(tmp_path: Path) -> None:
    finished(tmp_path / "run", noisy(tmp_path / "noisy", depth=3))
    relabel(tmp_path / "run", tmp_path / "out")
    with Image.open(tmp_path / "out" / "suspects.png") as sheet:
        assert sheet.mode == "RGB"
        assert sheet.width > 300
