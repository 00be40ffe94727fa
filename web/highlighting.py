"""Highlighted source, made once: a source is named by its content, so what was made of it stays right."""

from __future__ import annotations

from functools import lru_cache

from markupsafe import Markup

from kernelwright.web.site.source import highlighted

__all__ = ["highlighted_once"]

_KEPT_UP_TO = 40_000
"""Characters of a source that is kept: 500 of them are some 100 MB at the most."""


def highlighted_once(source: str) -> Markup:
    """The source with colours, every character of it escaped."""
    return _kept(source) if len(source) <= _KEPT_UP_TO else Markup(highlighted(source))


@lru_cache(maxsize=500)
def _kept(source: str) -> Markup:
    return Markup(highlighted(source))
