"""What a browser would find in a page."""

from __future__ import annotations

from html.parser import HTMLParser

__all__ = ["Page"]

_VOID = frozenset({"meta", "link", "img", "br", "input", "hr"})


class Page(HTMLParser):
    """The elements of a page that is well-formed; anything else is an assertion.

    Args:
        text: HTML.
    """

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(text)
        self.close()
        assert self.open == [], self.open
        assert len(self.ids) == len(set(self.ids)), "an id stands twice"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """An element begins."""
        self.tags.append((tag, dict(attrs)))
        if tag not in _VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """One without an inside."""
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        """An element ends."""
        assert self.open.pop() == tag, tag

    def handle_data(self, data: str) -> None:
        """Text."""
        self.text += data

    @property
    def ids(self) -> list[str]:
        """Of all elements."""
        return [str(attrs["id"]) for _, attrs in self.tags if attrs.get("id")]

    @property
    def links(self) -> list[str]:
        """Where it leads, and what it loads."""
        return [value for _, attrs in self.tags for name, value in attrs.items() if name in {"href", "src"} and value]

    def inert(self) -> bool:
        """Whether it has no script but the server's own, no handler, and nothing from another host."""
        scripts = [attrs for tag, attrs in self.tags if tag == "script"]
        handlers = [name for _, attrs in self.tags for name in attrs if name.startswith("on") or name == "style"]
        own = all(str(attrs.get("src")).startswith("/static/") for attrs in scripts)
        foreign = [link for link in self.links if not link.startswith(("/", "#", "?"))]
        return own and not handlers and not foreign and not any(tag == "img" for tag, _ in self.tags)
