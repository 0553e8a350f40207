"""The page in a real browser: on a desk and on a phone, in light and in dark, with nothing fetched and no complaint."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.support import tiny
from tests.support.browser import Page, browser, chromium
from tests.support.report_runs import made_run
from trainer.report import collect, write_report

if chromium() is None:
    pytest.skip(
        "no Chromium here (chromium, chromium-browser, google-chrome); `make test-browser`", allow_module_level=True
    )

SHOWN = "[...document.querySelectorAll('.headline')].filter(part => part.offsetHeight > 80).map(part => part.className)"
DESK, PHONE = (1280, 900), (360, 740)
HOSTILE = "</script><img src=x onerror=\"document.title='broken'\"> a-very-long-class-name-without-a-place-to-break"


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of runs of two methods, at one noise rate and at two, and of a run of hostile and very long names."""
    folder = tmp_path_factory.mktemp("report")
    ids, clean, pixels = tiny.examples(12)
    noisy = np.where(ids % 4 == 0, (clean + 1) % 3, clean)
    data = tiny.write_dataset(
        folder / "data", (ids, noisy, pixels), tiny.examples(6), labels="noisy", clean_labels=clean
    )
    for seed in (0, 1):
        for method, errors in (("default", [0.6, 0.3 + seed / 50]), ("selfie", [0.6, 0.2, 0.5, 0.1 + seed / 50])):
            made_run(folder / "runs" / f"{method}{seed}", method, seed, errors, data=data, epochs=2)
            for rate in (0.1, 0.4):
                noise = {"type": "pair", "rate": rate, "parent": {"name": "digits"}}
                lower = [error * (0.5 + rate / 2) for error in errors]
                made_run(folder / "runs" / f"{method}-{rate}-{seed}", method, seed, lower, noise=noise, epochs=2)
    for number, method in enumerate(("active-bias", "co-teaching", "gce", "elr-plus", "sop", "dividemix")):
        for rate in (0.1, 0.4):
            noise = {"type": "pair", "rate": rate, "parent": {"name": "digits"}}
            made_run(folder / "runs" / f"{method}-{rate}", method, 0, [0.5, 0.25 + number / 50], noise=noise)
    made_run(
        folder / "runs" / ("long-" * 30),
        HOSTILE,
        0,
        [0.5],
        noise={"type": "pair", "rate": 0.4, "parent": {"name": HOSTILE}},
    )
    made_run(folder / "runs" / "unfinished-".ljust(120, "x"), "default", 5, [0.5])
    (folder / "runs" / "unfinished-".ljust(120, "x") / "result.json").unlink()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        write_report(*collect([folder / "runs"]), folder / "out")
    return folder / "out" / "report.html"


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    path = chromium()
    assert path is not None
    with browser(path, tmp_path_factory.mktemp("profile")) as opened:
        yield opened


def requests(page: Page) -> list[str]:
    return [event["request"]["url"] for name, event in page.events if name == "Network.requestWillBeSent"]


def complaints(page: Page) -> list[Any]:
    names = ("Log.entryAdded", "Runtime.consoleAPICalled", "Runtime.exceptionThrown")
    return [event for name, event in page.events if name in names]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [DESK, PHONE], ids=["desk", "phone"])
def test_it_loads_itself_alone_and_complains_of_nothing(
    page: Page, file: Path, size: tuple[int, int], scheme: str
) -> None:
    page.open(file, *size, scheme)
    page.evaluate("document.querySelectorAll('details').forEach(part => part.open = true)")
    assert requests(page) == [file.resolve().as_uri()]
    assert complaints(page) == []
    assert page.evaluate("document.title").endswith("test error under label noise")
    assert page.evaluate("document.querySelectorAll('img, script').length") == 0


@pytest.mark.parametrize("width", [320, 360, 719, 1280])
def test_it_never_scrolls_sideways(page: Page, file: Path, width: int) -> None:
    page.open(file, width, 740, "light")
    page.evaluate("document.querySelectorAll('details').forEach(part => part.open = true)")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    # no text of a figure is cut off by the edge of the screen
    lost = """[...document.querySelectorAll('svg text')].filter(text => {
        const box = text.getBoundingClientRect();
        return box.width && (box.left < -0.5 || box.right > %d + 0.5);
    }).map(text => text.textContent)"""
    assert page.evaluate(lost % width) == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_wide_table_scrolls_alone_under_its_first_column(page: Page, file: Path, tmp_path: Path, scheme: str) -> None:
    """And a shadow at its right edge says so, until there is no more."""
    page.open(file, *PHONE, scheme)
    box = "document.querySelector('#table .scroll')"
    name = f"{box}.querySelector('tbody th[scope=row]').getBoundingClientRect()"
    page.evaluate(f"{box}.scrollIntoView()")
    assert page.evaluate(f"{box}.scrollWidth - {box}.clientWidth") > 100
    seen = []
    for place in (0, 9999):
        page.evaluate(f"{box}.scrollLeft = {place}")
        page.screenshot(tmp_path / "table.png")
        with Image.open(tmp_path / "table.png") as image:
            # a line of pixels below the text of a row, at the edge of the box and on the paper beside it
            line = np.asarray(image.convert("L")).astype(int)[round(page.evaluate(f"{name}.bottom")) - 3]
        right = round(page.evaluate(f"{box}.getBoundingClientRect().right"))
        seen.append((page.evaluate(f"{name}.left"), abs(line[right - 2] - line[right + 6])))
    (left, shadow), (left_later, no_shadow) = seen
    assert left == left_later >= 0
    assert page.evaluate(f"{name}.right") < PHONE[0] * 0.7
    assert shadow > 40
    assert no_shadow < 8
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE[0]


@pytest.mark.parametrize("size", [DESK, PHONE], ids=["desk", "phone"])
def test_names_in_figures_lie_over_nothing(page: Page, file: Path, size: tuple[int, int]) -> None:
    page.open(file, *size, "light")
    overlapping = """[...document.querySelectorAll('svg[role=img]')].flatMap(svg => {
        const box = part => part.getBoundingClientRect();
        const shown = [...svg.querySelectorAll('.label, .mark, .run, .tick, .name')].filter(part => box(part).width);
        const meet = (a, b) => a.left < b.right && b.left < a.right && a.top + 3 < b.bottom && b.top + 3 < a.bottom;
        return shown.filter(part => part.matches('.label')).flatMap(label => shown
            .filter(other => other !== label && meet(box(label), box(other)))
            .map(other => label.textContent + ' over ' + (other.textContent || other.getAttribute('class'))));
    })"""
    assert page.evaluate(overlapping) == []
    assert page.evaluate("[...document.querySelectorAll('.label')].filter(l => l.getBoundingClientRect().width).length")


@pytest.mark.parametrize("width", [320, 360, 1280])
def test_no_file_name_breaks_in_its_ending(page: Page, file: Path, width: int) -> None:
    page.open(file, width, 740, "light")
    endings = "[...document.querySelectorAll('.ending')].map(part => part.getClientRects().length)"
    assert set(page.evaluate(endings)) == {1}


def test_type_stays_readable_on_a_phone(page: Page, file: Path) -> None:
    page.open(file, *PHONE, "light")
    smallest = """Math.min(...[...document.querySelectorAll('svg text')]
        .filter(text => text.getBoundingClientRect().width && !text.hasAttribute('transform'))
        .map(text => parseFloat(getComputedStyle(text).fontSize) * text.getScreenCTM().d))"""
    assert page.evaluate(smallest) >= 8.5


@pytest.mark.parametrize("width", [360, 1280])
def test_methods_stand_on_one_line(page: Page, file: Path, width: int) -> None:
    page.open(file, width, 740, "light")
    heights = "[...document.querySelectorAll('.method:not(.long)')].map(name => name.offsetHeight)"
    assert 0 < max(page.evaluate(heights)) < 40


def test_the_colour_schemes_are_two(page: Page, file: Path, tmp_path: Path) -> None:
    seen = {}
    for scheme in ("light", "dark"):
        page.open(file, *DESK, scheme)
        page.screenshot(tmp_path / f"{scheme}.png")
        with Image.open(tmp_path / f"{scheme}.png") as image:
            seen[scheme] = float(np.asarray(image.convert("L")).mean())
        line = "getComputedStyle(document.querySelector('.headline .line')).stroke"
        seen[f"{scheme} line"] = page.evaluate(line)
    assert seen["light"] > 200
    assert seen["dark"] < 60
    assert seen["light line"] != seen["dark line"]


def test_figures_are_drawn_and_one_of_three_shows(page: Page, file: Path) -> None:
    page.open(file, *DESK, "light")
    first = page.evaluate(SHOWN)
    assert set(first) == {"headline last_test_error"}
    page.evaluate("document.querySelector('#show-last_test_error').focus()")
    for kind in ("keyDown", "keyUp"):  # the arrow keys move through radio buttons
        page.call("Input.dispatchKeyEvent", type=kind, key="ArrowRight", code="ArrowRight", windowsVirtualKeyCode=39)
    assert set(page.evaluate(SHOWN)) == {"headline mean_last10_test_error"}
    sizes = page.evaluate(
        "[...document.querySelectorAll('figure svg[role=img]')].map(svg => svg.getBoundingClientRect())"
        ".map(box => [box.width, box.height])"
    )
    drawn = [size for size in sizes if size[0]]
    assert len(drawn) > 8
    assert min(min(size) for size in drawn) > 75


def test_paper_shows_all_three(page: Page, file: Path) -> None:
    page.open(file, *DESK, "dark")
    page.call("Emulation.setEmulatedMedia", media="print", features=[])
    assert len(set(page.evaluate(SHOWN))) == 3
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"


def test_it_can_be_used_without_eyes_or_mouse(page: Page, file: Path) -> None:
    page.open(file, *DESK, "light")
    tree = page.call("Accessibility.getFullAXTree")["nodes"]
    nameless = [
        node["role"]["value"]
        for node in tree
        if not node["ignored"]
        and node["role"]["value"] in ("image", "link", "radio", "table", "region", "heading", "figure")
        and not node.get("name", {}).get("value")
        and node["role"]["value"] not in ("table", "figure")
    ]
    assert nameless == []
    levels = page.evaluate("[...document.querySelectorAll('h1,h2,h3,h4')].map(h => +h.tagName[1])")
    assert levels[0] == 1
    assert all(later - earlier <= 1 for earlier, later in pairwise(levels))
    assert page.evaluate("new Set([...document.querySelectorAll('[id]')].map(e => e.id)).size") == page.evaluate(
        "document.querySelectorAll('[id]').length"
    )
