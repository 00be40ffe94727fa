"""Templates to HTML. Everything is escaped: names, plans and kernel sources are strangers' text."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

from fastapi import Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from kernelwright import __version__
from kernelwright.web import kernel_words, words
from kernelwright.web.access.identity import identity_in
from kernelwright.web.static_files import asset

__all__ = ["render"]

_HERE = Path(__file__).parent


@lru_cache(maxsize=1)
def _templates() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(_HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    environment.filters |= words.FILTERS | kernel_words.FILTERS
    environment.globals |= {"asset": asset, "version": __version__}
    return environment


def render(request: Request, template: str, *, status: int = 200, **values: Any) -> HTMLResponse:
    """A page.

    Args:
        values: for the template, beside `request` and `who`, who asks for it: hide what they may not do.
    """
    text = _templates().get_template(template).render(request=request, who=identity_in(request.scope), **values)
    return HTMLResponse(text.encode("utf-8", "replace"), status_code=status)  # stored text may hold lone surrogates
