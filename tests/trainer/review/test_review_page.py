"""review.html without a browser: one file, a policy that fits it, links that lead to the files."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urljoin, urlsplit

import numpy as np
import pytest
from PIL import Image

from datatools.errors import TakenError
from tests.support.own_images import put
from tests.support.reviewed import audited, photos, review_of
from trainer.review.items import Audit, Review, ReviewItem, Sample
from trainer.review.page import review_page, write_review


class Reader(HTMLParser):
    """The policy, and the content of the script and style elements by name and type."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.policy, self.parts, self.now = "", {}, ""  # type: ignore[var-annotated]
        self.tags: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        named = dict(attributes)
        self.tags.append(tag)
        if named.get("http-equiv") == "Content-Security-Policy":
            self.policy = str(named["content"])
        self.now = {"style": "style", "script": str(named.get("type", "script"))}.get(tag, "")
        assert not [name for name in named if name.startswith("on") or name == "style"], "the policy stops these"

    def handle_endtag(self, tag: str) -> None:
        self.now = ""

    def handle_data(self, data: str) -> None:
        if self.now:
            self.parts[self.now] = self.parts.get(self.now, "") + data


def read(path: Path) -> Reader:
    return Reader(path.read_text(encoding="utf-8"))


def items_of(path: Path) -> list[dict[str, Any]]:
    return list(json.loads(read(path).parts["application/json"])["items"])


def picture(source: str) -> Image.Image:
    """The picture of a data URI."""
    head, _, data = source.partition(",")
    assert re.fullmatch(r"data:image/(png|jpeg);base64", head)
    return Image.open(io.BytesIO(base64.b64decode(data)))


def test_the_policy_lets_run_this_script_and_this_style_and_nothing_else(audit: Audit, tmp_path: Path) -> None:
    write_review(tmp_path / "review.html", review_of(audit, {"cat/1.jpg": ("dog", 0.5)}))
    page = read(tmp_path / "review.html")
    rules = dict(rule.strip().split(" ", 1) for rule in page.policy.split(";"))
    hashes = {
        name: f"'sha256-{base64.b64encode(hashlib.sha256(page.parts[name].encode()).digest()).decode()}'"
        for name in ("script", "style")
    }
    assert rules == {
        "default-src": "'none'",
        "img-src": "file: data:",
        "script-src": hashes["script"],
        "style-src": hashes["style"],
        "base-uri": "'none'",
        "form-action": "'none'",
    }
    assert page.tags.count("img") == page.tags.count("style") == 1
    assert page.tags.count("script") == 2
    assert not {"link", "iframe", "object", "base"} & set(page.tags)


@pytest.mark.parametrize("name", ["1.jpg", "a b%20#?.jpg", "javascript:alert(1).jpg", "ü\u202e&<\">'.jpg"])
def test_links_lead_to_the_files(tmp_path: Path, name: str) -> None:
    folder = photos(tmp_path / "my photos", (f"cat/{name}", "dog/1.jpg"))
    path = tmp_path / "audit" / "review.html"
    write_review(path, review_of(audited(folder), {f"cat/{name}": ("dog", 0.5)}))
    (item,) = items_of(path)
    url = urlsplit(urljoin(path.as_uri(), item["source"]))
    assert (url.scheme, url.query, url.fragment) == ("file", "", "")
    assert Path(unquote(url.path)) == folder / "cat" / name


def test_links_lead_from_where_the_page_will_be(audit: Audit, tmp_path: Path) -> None:
    review = review_of(audit, {"cat/1.jpg": ("dog", 0.5)})
    text, notices = review_page(review, tmp_path / "audit" / "review.html")
    (tmp_path / "built.html").write_text(text, encoding="utf-8")
    assert [item["source"] for item in items_of(tmp_path / "built.html")] == ["../photos/cat/1.jpg"]
    assert notices == ()


def test_the_same_review_gives_the_same_bytes(audit: Audit, tmp_path: Path) -> None:
    review = review_of(audit, {"cat/1.jpg": ("dog", 0.5), "owl/1.png": (None, None)})
    for embed in (False, True):
        texts = set()
        for _ in range(2):
            write_review(tmp_path / "review.html", review, embed, overwrite=True)
            texts.add((tmp_path / "review.html").read_bytes())
        assert len(texts) == 1


def test_embedded_pictures_are_shrunk_and_turned(tmp_path: Path) -> None:
    folder = photos(tmp_path / "photos", ("cat/1.png", "dog/1.jpg"))
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter
    put(folder / "dog" / "1.jpg", np.zeros((3, 600, 1600), np.uint8), exif=exif)
    review = review_of(audited(folder), {"cat/1.png": ("dog", 0.5), "dog/1.jpg": ("cat", 0.5)})
    write_review(tmp_path / "review.html", review, embed=True)
    small, large = (picture(item["source"]) for item in items_of(tmp_path / "review.html"))
    assert (small.format, small.size) == ("PNG", (8, 8))
    with Image.open(folder / "cat" / "1.png") as original:
        assert np.array_equal(np.asarray(small), np.asarray(original))
    assert (large.format, large.size) == ("JPEG", (240, 640))


def test_pictures_that_cannot_be_had_are_named(tmp_path: Path) -> None:
    folder = photos(tmp_path / "photos", ("cat/1.png", "cat/2.png", "cat/3.png", "dog/1.png"))
    (folder / "cat" / "1.png").write_bytes(b"no image")
    (folder / "cat" / "3.png").unlink()
    (folder / "cat" / "3.png").symlink_to(folder / "dog" / "1.png")
    audit = audited(folder)
    (folder / "cat" / "2.png").unlink()
    review = review_of(audit, {f"cat/{number}.png": ("dog", 0.5) for number in (1, 2, 3)})
    (notice,) = write_review(tmp_path / "review.html", review, embed=True)
    assert notice.startswith("3 pictures are missing on review.html; the first: ")
    items = items_of(tmp_path / "review.html")
    assert [item["source"] for item in items] == [None] * 3
    for item, part in zip(items, ("not a readable", "No such file", "a link"), strict=True):
        assert part in item["problem"]


def test_images_without_files_are_always_in_the_page(tmp_path: Path) -> None:
    samples = tuple(Sample("train", number, None, None, None, "cat") for number in range(2))
    audit = Audit(("cat", "dog"), samples, dataset=tmp_path / "cifar", dataset_sha256="0" * 64)
    items = tuple(
        ReviewItem(**vars(sample), suggested="dog", confidence=1.0, suspicion=1, reasons=()) for sample in samples
    )
    pixels = {0: np.full((4, 5, 1), 7, np.uint8), 1: np.full((4, 5, 3), 9, np.uint8)}
    write_review(tmp_path / "review.html", Review(audit, items), pixels=lambda item: pixels[item.id])
    for number, item in enumerate(items_of(tmp_path / "review.html")):
        assert np.array_equal(np.asarray(picture(item["source"])), pixels[number].squeeze())
    page = json.loads(read(tmp_path / "review.html").parts["application/json"])
    assert page["files"] is False


def test_items_of_another_audit_are_a_mistake(audit: Audit, tmp_path: Path) -> None:
    review = review_of(audit, {"cat/1.jpg": ("dog", 0.5)})
    (item,) = review.items
    for change in ({"given": "owl"}, {"id": 999}, {"sha256": "f" * 64}, {"suggested": "fox"}):
        with pytest.raises(ValueError, match="train"):
            write_review(tmp_path / "review.html", Review(audit, (replace(item, **change),)))
    assert not (tmp_path / "review.html").exists()


def test_a_page_is_written_over_only_if_that_is_asked_for(audit: Audit, tmp_path: Path) -> None:
    review = review_of(audit, {})
    write_review(tmp_path / "review.html", review)
    with pytest.raises(TakenError):
        write_review(tmp_path / "review.html", review)
    write_review(tmp_path / "review.html", review, overwrite=True)
