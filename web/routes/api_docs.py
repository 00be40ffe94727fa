"""The API in words: every operation of the OpenAPI document, on a page that loads nothing from elsewhere."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from kernelwright.web.rendering import render
from kernelwright.web.twins import API
from kernelwright.web.views.api_docs import operations

__all__ = ["router"]

router = APIRouter(include_in_schema=False)


@router.get(f"{API}/docs")
def docs(request: Request) -> HTMLResponse:
    """The page."""
    schema: dict[str, Any] = request.app.openapi()
    return render(request, "api_docs.html.j2", groups=operations(schema), schema=request.app.openapi_url)
