"""The review page in a real browser, by clicking and typing."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from datatools.printable import ORDERS
from tests.support.browser import Page, browser, chromium
from tests.support.reviewed import audited, decided, photos, review_of
from trainer.review.decisions import decisions_text, read_decisions
from trainer.review.items import Audit, Review
from trainer.review.page import write_review

if chromium() is None:
    pytest.skip(
        "no Chromium here (chromium, chromium-browser, google-chrome); `make test-browser`", allow_module_level=True
    )

DESK, PHONE = (1280, 900), (360, 740)
HOSTILE = "<img src=x onerror=\"document.title='broken'\">\u202egod"
FORMULA, QUOTED, LONG = "=HYPERLINK(1)", 'a "quoted", name', "a-class-name-without-a-place-to-break-" * 4
SUGGESTIONS = {
    "cat/1.jpg": ("dog", 0.95),
    "cat/2.jpg": ("owl", 0.9),
    "dog/1.jpg": ("cat", 0.6),
    "dog/2.jpg": (None, None),
    "owl/1.png": ("cat", 0.3),
}


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    path = chromium()
    assert path is not None
    with browser(path, tmp_path_factory.mktemp("profile")) as opened:
        yield opened


Show = Callable[..., Path]


@pytest.fixture
def show(page: Page, tmp_path: Path) -> Show:
    """Write the page of a review and open it, with nothing decided."""

    def write_and_open(review: Review, size: tuple[int, int] = DESK, scheme: str = "light", **more: Any) -> Path:
        path = tmp_path / "audit" / "review.html"
        write_review(path, review, overwrite=True, **more)
        page.open(path, *size, scheme)
        page.evaluate("localStorage.clear(); window.onbeforeunload = null")
        page.open(path, *size, scheme)
        return path

    return write_and_open


@pytest.fixture
def review(audit: Audit) -> Review:
    return review_of(audit, SUGGESTIONS)


def text_of(page: Page, name: str) -> str:
    return str(page.evaluate(f"document.getElementById('{name}').textContent"))


def is_visible(page: Page, name: str) -> bool:
    return bool(page.evaluate(f"document.getElementById('{name}').checkVisibility()"))


def downloaded(page: Page, folder: Path) -> Path:
    page.call("Page.setDownloadBehavior", behavior="allow", downloadPath=str(folder))
    page.click("#download")
    path, deadline = folder / "decisions.csv", time.monotonic() + 20
    while not path.exists():
        assert time.monotonic() < deadline, "nothing was downloaded"
        time.sleep(0.02)
    return path


def complaints(page: Page) -> list[Any]:
    names = ("Log.entryAdded", "Runtime.consoleAPICalled", "Runtime.exceptionThrown")
    return [event for name, event in page.events if name in names]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [DESK, PHONE], ids=["desk", "phone"])
def test_it_loads_its_pictures_alone_and_complains_of_nothing(
    page: Page, show: Show, review: Review, size: tuple[int, int], scheme: str
) -> None:
    path = show(review, size, scheme)
    page.press("k", "a")
    requests = {event["request"]["url"] for name, event in page.events if name == "Network.requestWillBeSent"}
    folder = review.audit.folder
    assert folder is not None
    pictures = {(folder / (item.path or "")).as_uri() for item in review.items}
    assert requests == {path.as_uri(), *pictures}
    assert complaints(page) == []
    assert page.evaluate("document.getElementById('picture').naturalWidth") == 8


def test_keys_decide_and_the_file_has_what_was_decided(page: Page, show: Show, review: Review, tmp_path: Path) -> None:
    show(review)
    page.press("k")  # cat/1.jpg
    assert text_of(page, "path") == "cat/2.jpg"
    page.press("a")
    assert text_of(page, "path") == "dog/1.jpg"
    page.press("r", "c", "o", "w", "Enter")  # dog/2.jpg becomes an owl
    page.press("r", "u", "u", "c", "Escape")
    page.wait("!document.querySelector('dialog').contains(document.activeElement)")
    page.press("ArrowLeft")
    assert text_of(page, "path") == "dog/1.jpg"
    assert text_of(page, "progress-text") == "3 of 5 images decided"
    path = downloaded(page, tmp_path)
    expected = decided(review.audit, {"cat/1.jpg": "keep", "cat/2.jpg": "owl", "dog/1.jpg": "remove"})
    assert path.read_text(encoding="utf-8") == decisions_text(review.audit.audit_id, expected)
    assert list(read_decisions(path, review.audit).values()) == expected


def test_the_mouse_decides_alike(page: Page, show: Show, review: Review, tmp_path: Path) -> None:
    show(review)
    for button in ("#keep", "#accept", "#remove"):
        page.click(button)
    page.click("#change")
    assert page.evaluate("[...document.querySelectorAll('#classes li')].map(line => line.textContent)") == [
        "cat",
        "owl",
    ]
    page.click("#classes li:nth-child(2)")
    page.click("#strip li:first-child button")
    assert text_of(page, "path") == "cat/1.jpg"
    assert text_of(page, "decision") == "✓ kept"
    page.click("#next")
    assert text_of(page, "decision") == "→ changed to owl"
    page.click("#undo")
    assert text_of(page, "path") == "dog/2.jpg"
    expected = decided(review.audit, {"cat/1.jpg": "keep", "cat/2.jpg": "owl", "dog/1.jpg": "remove"})
    assert list(read_decisions(downloaded(page, tmp_path), review.audit).values()) == expected


def test_typing_finds_classes_and_offers_new_ones(page: Page, show: Show, review: Review, tmp_path: Path) -> None:
    show(review)
    page.press("c")
    listed = "[...document.querySelectorAll('#classes bdi')].map(line => line.textContent)"
    assert page.evaluate(listed) == ["dog", "owl"], "the suggested class comes first, its own not at all"
    page.press("O")
    assert page.evaluate(listed) == ["owl", "dog", "O"]
    page.press("ArrowDown", "ArrowUp", "ArrowUp")
    assert "a new class" in page.evaluate("document.querySelector('[aria-selected=true]').textContent")
    page.press("Enter")
    (made,) = read_decisions(downloaded(page, tmp_path), review.audit, new_classes=True).values()
    assert (made.decision, made.label) == ("change", "O")


def test_letters_that_are_typed_are_no_shortcuts_and_shortcuts_can_be_off(
    page: Page, show: Show, review: Review
) -> None:
    show(review)
    page.press("c", "k", "r", "Escape")
    page.call("Input.dispatchKeyEvent", type="keyDown", key="k", modifiers=2, windowsVirtualKeyCode=75)
    assert text_of(page, "progress-text") == "0 of 5 images decided"
    page.click("#shortcuts")
    page.press("k")
    assert text_of(page, "progress-text") == "0 of 5 images decided"
    page.click("#shortcuts")
    page.press("k")
    assert text_of(page, "progress-text") == "1 of 5 images decided"


def test_decisions_survive_a_reload(page: Page, show: Show, review: Review) -> None:
    path = show(review)
    page.press("a", "r")
    page.open(path, *DESK, "light")
    assert text_of(page, "progress-text") == "2 of 5 images decided"
    assert text_of(page, "decision") == "→ changed to dog"
    assert not is_visible(page, "no-storage")


def test_it_says_when_the_browser_keeps_nothing(page: Page, show: Show, review: Review, tmp_path: Path) -> None:
    path = show(review)
    closed = "Object.defineProperty(window, 'localStorage', {get() { throw new DOMException('no', 'SecurityError'); }})"
    script = page.call("Page.addScriptToEvaluateOnNewDocument", source=closed)["identifier"]
    try:
        page.open(path, *DESK, "light")
        assert "keeps nothing for this page: download decisions.csv" in text_of(page, "no-storage")
        assert is_visible(page, "no-storage")
        page.press("k")
        assert len(read_decisions(downloaded(page, tmp_path), review.audit)) == 1
    finally:
        page.call("Page.removeScriptToEvaluateOnNewDocument", identifier=script)


def test_filters(page: Page, show: Show, review: Review) -> None:
    show(review)

    def choose(name: str, value: str) -> str:
        field = f"document.getElementById('{name}')"
        page.evaluate(f"{field}.value = '{value}'; {field}.dispatchEvent(new Event('input', {{bubbles: true}}))")
        return text_of(page, "place")

    assert text_of(page, "place") == "1 of 5"
    assert choose("class", "1") == "1 of 4"  # cat, given or suggested
    assert choose("class", "") == "1 of 5"
    assert choose("confidence", "90") == "1 of 2"
    assert choose("confidence", "0") == "1 of 5"
    page.click("#undecided")
    page.press("k")
    assert text_of(page, "place") == "1 of 4"
    assert text_of(page, "path") == "cat/2.jpg"
    page.press("u")
    assert text_of(page, "place") == "1 of 5"
    assert text_of(page, "path") == "cat/1.jpg"
    page.press("k", "k", "k", "k", "k")
    assert text_of(page, "empty-text") == "No image passes the filters."
    page.click("#all")
    assert text_of(page, "place") == "1 of 5"


def test_accepting_many_takes_a_confirmation_and_is_undone_at_once(
    page: Page, show: Show, review: Review, tmp_path: Path
) -> None:
    show(review)
    page.press("k")  # decided, so it stays
    page.click("#accept-open")
    assert "0 images" in text_of(page, "accept-count")
    assert page.evaluate("document.getElementById('accept-confirm').disabled"), "0.9 is not above 90 %"
    page.evaluate("document.getElementById('accept-percent').value = ''")
    page.evaluate("document.getElementById('accept-percent').focus()")
    page.press("2", "9")
    assert "3 images that nobody decided on" in text_of(page, "accept-count")
    assert text_of(page, "progress-text") == "1 of 5 images decided"
    page.click("#accept-confirm")
    assert text_of(page, "progress-text") == "4 of 5 images decided"
    page.click("#undo")
    assert text_of(page, "progress-text") == "1 of 5 images decided"


def test_suggestions_that_are_not_usable_cannot_be_accepted_at_once(page: Page, show: Show, folder: Path) -> None:
    show(review_of(audited(folder, not_usable="<b>Only</b> 9 images."), SUGGESTIONS))
    notice = text_of(page, "not-usable")
    assert "These suggestions are not usable. <b>Only</b> 9 images." in notice
    assert page.evaluate("document.getElementById('not-usable').getBoundingClientRect().top") < 200
    assert not is_visible(page, "accept-open")
    page.press("a")
    assert text_of(page, "progress-text") == "1 of 5 images decided"


@pytest.mark.parametrize("spreadsheet", [False, True])
def test_a_file_is_loaded(page: Page, show: Show, review: Review, tmp_path: Path, spreadsheet: bool) -> None:
    show(review)
    # one of them on an image that the page does not show, which is not lost
    expected = decided(review.audit, {"cat/1.jpg": "keep", "dog/2.jpg": "remove", "owl/2.png": "cat"})
    text = decisions_text(review.audit.audit_id, expected)
    as_loaded = "\ufeff" + text.replace(",", ";").replace("\n", "\r\n") if spreadsheet else text
    (tmp_path / "mine.csv").write_bytes(as_loaded.encode())
    page.choose_file("#load", tmp_path / "mine.csv")
    page.wait("document.getElementById('status').textContent == '3 decisions loaded.'")
    assert text_of(page, "progress-text") == "2 of 5 images decided, and 1 on images that are not shown here"
    assert downloaded(page, tmp_path).read_text() == text


@pytest.mark.parametrize(
    ("old", "new", "part"),
    [
        ("audit,", "audits,", "row 1: columns audit, split"),
        ("\n", "", "row 1: columns"),
        ("keep", "keeps", "row 2: decision keep, change or remove is expected"),
        ("cat/1.jpg", "cat/9.jpg", "cat/9.jpg: path, sha256 or given is not that of the audit"),
        ("change,owl\n", "change,owl", "cut short"),
        ("change,owl", "change,cat", "row 3: change to another class is expected"),
        ("change,owl", 'change,"owl', "cut short"),
        ("change,owl", "change", "row 3: 7 cells, 8 are expected"),
        ("train,1,", "train,0,", "row 3: decides cat/2.jpg again, after row 2"),
        ("train,1,", "train,x,", "row 3: id x is no number"),
        ("AUDIT", "0" * 64, "row 2: of another audit"),
    ],
)
def test_a_file_that_is_not_of_this_page_is_refused_whole(
    page: Page, show: Show, review: Review, tmp_path: Path, old: str, new: str, part: str
) -> None:
    show(review)
    text = decisions_text(review.audit.audit_id, decided(review.audit, {"cat/1.jpg": "keep", "cat/2.jpg": "owl"}))
    old = review.audit.audit_id if old == "AUDIT" else old
    assert old in text
    (tmp_path / "mine.csv").write_text(text.replace(old, new))
    page.choose_file("#load", tmp_path / "mine.csv")
    page.wait("!document.getElementById('problem').hidden")
    assert part in text_of(page, "problem")
    assert text_of(page, "progress-text") == "0 of 5 images decided"


def test_names_do_nothing_but_show(page: Page, show: Show, tmp_path: Path) -> None:
    """Of files, classes and the folder: no markup, no order of direction, and a decisions.csv as Python's."""
    names = [name.replace("/", "") for name in (HOSTILE, FORMULA, QUOTED, "'=quoted", LONG)]
    paths = [f"{name}/{HOSTILE}%20#?.png" for name in names]
    audit = audited(photos(tmp_path / f"{HOSTILE} photos", paths))
    review = review_of(audit, {path: (names[number - 1], 0.5) for number, path in enumerate(paths)})
    for size in (DESK, PHONE):
        show(review, size)
        assert page.evaluate("document.getElementById('picture').naturalWidth") == 8
        page.press(*"aaaaa")
        everything = page.evaluate("document.documentElement.outerHTML.replaceAll('\\n', '')")
        assert not ORDERS.search(everything)
        assert "<img src=x" in page.evaluate("document.getElementById('title-folder').textContent")
        assert "\\u202egod" in page.evaluate("document.body.innerText")
        assert page.evaluate("document.querySelectorAll('[onerror]').length") == 0
        assert page.evaluate("document.title").startswith("5/5 <img")
        assert complaints(page) == []
        assert page.evaluate("document.documentElement.scrollWidth") <= size[0]
    expected = decided(audit, {path: names[number - 1] for number, path in enumerate(paths)})
    in_order = sorted(expected, key=lambda made: made.sample.key)
    assert downloaded(page, tmp_path).read_text(encoding="utf-8") == decisions_text(audit.audit_id, in_order)


def test_pictures_in_the_page_need_no_folder(page: Page, show: Show, review: Review) -> None:
    folder = review.audit.folder
    assert folder is not None
    path = show(review, embed=True)
    folder.rename(folder.with_name("gone"))
    page.open(path, *DESK, "light")
    assert page.evaluate("document.getElementById('picture').naturalWidth") == 8
    asked = [event["request"]["url"] for name, event in page.events if name == "Network.requestWillBeSent"]
    assert [url for url in asked if not url.startswith("data:")] == [path.as_uri()]


def test_a_format_that_browsers_lack_is_in_the_page(page: Page, show: Show, tmp_path: Path) -> None:
    folder = photos(tmp_path / "photos", ("cat/1.png", "cat/2.tiff", "dog/1.png"))
    show(review_of(audited(folder), {"cat/2.tiff": ("dog", 0.5), "cat/1.png": ("dog", 0.5)}))
    assert page.evaluate("document.getElementById('picture').src").startswith("data:image/png;base64,")
    assert page.evaluate("document.getElementById('picture').naturalWidth") == 8


def test_a_picture_that_is_gone_says_so(page: Page, show: Show, review: Review) -> None:
    folder = review.audit.folder
    assert folder is not None
    path = show(review)
    folder.rename(folder.with_name("gone"))
    page.open(path, *DESK, "light")
    page.wait("!document.getElementById('no-picture').hidden")
    assert "the folder is not where it was" in text_of(page, "no-picture")
    page.press("k")
    assert text_of(page, "progress-text") == "1 of 5 images decided"


def test_thousands_of_images_are_as_quick_as_ten(page: Page, show: Show, tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    names = [f"class {number}" for number in range(200)]
    (photos(folder, (f"{names[0]}/0.png", f"{names[1]}/0.png")))
    for number in range(4000):
        target = folder / names[number % 2] / f"{number}.png"
        if not target.exists():
            target.hardlink_to(folder / names[0] / "0.png")
    audit = audited(folder)
    audit = Audit(tuple(names), audit.samples, folder=audit.folder)
    show(review_of(audit, {sample.path or "": (names[2], 0.5) for sample in audit.samples}))
    assert page.evaluate("document.images.length") <= 16
    took = page.evaluate("""(() => { const begin = performance.now();
        for (let n = 0; n < 50; n++) document.getElementById('accept').click();
        return (performance.now() - begin) / 50; })()""")
    assert page.evaluate("document.images.length") <= 16
    assert text_of(page, "progress-text").startswith("50 of 4,00")
    assert took < 100, f"{took:.0f} ms a decision"


@pytest.mark.parametrize("size", [DESK, PHONE, (320, 640)], ids=["desk", "phone", "small phone"])
def test_it_never_scrolls_sideways_and_is_made_for_fingers(
    page: Page, show: Show, review: Review, size: tuple[int, int]
) -> None:
    show(review, size)
    page.evaluate("document.getElementById('tools').open = true")
    assert page.evaluate("document.documentElement.scrollWidth") <= size[0]
    small = """[...document.querySelectorAll('button, .button, select, summary, .check, input[type=range]')]
        .filter(part => part.checkVisibility()).map(part => [part.id || part.className, part.getBoundingClientRect()])
        .filter(([, box]) => box.height < 44 || box.width < 44).map(([name]) => name)"""
    assert page.evaluate(small) == []
    covered = """[...document.querySelectorAll('#actions button')].filter(part => part.checkVisibility()).map(part => {
        const box = part.getBoundingClientRect();
        return part.contains(document.elementFromPoint(box.x + box.width / 2, box.y + box.height / 2)); })"""
    assert set(page.evaluate(covered)) == {True}


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_from_what_is_behind_it(page: Page, show: Show, review: Review, scheme: str) -> None:
    show(review, DESK, scheme)
    page.press("k", "ArrowLeft")
    ratios = page.evaluate("""(() => {
        const light = colour => colour.match(/[0-9.]+/g).slice(0, 3).map(Number)
            .map(v => v / 255).map(v => v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4)
            .reduce((sum, v, i) => sum + v * [.2126, .7152, .0722][i], 0);
        const behind = part => { const colour = getComputedStyle(part).backgroundColor;
            return colour == 'rgba(0, 0, 0, 0)' ? behind(part.parentElement) : colour; };
        return [...document.querySelectorAll('body *')].filter(part => part.checkVisibility() && !part.disabled
                && [...part.childNodes].some(node => node.nodeType == 3 && node.data.trim())
                && !['SCRIPT', 'STYLE', 'OPTION'].includes(part.tagName))
            .map(part => { const [a, b] = [light(getComputedStyle(part).color), light(behind(part))];
                return [(Math.max(a, b) + .05) / (Math.min(a, b) + .05), part.textContent.trim()]; });
    })()""")
    assert len(ratios) > 20
    assert [name for ratio, name in ratios if ratio < 4.5] == []


def test_it_can_be_used_without_eyes_or_mouse(page: Page, show: Show, review: Review) -> None:
    show(review)
    tree = page.call("Accessibility.getFullAXTree")["nodes"]
    roles = ("button", "checkbox", "combobox", "slider", "progressbar", "image", "spinbutton", "list", "region")
    nodes = [node for node in tree if not node["ignored"] and node["role"]["value"] in roles]
    assert len(nodes) > 15
    assert [node["role"]["value"] for node in nodes if not node.get("name", {}).get("value")] == []
    page.evaluate("document.activeElement.blur()")
    order = []
    for _ in range(14):
        page.press("Tab")
        order.append(page.evaluate("document.activeElement.id"))
    # what is disabled (undo, download, previous) is passed over
    expected = ["load", "class", "confidence", "undecided", "accept-open", "next", "keep", "accept", "change", "remove"]
    assert order[: len(expected)] == expected
    page.press("k")
    assert "cat/1.jpg: kept. 1 of 5 images decided" in text_of(page, "status")


def test_nothing_moves(page: Page, show: Show, review: Review) -> None:
    """So nothing has to stop for who prefers less motion."""
    show(review)
    moving = """(() => {
        const inside = rules => [...rules].flatMap(rule => rule.style ? [rule] : inside(rule.cssRules));
        const styles = inside(document.styleSheets[0].cssRules).map(rule => rule.style);
        return [styles.length, styles.filter(s => s.transition || s.animation || s.scrollBehavior).length];
    })()"""
    rules, moving_rules = page.evaluate(moving)
    assert rules > 80
    assert moving_rules == 0


def test_a_small_picture_is_not_blurred_and_a_large_one_is_shrunk(page: Page, show: Show, tmp_path: Path) -> None:
    folder = photos(tmp_path / "photos", ("cat/1.png", "dog/1.png"), side=16)
    with Image.open(folder / "dog" / "1.png") as image:
        image.resize((2000, 1000)).save(folder / "dog" / "1.png")
    show(review_of(audited(folder), {"cat/1.png": ("dog", 0.5), "dog/1.png": ("cat", 0.5)}), embed=True)
    assert page.evaluate("getComputedStyle(document.getElementById('picture')).imageRendering") == "pixelated"
    page.press("ArrowRight")
    page.wait("document.getElementById('picture').naturalWidth == 640")
    assert page.evaluate("document.getElementById('picture').naturalHeight") == 320
    page.wait("getComputedStyle(document.getElementById('picture')).imageRendering == 'auto'")
