"""A page and its JSON twin from one function: what a page shows and what the API answers can't differ.

A view is a plain function of a request's parameters that returns a pydantic model. `Twins.page` registers it twice: under its path as
HTML, rendered by a template that is given the model as `view`, and under `/api/v1` as JSON, with its schema in the OpenAPI document.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar, get_type_hints

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse
from pydantic import BaseModel

from kernelwright.web.rendering import render

__all__ = ["API", "Problem", "Twins"]

API = "/api/v1"
"""Where the JSON twins are."""

View = TypeVar("View", bound=Callable[..., BaseModel])


class ProblemBody(BaseModel):
    """What is wrong, and how to mend it."""

    kind: str
    message: str
    mend: str
    path: str | None = None
    line: int | None = None


class Problem(BaseModel):
    """What an API call answers when it can't be done; the same as `--json` prints."""

    error: ProblemBody


class Twins:
    """The routes about one noun: `pages` and `api`, to be included in an application."""

    def __init__(self, *tags: str) -> None:
        self.pages = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)
        self.api = APIRouter(prefix=API, tags=list(tags))

    def page(self, path: str, template: str, **more: Any) -> Callable[[View], View]:
        """Registers a view as a page and as its twin.

        Args:
            template: file in `templates`; it gets the view's model as `view`.
            more: what else the template gets: functions that draw, for instance.
        """

        def add(view: View) -> View:
            hints = get_type_hints(view, include_extras=True)
            self.api.add_api_route(
                path, view, methods=["GET"], response_model=hints["return"], name=view.__name__,
                responses={404: {"model": Problem}, 422: {"model": Problem}},
            )  # fmt: skip
            self.pages.add_api_route(
                path, _as_page(view, hints, template, more), methods=["GET"], name=f"{view.__name__}_page"
            )
            return view

        return add


def _as_page(
    view: Callable[..., BaseModel], hints: dict[str, Any], template: str, more: dict[str, Any]
) -> Callable[..., HTMLResponse]:
    own = inspect.signature(view)
    given = [each.replace(annotation=hints[name]) for name, each in own.parameters.items()]
    request = inspect.Parameter("request_", inspect.Parameter.KEYWORD_ONLY, annotation=Request)

    @wraps(view)
    def page(*args: Any, request_: Request, **kwargs: Any) -> HTMLResponse:
        return render(request_, template, view=view(*args, **kwargs), **more)

    page.__signature__ = inspect.Signature([*given, request], return_annotation=HTMLResponse)  # type: ignore[attr-defined]
    del page.__wrapped__  # FastAPI would read the signature of what is wrapped
    return page
