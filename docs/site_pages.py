"""What mkdocs is told beside mkdocs.yml: pages from outside docs/, and links that lead there.

GitHub shows README.md, CONTRIBUTING.md and their like where they stand, so that is where they stay; the site gets
them as pages under project/. A link to a file that the site does not have becomes the plain name of that file.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[1]
OUTSIDE = {
    "CONTRIBUTING.md": "project/contributing.md",
    "CHANGELOG.md": "project/changelog.md",
    "SECURITY.md": "project/security.md",
    "bench/README.md": "project/benchmarks.md",
    "data/README.md": "project/data.md",
}
"""Pages of the site by their path in the checkout."""
INSTEAD = {"README.md": "docs/index.md", "docs/decisions": "docs/decisions/README.md"}
"""What the site has in place of a path in the checkout."""
LINK = re.compile(r"(?P<image>!?)\[(?P<text>[^\]]*)\]\((?P<target>[^)#\s]+)(?P<anchor>#[^)\s]*)?\)")


def on_files(files: Files, config: Any) -> Files:
    """Add the pages of OUTSIDE."""
    for path, page in OUTSIDE.items():
        files.append(File.generated(config, page, content=(ROOT / path).read_text(encoding="utf-8")))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """The page with links as they are from its place in the site."""
    return relinked(markdown, page.file.src_uri)


def relinked(markdown: str, uri: str) -> str:
    """`markdown` of the site's page `uri`, its links to files of the checkout led to the site's own pages."""
    home = {page: path for path, page in OUTSIDE.items()}.get(uri, f"docs/{uri}")

    def led(link: re.Match[str]) -> str:
        if re.match(r"[a-z]+:", link["target"]):
            return link[0]
        path = posixpath.normpath(posixpath.join(posixpath.dirname(home), link["target"]))
        path = INSTEAD.get(path, path)
        place = OUTSIDE.get(path) or (path.removeprefix("docs/") if path.startswith("docs/") else None)
        if place is None:
            return link["text"]
        target = posixpath.relpath(place, posixpath.dirname(uri) or ".")
        return f"{link['image']}[{link['text']}]({target}{link['anchor'] or ''})"

    return LINK.sub(led, markdown)
