"""Puts the server together."""

from __future__ import annotations

from fastapi import FastAPI
from starlette.middleware.body_limit import RequestBodyLimitMiddleware

from kernelwright import __version__
from kernelwright.web import problems
from kernelwright.web.access.gate import Gate
from kernelwright.web.access.policy import Policy
from kernelwright.web.context import Site
from kernelwright.web.headers import SecurityHeaders
from kernelwright.web.limits import RateLimit, Rates, SizeLimit, StreamLimit, Streams
from kernelwright.web.metrics import Metrics
from kernelwright.web.observing import Observed
from kernelwright.web.openapi import REFUSALS, describe
from kernelwright.web.routes import NOUNS, OPERATION
from kernelwright.web.static_files import MOUNT, Assets
from kernelwright.web.timing import ServerTiming
from kernelwright.web.twins import API

__all__ = ["create_app"]


def create_app(site: Site, policy: Policy | None = None) -> FastAPI:
    """The application over a store and a queue, which the caller closes.

    Args:
        policy: who is answered; without one, this machine only, under the names it has for itself.
    """
    policy = policy or Policy()
    app = FastAPI(
        title="Kernelwright",
        version=__version__,
        summary="PyTorch modules in, verified CUDA kernels out.",
        openapi_url=f"{API}/openapi.json",
        docs_url=None,
        redoc_url=None,
    )
    rates, streams = Rates(policy.limits), Streams(policy.limits)
    metrics = Metrics(site.store, site.queue, streams)
    app.state.site, app.state.policy = site, policy
    app.state.rates, app.state.streams, app.state.metrics = rates, streams, metrics
    problems.handle_problems(app)
    for noun in NOUNS:
        app.include_router(noun.pages)
        app.include_router(noun.api, responses=REFUSALS)
    for router in OPERATION:
        app.include_router(router)
    app.mount(MOUNT, Assets())
    describe(app)
    # the last one stands outermost
    app.add_middleware(StreamLimit, streams=streams)
    app.add_middleware(RequestBodyLimitMiddleware, max_body_size=policy.limits.body_bytes)
    app.add_middleware(SizeLimit, most=policy.limits.body_bytes)
    app.add_middleware(Gate, policy=policy, store=site.store, rates=rates)
    app.add_middleware(RateLimit, rates=rates)
    app.add_middleware(problems.Bugs)
    app.add_middleware(SecurityHeaders, proxies=policy.proxies)
    app.add_middleware(ServerTiming)
    app.add_middleware(Observed, metrics=metrics)
    return app
