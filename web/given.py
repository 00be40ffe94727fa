"""Texts as strangers give them, made fit to be stored."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator

__all__ = ["Text"]


def _storable(text: str) -> str:
    if "\x00" in text:
        raise ValueError("it has a NUL character")  # PostgreSQL keeps none
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError("it has half of a surrogate pair, which is no character") from None  # JSON can say "\ud800"
    return text


Text = Annotated[str, AfterValidator(_storable)]
"""For every text in a body or form that goes to the store: any characters that both databases keep."""
