"""What is wrong with a folder of pages: links that lead nowhere, requests to elsewhere, pictures without words."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

LOADED = {
    ("audio", "src"), ("embed", "src"), ("iframe", "src"), ("image", "href"), ("image", "xlink:href"), ("img", "src"),
    ("img", "srcset"), ("link", "href"), ("object", "data"), ("script", "src"), ("source", "src"), ("source", "srcset"),
    ("use", "href"), ("use", "xlink:href"), ("video", "poster"), ("video", "src"),
}  # fmt: skip
NOT_LOADED = {"canonical", "next", "prev", "alternate", "author", "license"}  # kinds of <link> that are only said
IN_STYLES = re.compile(r"""url\(\s*["']?([^"')]+)|@import\s+["']([^"']+)""")


@dataclass
class Read(HTMLParser):
    """What a page links to, loads and shows, and the places in it that can be linked to."""

    links: list[str] = field(default_factory=list)
    loads: list[str] = field(default_factory=list)
    places: set[str] = field(default_factory=set)
    wordless: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        self.places.update(values[name] for name in ("id", "name") if name in values)
        if tag == "a" and "href" in values:
            self.links.append(values["href"])
        if tag == "img" and not values.get("alt", "").strip():
            self.wordless.append(values.get("src", "")[:80])
        if tag != "link" or not set(values.get("rel", "").split()) & NOT_LOADED:
            self.loads += [value for name, value in values.items() if (tag, name) in LOADED]
        self.loads += [found[0] or found[1] for found in IN_STYLES.findall(values.get("style", ""))]


def read(path: Path) -> Read:
    """A page, read."""
    page = Read()
    page.feed(path.read_text())
    return page


def is_outside(address: str) -> bool:
    """Whether an address is of another machine."""
    parts = urlsplit(address.strip())
    return bool(parts.netloc) or parts.scheme not in ("", "data")


def outside_requests(site: Path) -> list[str]:
    """What pages and styles load from elsewhere, in sentences."""
    found = [
        f"{path.relative_to(site)} loads {address}"
        for path in sorted(site.rglob("*.html"))
        for address in read(path).loads
        if is_outside(address)
    ]
    for path in sorted(site.rglob("*.css")):
        addresses = [a or b for a, b in IN_STYLES.findall(path.read_text())]
        found += [f"{path.relative_to(site)} loads {address}" for address in addresses if is_outside(address)]
    return found


def broken_links(site: Path) -> Iterator[str]:
    """Links within the site that lead to no file or to no place in one, in sentences; those to elsewhere are left."""
    pages = {path.resolve(): read(path) for path in sorted(site.rglob("*.html"))}
    for path, page in pages.items():
        if path.name == "404.html":
            continue  # its addresses begin at the root of a published site
        for link in {*page.links, *page.loads}:
            parts = urlsplit(link)
            if is_outside(link) or parts.scheme == "data":
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            if target.is_dir():
                target /= "index.html"
            if not target.is_file():
                yield f"{path.relative_to(site.resolve())} links to {link}, which is no file"
            elif parts.fragment and target in pages and unquote(parts.fragment) not in pages[target].places:
                yield f"{path.relative_to(site.resolve())} links to {link}, which is no place in that page"


def wordless_pictures(site: Path) -> list[str]:
    """Pictures without an alternative text, in sentences."""
    return [
        f"{path.relative_to(site)} shows {source}"
        for path in sorted(site.rglob("*.html"))
        for source in read(path).wordless
    ]
