"""A page of HTML as its elements, for tests without a browser."""

from __future__ import annotations

from dataclasses import dataclass, field
from html.parser import HTMLParser

VOID = {"img", "link", "meta", "br", "wbr"}


@dataclass
class Element:
    """An element with what it holds; ``text`` is all the text inside, of its descendants too."""

    tag: str
    attributes: dict[str, str]
    parent: Element | None = None
    text: str = ""
    children: list[Element] = field(default_factory=list)

    def all(self, *tags: str) -> list[Element]:
        """Descendants of these tags, in the order of the page; of every tag if none is named."""
        found = []
        for child in self.children:
            found += [child] if not tags or child.tag in tags else []
            found += child.all(*tags)
        return found

    def has(self, class_: str) -> bool:
        """Whether it is of a class."""
        return class_ in self.attributes.get("class", "").split()


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.root = self.current = Element("", {})

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attrs]
        assert len(set(names)) == len(names), f"<{tag}> has an attribute twice: {names}"
        found = Element(tag, {name: value or "" for name, value in attrs}, self.current)
        self.current.children.append(found)
        if tag not in VOID:
            self.current = found

    def handle_endtag(self, tag: str) -> None:
        assert tag == self.current.tag, f"</{tag}> ends a <{self.current.tag}>"
        assert self.current.parent is not None
        self.current = self.current.parent

    def handle_data(self, data: str) -> None:
        at: Element | None = self.current
        while at is not None:
            at.text += data
            at = at.parent


def read(page: str) -> Element:
    """The page; an AssertionError if its tags are not nested as they should be."""
    reader = _Reader()
    reader.feed(page)
    reader.close()
    assert reader.current is reader.root, f"<{reader.current.tag}> is never ended"
    return reader.root


def plain(text: str) -> str:
    """Text with every run of white space as one space, those that do not break included."""
    return " ".join(text.split())
