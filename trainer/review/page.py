"""review.html: one file on which a person decides, item by item, and from which decisions.csv is downloaded.

It opens from the disk and asks for nothing but the pictures that it names, in files beside it. A content security
policy forbids the rest, and lets run the one script and the one style sheet whose hashes it has. Names are data in a
JSON block, and the script puts them on the page as text; so whatever they are, they do nothing.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable
from html import escape
from pathlib import Path
from string import Template
from typing import Any

import numpy as np

from datatools.errors import DataToolsError
from datatools.files.output import atomic_file
from datatools.files.write_errors import naming
from datatools.printable import printable
from datatools.progress import Progress, no_progress
from trainer.review.items import Review, ReviewItem, check_audit
from trainer.review.pictures import data_of_file, data_of_pixels, is_shown_by_browsers, link

TEMPLATE, STYLE_SHEET = (Path(__file__).with_name(name) for name in ("page.html", "page.css"))
SCRIPTS = tuple(Path(__file__).with_name(f"{name}.js") for name in ("table", "decisions", "view", "controls"))


def write_review(
    path: Path,
    review: Review,
    embed: bool = False,
    *,
    pixels: Callable[[ReviewItem], np.ndarray] | None = None,
    overwrite: bool = False,
    progress: Progress = no_progress,
) -> tuple[str, ...]:
    """Write the page to the HTML file `path`: `review_page`.

    Args:
        overwrite: whether it may take the place of a file.

    Raises:
        TakenError: without `overwrite`, something stands at `path`. TrainerError: items that are not of the audit.
    """
    text, notices = review_page(review, path, embed, pixels=pixels, progress=progress)
    with atomic_file(path, overwrite=overwrite) as partial, naming(partial):
        partial.write_text(text, encoding="utf-8")
    return notices


def review_page(
    review: Review,
    place: Path,
    embed: bool = False,
    *,
    pixels: Callable[[ReviewItem], np.ndarray] | None = None,
    progress: Progress = no_progress,
) -> tuple[str, tuple[str, ...]]:
    """The page as text.

    Args:
        place: where the page will be opened: links to the pictures lead from there. embed: put shrunk copies of all
            pictures into it, so that it can be taken anywhere; without it only of those in formats that not every
            browser shows.
        pixels: gives the (height, width, 1 or 3) uint8 picture of an item without a file.
        progress: called with (items done, items in all).

    Returns:
        The text, and what the user should know, a line each: pictures that could not be put into the page.

    Raises:
        TrainerError: items that are not of the audit.
    """
    check_audit(review.audit, place)
    items = []
    for done, item in enumerate(review.items, 1):
        items.append(_item(review, item, embed, pixels, place.absolute()))
        progress(done, len(review.items))
    broken = [item["problem"] for item in items if item["problem"] is not None]
    notices = (f"{len(broken):,} pictures are missing on {place.name}; the first: {broken[0]}",) if broken else ()
    return _page(review, items), notices


def _item(
    review: Review,
    item: ReviewItem,
    embed: bool,
    pixels: Callable[[ReviewItem], np.ndarray] | None,
    place: Path,
) -> dict[str, Any]:
    """An item for the page's script: what `ReviewItem` has, and its picture or why there is none."""
    folder = review.audit.folder
    source, problem = None, None
    if folder is None or item.path is None:
        source = None if pixels is None else data_of_pixels(pixels(item))
        problem = "no picture was put into this page" if source is None else None
    elif not embed and is_shown_by_browsers(item.path):
        source = link(folder, item.path, place)
    else:
        try:
            source = data_of_file(folder / item.path)
        except (DataToolsError, OSError) as error:
            problem = printable(error)
    names = ("split", "id", "path", "sha256", "given", "suggested", "confidence", "reasons")
    return {**{name: getattr(item, name) for name in names}, "source": source, "problem": problem}


def _page(review: Review, items: list[dict[str, Any]]) -> str:
    audit = review.audit
    known = set(audit.class_names)
    for item in review.items:
        sample = audit.by_key.get(item.key)
        if sample is None or any(getattr(sample, name) != getattr(item, name) for name in vars(sample)):
            raise ValueError(f"{item.split} {item.id}: not a sample of the audit")
        if item.suggested is not None and item.suggested not in known:
            raise ValueError(f"{item.split} {item.id}: suggested class {item.suggested!r} is none of the audit")
    data = {
        "audit": audit.audit_id,
        "classes": audit.class_names,
        "files": audit.folder is not None,
        "notUsable": audit.not_usable,
        "items": items,
    }
    style = STYLE_SHEET.read_text(encoding="utf-8")
    script = '\n"use strict";\n(() => {\n' + "\n".join(file.read_text(encoding="utf-8") for file in SCRIPTS) + "})();\n"
    source = audit.folder or audit.dataset
    assert source is not None  # as `check_audit` holds it to
    name = escape(printable(source.name))
    return Template(TEMPLATE.read_text(encoding="utf-8")).substitute(
        policy=(
            f"default-src 'none'; img-src file: data:; script-src '{_hash(script)}'; style-src '{_hash(style)}'; "
            "base-uri 'none'; form-action 'none'"
        ),
        title=f"Review {name}",
        folder=name,
        notices=_not_usable(audit.not_usable),
        style=style,
        data=_json(data),
        script=script,
    )


def _not_usable(reason: str | None) -> str:
    if reason is None:
        return ""
    return (
        '\n  <p class="notice" id="not-usable"><strong>These suggestions are not usable.</strong> '
        f"<bdi>{escape(printable(reason))}</bdi> Judge each image by yourself; suggestions cannot be accepted all at "
        "once.</p>"
    )


def _hash(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode('ascii')}"


def _json(value: Any) -> str:
    """JSON that ends no script block and has no character that is an order: whatever is special is a number in it."""
    text = json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
