"""Signing in with a token, and out again."""

from __future__ import annotations

import logging
import re
from datetime import timedelta
from typing import Annotated

from fastapi import APIRouter, Form, Query, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from kernelwright.db.access import new_credential
from kernelwright.web.access.gate import SIGN_IN, SIGN_OUT
from kernelwright.web.access.policy import Policy
from kernelwright.web.access.requests import client_of, cookie_name, cookie_of, header, is_secure, network_of
from kernelwright.web.context import Here
from kernelwright.web.limits import Rates
from kernelwright.web.rendering import render

__all__ = ["router"]

_log = logging.getLogger(__name__)
_SESSION = timedelta(hours=12)
"""A working day: whoever finds the browser open the next morning is asked again."""
_HERE = re.compile(r"/(?![/\\])[!-\[\]-~]*")
"""A path of this server: no other host, no backslash, which browsers read as a slash, no character outside printable ASCII."""
router = APIRouter(include_in_schema=False)


@router.get(SIGN_IN)
def page(request: Request, next_: Annotated[str, Query(alias="next", max_length=4000)] = "/") -> HTMLResponse:
    """The form. Who follows another site's link comes without their cookie, as it is a strict one; they are offered to go on."""
    linked = header(request.scope, "sec-fetch-site") in {"cross-site", "same-site"}
    return render(request, "sign_in.html.j2", next=_path(next_), problem="", linked=linked)


@router.post(SIGN_IN)
def sign_in(
    request: Request,
    site: Here,
    token: Annotated[str, Form(max_length=200)] = "",
    next_: Annotated[str, Form(alias="next", max_length=4000)] = "/",
) -> Response:
    """Begins a session, and goes on to where somebody wanted to go."""
    policy: Policy = request.app.state.policy
    rates: Rates = request.app.state.rates
    client = network_of(client_of(request.scope))
    wait = rates.failures.wait(client)
    if wait:
        words = f"Too many tokens that are not valid. Wait {wait} s."
        answer = render(request, "sign_in.html.j2", status=429, next=_path(next_), problem=words, linked=False)
        answer.headers["Retry-After"] = str(wait)
        return answer
    found = site.store.token_of(token.strip())
    if found is None:
        rates.failures.take(client)
        _log.warning("refused a sign-in from %s: no valid token", client)
        words = "This token is not valid: mistyped, revoked, or expired."
        return render(request, "sign_in.html.j2", status=401, next=_path(next_), problem=words, linked=False)
    secure = is_secure(request.scope, policy.proxies)
    before = cookie_of(request.scope, secure)
    if before:
        site.store.end_session(before)
    session = new_credential()
    site.store.add_session(session, found, _SESSION)
    _log.info("%s signed in", found.name)
    done = RedirectResponse(_path(next_), 303)
    done.set_cookie(
        cookie_name(secure), session.text, max_age=int(_SESSION.total_seconds()), path="/", secure=secure, httponly=True,
        samesite="strict",
    )  # fmt: skip
    return done


@router.post(SIGN_OUT)
def sign_out(request: Request, site: Here) -> Response:
    """Ends the session, here and in the browser."""
    policy: Policy = request.app.state.policy
    secure = is_secure(request.scope, policy.proxies)
    session = cookie_of(request.scope, secure)
    if session:
        site.store.end_session(session)
    done = RedirectResponse(SIGN_IN, 303)
    done.delete_cookie(cookie_name(secure), path="/", secure=secure, httponly=True, samesite="strict")
    done.headers["Clear-Site-Data"] = '"cache"'
    return done


def _path(text: str) -> str:
    return text if _HERE.fullmatch(text) and not text.startswith((SIGN_IN, SIGN_OUT)) else "/"
