"""What every request passes before a route sees it: the host it names, the page it comes from, who makes it."""

from __future__ import annotations

import ipaddress
import logging
from urllib.parse import quote

from anyio import to_thread
from starlette.responses import RedirectResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from kernelwright.db.access import Role
from kernelwright.db.store import Store
from kernelwright.errors import AccessError, StoreError
from kernelwright.web.access.identity import LOCAL, NOBODY, How, Identity, check, set_identity
from kernelwright.web.access.origins import SAFE, cross_origin
from kernelwright.web.access.policy import Policy
from kernelwright.web.access.refusing import refuse
from kernelwright.web.access.requests import (
    bearer_of,
    client_of,
    cookie_of,
    header,
    headers_of,
    host_of,
    is_secure,
    network_of,
)
from kernelwright.web.limits import Rates
from kernelwright.web.static_files import MOUNT
from kernelwright.web.twins import API

__all__ = ["SIGN_IN", "SIGN_OUT", "Gate"]

_log = logging.getLogger(__name__)

SIGN_IN, SIGN_OUT = "/sign-in", "/sign-out"
_OPEN = frozenset({SIGN_IN, "/healthz", "/readyz"})
"""Paths that need no token, besides style and script."""
_FORWARDED = ("forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip", "via")


class Gate:
    """Refuses what may not pass; notes who made what may."""

    def __init__(self, app: ASGIApp, policy: Policy, store: Store, rates: Rates) -> None:
        self._app, self._policy, self._store, self._rates = app, policy, store, rates
        self._had_tokens = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self._app(scope, receive, send)
            return
        set_identity(scope, NOBODY)
        host = host_of(scope)
        if host is None or not self._policy.answers_to(host[0]):
            await refuse(
                scope, receive, send, 421, "This server has another name.",
                mend="Use the address that it printed at its start, or start it with --allow-host NAME.",
            )  # fmt: skip
            return
        if "\x00" in scope["path"] or b"%00" in scope.get("query_string", b""):
            await refuse(scope, receive, send, 422, "The address has a NUL character.", mend="Leave it out.")
            return
        bearer, session = bearer_of(scope), cookie_of(scope, is_secure(scope, self._policy.proxies))
        why = cross_origin(
            scope["method"], host[1], header(scope, "sec-fetch-site"), header(scope, "sec-fetch-mode"),
            header(scope, "origin"), bearer=bearer is not None, session=session is not None,
        )  # fmt: skip
        if why:
            _log.warning("refused a cross-origin %s from %s", _method(scope), client_of(scope))
            await refuse(scope, receive, send, 403, why, mend="Do it from a page of this server.")
            return
        await self._admit(scope, receive, send, bearer, session)

    async def _admit(
        self, scope: Scope, receive: Receive, send: Send, bearer: str | None, session: str | None
    ) -> None:  # fmt: skip
        path: str = scope["path"]
        if path not in _OPEN and not path.startswith(f"{MOUNT}/"):
            try:
                who = await self._who(scope, bearer, session)
            except StoreError as error:
                _log.error("no token can be looked up: %s", error)
                await refuse(scope, receive, send, 503, "The database can't be read now.", mend="Try again soon.")
                return
            set_identity(scope, who)
            if who.role is None:
                await self._ask_for_token(scope, receive, send, bearer)
                return
            if who.how is How.LOCAL and any(headers_of(scope, name) for name in _FORWARDED):
                await refuse(
                    scope, receive, send, 403, "This came through a proxy, and the server was not told of one.",
                    mend="Start it with --proxy ADDRESS, and make tokens for who may use it (docs/serving.md).",
                )  # fmt: skip
                return
            if scope["method"] not in SAFE and path != SIGN_OUT:
                try:  # whatever a route says for itself, nothing is changed by who may only read
                    check(who, Role.SUBMIT, _method(scope))
                except AccessError as error:
                    await refuse(scope, receive, send, 403, error.message, mend=error.mend)
                    return
        await self._app(scope, receive, send)

    async def _who(self, scope: Scope, bearer: str | None, session: str | None) -> Identity:
        """Who it is; asked anew each time, so that a token that is revoked opens nothing."""

        def look() -> Identity:
            if bearer is not None:
                token, how = self._store.token_of(bearer), How.TOKEN
            elif session is not None:
                token, how = self._store.token_of_session(session), How.SESSION
            else:
                token, how = None, How.NOT
            if token is not None:
                return Identity(token.name, token.role, how)
            if bearer is not None or self._policy.token or not _at_this_machine(scope):
                return NOBODY
            if self._policy.token is None:
                self._had_tokens = self._had_tokens or self._store.has_tokens()
                if self._had_tokens:
                    return NOBODY
            return LOCAL

        return await to_thread.run_sync(look)

    async def _ask_for_token(self, scope: Scope, receive: Receive, send: Send, bearer: str | None) -> None:
        if bearer is not None:
            _log.warning("refused a token that is not valid, from %s", client_of(scope))
            wait = self._rates.failures.take(network_of(client_of(scope)))
            if wait:
                await refuse(
                    scope, receive, send, 429, "Too many tokens that are not valid.", headers={"Retry-After": str(wait)}
                )
                return
        path: str = scope["path"]
        if bearer is None and scope["method"] in {"GET", "HEAD"} and not path.startswith(API) and path != "/metrics":
            query = scope.get("query_string", b"").decode("latin-1")
            there = quote(path + (f"?{query}" if query else ""), safe="/")
            await RedirectResponse(f"{SIGN_IN}?next={there}", 303)(scope, receive, send)
            return
        message = "This needs a token." if bearer is None else "This token is not valid: mistyped, revoked, or expired."
        await refuse(
            scope, receive, send, 401, message,
            mend="Send `Authorization: Bearer TOKEN`; who runs this server makes one with `kernelwright token create`.",
            headers={"WWW-Authenticate": 'Bearer realm="kernelwright"'},
        )  # fmt: skip


def _method(scope: Scope) -> str:
    method: str = scope["method"]
    return method if method.isascii() and method.isalpha() else "(odd)"


def _at_this_machine(scope: Scope) -> bool:
    """False for an address of another one: the application may be served by other means than ours."""
    try:
        return ipaddress.ip_address(client_of(scope)).is_loopback
    except ValueError:
        return True
