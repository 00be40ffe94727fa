"""Puts the server together."""

from __future__ import annotations

from fastapi import FastAPI

from kernelwright import __version__
from kernelwright.web import problems
from kernelwright.web.context import Site
from kernelwright.web.headers import SecurityHeaders
from kernelwright.web.routes import NOUNS
from kernelwright.web.static_files import MOUNT, Assets
from kernelwright.web.timing import ServerTiming
from kernelwright.web.twins import API

__all__ = ["create_app"]


def create_app(site: Site) -> FastAPI:
    """The application over a store and a queue, which the caller closes."""
    app = FastAPI(
        title="Kernelwright",
        version=__version__,
        summary="PyTorch modules in, verified CUDA kernels out.",
        openapi_url=f"{API}/openapi.json",
        docs_url=None,
        redoc_url=None,
    )
    app.state.site = site
    problems.handle_problems(app)
    for noun in NOUNS:
        app.include_router(noun.pages)
        app.include_router(noun.api)
    app.mount(MOUNT, Assets())
    app.add_middleware(SecurityHeaders)
    app.add_middleware(ServerTiming)
    return app
