"""What the OpenAPI document says of every operation: the token, and how it may be refused."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from kernelwright.web.twins import Problem

__all__ = ["REFUSALS", "describe"]

REFUSALS: dict[int | str, dict[str, Any]] = {
    400: {"model": Problem, "description": "A body that can't be read"},
    401: {"model": Problem, "description": "No token, or none that is valid"},
    403: {"model": Problem, "description": "The token's role does not reach so far, or a page of another site asked"},
    413: {"model": Problem, "description": "Too large"},
    421: {"model": Problem, "description": "Another name than the server has"},
    422: {"model": Problem, "description": "Something given can't be used"},
    429: {"model": Problem, "description": "Too many requests"},
    503: {"model": Problem, "description": "The store can't be read now"},
}
"""Answers that any operation may give."""


def describe(app: FastAPI) -> None:
    """Has the document say that a token may be needed."""

    def document() -> dict[str, Any]:
        if app.openapi_schema is None:
            schema = get_openapi(
                title=app.title, version=app.version, summary=app.summary, routes=app.routes,
                description="Tokens are needed where the server is served to others; on its own machine it may be open.",
            )  # fmt: skip
            schema.setdefault("components", {})["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
            for path, item in schema["paths"].items():
                for operation in item.values():
                    for status, answer in operation["responses"].items():
                        if status >= "400":  # FastAPI gives refusals the media type of the answer
                            parts = list(answer.get("content", {}).values())
                            answer["content"] = {"application/json": parts[0]} if parts else {}
                    operation["security"] = [] if path in {"/healthz", "/readyz"} else [{"token": []}]
            app.openapi_schema = schema
        return app.openapi_schema

    app.openapi = document  # type: ignore[method-assign]
